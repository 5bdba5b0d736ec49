"""The page about production names settings, defaults and metrics that exist."""

from __future__ import annotations

import re
from pathlib import Path

import airflow
import pytest
import yaml
from airflow.configuration import conf

from airflow_provider_flowruns.metrics import Metric
from airflow_provider_flowruns.triggers.flow_run import _CANCEL_TIMEOUT_SECONDS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "production.md").read_text("utf-8")
SETTINGS = sorted(set(re.findall(r"`\[(\w+)\] (\w+)`", PAGE)))
#: A row of a table of settings: section, option, default.
DEFAULTS = re.findall(r"^\| `\[(\w+)\] (\w+)` \| ([^|]+) \|", PAGE, flags=re.MULTILINE)
ALERTS = re.findall(r"^\| `([a-z_.]+)` \| .* \| .* \|$", PAGE, flags=re.MULTILINE)
METRICS_OF_AIRFLOW = Path(airflow.__path__[0]) / "_shared" / "observability" / "metrics" / "metrics_template.yaml"


def require_option(section: str, option: str) -> None:
    """Fail if Airflow and its providers do not have the option. Skip if Celery's provider is not installed."""
    options = conf.configuration_description.get(section, {}).get("options", {})
    if option not in options and section.startswith("celery"):
        pytest.importorskip("airflow.providers.celery", reason="Celery's provider (make test-distributed installs it)")
    assert option in options


@pytest.mark.parametrize(("section", "option"), SETTINGS)
def test_every_setting_exists(section: str, option: str) -> None:
    require_option(section, option)


@pytest.mark.parametrize(("section", "option", "default"), DEFAULTS)
def test_every_default_is_that_of_airflow(section: str, option: str, default: str) -> None:
    require_option(section, option)
    actual = str(conf.get_default_value(section, option, raw=True) or "unset").title()
    assert default.title() in {actual, actual.removesuffix(".0")}


def test_most_settings_have_a_row() -> None:
    assert len(DEFAULTS) > 20
    assert {section for section, _, _ in DEFAULTS} >= {"triggerer", "workers", "scheduler", "celery", "flowruns"}


@pytest.mark.parametrize("metric", ALERTS)
def test_every_metric_exists(metric: str) -> None:
    of_airflow = {entry["name"] for entry in yaml.safe_load(METRICS_OF_AIRFLOW.read_text())["metrics"]}
    assert metric in of_airflow | {str(name) for name in Metric}


def test_there_are_alerts_on_both() -> None:
    assert {metric.startswith("flowruns.") for metric in ALERTS} == {True, False}


def test_the_time_to_cancel_is_that_of_the_trigger() -> None:
    (seconds,) = re.findall(r"cancels its run within (\d+) seconds", PAGE)
    assert int(seconds) == int(_CANCEL_TIMEOUT_SECONDS)
