"""The values for the official Helm chart have names and types of that chart, and describe the tested stack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.configuration import conf

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "examples"
VALUES: dict[str, Any] = yaml.safe_load((FOLDER / "helm" / "values.yaml").read_text("utf-8"))
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose" / "docker-compose.yaml").read_text("utf-8"))

#: The values of chart 1.22 that the example uses, with their types. `config` is free: section, option, value.
TYPES: dict[str, type] = {
    "airflowVersion": str,
    "apiSecretKeySecretName": str,
    "createUserJob.enabled": bool,
    "data.metadataSecretName": str,
    "defaultAirflowRepository": str,
    "defaultAirflowTag": str,
    "executor": str,
    "extraEnvFrom": str,
    "fernetKeySecretName": str,
    "jwtSecretName": str,
    "postgresql.enabled": bool,
    "scheduler.replicas": int,
    "statsd.enabled": bool,
    "statsd.extraMappings": list,
    "triggerer.replicas": int,
    "volumeMounts": list,
    "volumes": list,
    "workers.celery.replicas": int,
    "workers.celery.terminationGracePeriodSeconds": int,
}


def list_values(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and value of each leaf, except below `config`."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from list_values(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def test_names_and_types_are_those_of_the_chart() -> None:
    used = dict(list_values({name: value for name, value in VALUES.items() if name != "config"}))
    assert {name: type(value) for name, value in used.items()} == TYPES


@pytest.mark.parametrize("setting", dict(list_values(VALUES["config"])))
def test_every_setting_exists_in_airflow(setting: str) -> None:
    section, option = setting.split(".")
    assert conf.has_option(section, option)


def test_the_stack_is_that_of_the_compose_file() -> None:
    services, environment = COMPOSE["services"], COMPOSE["x-airflow"]["environment"]
    for kind, replicas in {
        "scheduler": VALUES["scheduler"]["replicas"],
        "triggerer": VALUES["triggerer"]["replicas"],
        "worker": VALUES["workers"]["celery"]["replicas"],
    }.items():
        assert sum(name.startswith(f"{kind}-") for name in services) == replicas
    image = f"{VALUES['defaultAirflowRepository']}:{VALUES['defaultAirflowTag']}"
    assert image == COMPOSE["x-airflow"]["image"]
    assert image.endswith(f":{VALUES['airflowVersion']}")
    assert VALUES["executor"] == environment["AIRFLOW__CORE__EXECUTOR"]
    for section, option in (
        ("core", "parallelism"),
        ("celery", "worker_concurrency"),
        ("workers", "execution_api_timeout"),
    ):
        assert str(VALUES["config"][section][option]) == environment[f"AIRFLOW__{section}__{option}".upper()]


def test_volumes_are_mounted_and_their_sources_optional() -> None:
    names = [volume["name"] for volume in VALUES["volumes"]]
    assert [mount["name"] for mount in VALUES["volumeMounts"]] == names
    assert all(volume["configMap"]["optional"] for volume in VALUES["volumes"])
    assert all(source["secretRef"]["optional"] for source in yaml.safe_load(VALUES["extraEnvFrom"]))
