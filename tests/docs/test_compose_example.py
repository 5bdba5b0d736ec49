"""The Docker Compose file is the stack that the distributed tests run. ``make lint`` checks it with its schema."""

from __future__ import annotations

import re
import shutil
import subprocess  # ruff: ignore[suspicious-subprocess-import]
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from cryptography.fernet import Fernet

from tools import postgresql
from tools.celery_airflow import CeleryAirflow
from tools.postgresql import PostgresServer
from tools.redis_server import RedisServer

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDER = CHECKOUT / "docs" / "examples" / "compose"
TEXT = (FOLDER / "docker-compose.yaml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SECRET = re.compile(r"\$\{(\w+):\?\}")
PREFIX = "AIRFLOW__"

#: Where the tests' Airflow listens, and what makes it faster or lets a test look into it.
ONLY_IN_TESTS = {
    "API__BASE_URL",
    "API__HOST",
    "API__PORT",
    "API__WORKERS",
    "CORE__DAGS_ARE_PAUSED_AT_CREATION",
    "CORE__DAGS_FOLDER",
    "CORE__LOAD_EXAMPLES",
    "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS",
    "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL",
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL",
    "DAG_PROCESSOR__REFRESH_INTERVAL",
    "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME",
    "USAGE_DATA_COLLECTION__ENABLED",
}
#: The tests' processes find the api-server by its base URL.
ONLY_IN_CONTAINERS = {"CORE__EXECUTION_API_SERVER_URL"}
SECRETS = {"API__SECRET_KEY", "API_AUTH__JWT_SECRET", "CORE__FERNET_KEY"}
ADDRESSES = {"CELERY__BROKER_URL", "CELERY__RESULT_BACKEND", "DATABASE__SQL_ALCHEMY_CONN"}


class DatabaseNames(PostgresServer):
    """A server that is not started, for its addresses."""

    def create_database(self) -> str:
        return "airflow"


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CeleryAirflow]:
    """Return the stack of the distributed tests, of which nothing is started."""
    folder, database, broker = tmp_path_factory.mktemp("tested"), DatabaseNames(), RedisServer()
    yield (airflow := CeleryAirflow(folder, connections={}, database_server=database, broker=broker, home=folder))
    airflow.close()
    database.stop()
    broker.stop()


def get_settings(environment: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix(PREFIX): value for name, value in environment.items() if name.startswith(PREFIX)}


def list_processes() -> list[str]:
    """Return the services that run Airflow for ever."""
    return [name for name, service in SERVICES.items() if "build" in service and name != "init"]


def test_the_processes_and_their_commands_are_those_of_the_tests(tested: CeleryAirflow) -> None:
    assert sorted(list_processes()) == sorted(tested.components)
    for name, command in tested.components.items():
        # A container has its own file of process ids.
        arguments = command[: command.index("--pid")] if "--pid" in command else command
        assert SERVICES[name]["command"] == list(arguments)


@pytest.mark.parametrize("process", ["init", *list_processes()])
def test_the_settings_are_those_of_the_tests(tested: CeleryAirflow, process: str) -> None:
    ours = get_settings(SERVICES[process]["environment"])
    theirs = get_settings(tested._build_component_environment("api-server"))
    assert ours.keys() - theirs.keys() == ONLY_IN_CONTAINERS
    assert theirs.keys() - ours.keys() == ONLY_IN_TESTS
    for name in ours.keys() & theirs.keys() - SECRETS - ADDRESSES:
        assert ours[name] == theirs[name], name
    for name in ADDRESSES:
        address, tested_address = urlsplit(SECRET.sub("secret", ours[name])), urlsplit(theirs[name])
        assert (address.scheme, address.path) == (tested_address.scheme, tested_address.path)
    assert all(SECRET.fullmatch(ours[name]) for name in SECRETS)


def test_the_servers_are_set_up_like_those_of_the_tests() -> None:
    assert SERVICES["postgres"]["command"][2:] == [f"max_connections={postgresql.SETTINGS['max_connections']}"]
    assert "appendonly yes" in COMPOSE["configs"]["redis"]["content"]


def test_every_variable_is_a_secret_without_a_default() -> None:
    assert TEXT.count("${") == len(SECRET.findall(TEXT))
    assert not re.search(r"\$\w", TEXT)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_script_makes_all_secrets_and_overwrites_none(tmp_path: Path) -> None:
    command = ["sh", str(FOLDER / "make_env.sh")]
    subprocess.run(command, cwd=tmp_path, check=True)
    file = tmp_path / ".env"
    secrets = dict(line.split("=", 1) for line in file.read_text().splitlines())
    assert secrets.keys() == set(SECRET.findall(TEXT))
    assert min(map(len, secrets.values())) >= 44
    assert len(set(secrets.values())) == len(secrets)
    Fernet(secrets["FERNET_KEY"])
    # In addresses they stand as they are.
    assert secrets["POSTGRES_PASSWORD"].isalnum()
    assert secrets["REDIS_PASSWORD"].isalnum()
    assert file.stat().st_mode & 0o077 == 0
    assert subprocess.run(command, cwd=tmp_path, check=False, stderr=subprocess.DEVNULL).returncode
    assert dict(line.split("=", 1) for line in file.read_text().splitlines()) == secrets


def test_only_the_api_server_is_published_and_only_on_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"api-server": ["127.0.0.1:8080:8080"]}
    assert not any("network_mode" in service for service in SERVICES.values())


def test_every_service_that_keeps_running_has_a_health_check() -> None:
    assert [name for name, service in SERVICES.items() if "healthcheck" not in service] == ["init"]
    for name in ("worker-1", "worker-2"):
        command = SERVICES[name]["command"]
        assert SERVICES[name]["healthcheck"]["test"][-1] == command[command.index("-H") + 1]


def test_services_volumes_and_configs_that_are_named_exist() -> None:
    for service in SERVICES.values():
        for needed, condition in service.get("depends_on", {}).items():
            assert ("healthcheck" in SERVICES[needed]) == (condition["condition"] == "service_healthy")
        mounted = {volume.split(":")[0] for volume in service.get("volumes", ())}
        assert {name for name in mounted if not name.startswith("./")} <= COMPOSE["volumes"].keys()
        assert {config["source"] for config in service.get("configs", ())} <= COMPOSE["configs"].keys()


def test_the_version_of_airflow_is_that_of_the_tests() -> None:
    (version,) = re.findall(r"^AIRFLOW_VERSION \?= (\S+)$", (CHECKOUT / "Makefile").read_text(), flags=re.MULTILINE)
    dockerfile = (FOLDER / "Dockerfile").read_text().splitlines()
    assert dockerfile[0] == f"FROM apache/airflow:{version}"
    assert {SERVICES[name]["image"] for name in list_processes()} == {f"airflow-flowruns:{version}"}


def test_no_image_names_a_registry() -> None:
    for service in SERVICES.values():
        assert "." not in service["image"].partition(":")[0]
