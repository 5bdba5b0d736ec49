"""The recipes about a company's own server and secrets, in an Airflow with the settings of their pages."""

from __future__ import annotations

import json
import re
import shutil
import subprocess  # ruff: ignore[suspicious-subprocess-import]
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sandbox.scenario import (
    ACTIVEPIECES_STEPS_FLOW_ID,
    PORTABLE_FLOW_ID,
    ExampleFlows,
    add_flows,
)
from tests.unit.client.wire import RecordingProxy
from tools.connections_file import ConnectionsFile
from tools.real_airflow import RealAirflow
from tools.secret_scan import find_secrets

pytestmark = [pytest.mark.airflow, pytest.mark.nightly]

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = CHECKOUT / "docs" / "cookbook"
RECIPES = CHECKOUT / "docs" / "examples" / "cookbook"
SELF_HOSTED, SECRETS_BACKEND = "self_hosted", "secrets_backend"
VARIABLE = "AIRFLOW_CONN_ACTIVEPIECES_INTRANET"
PROXY_USER = "made-up-user:made-up-proxy-password"
NEW_TOKEN = "made-up-new-token"


def read_block(page: str, language: str, beginning: str = "") -> str:
    """Return the one block of a page that is in this language and begins so."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", (PAGES / page).read_text(), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(beginning)]
    return str(block)


def fill_in(text: str, values: Mapping[str, str]) -> str:
    """Replace what a reader replaces."""
    for placeholder, value in values.items():
        assert placeholder in text
        text = text.replace(placeholder, value)
    return text


@dataclass
class Company:
    """A company's network.

    :param server: its own Activepieces server, whose certificate only its own authority vouches for.
    :param proxy: the way to that server.
    :param cloud: the service whose token is in the secrets backend.
    :param secrets: the file of the secrets backend.
    """

    server: Sandbox
    proxy: RecordingProxy
    cloud: Sandbox
    secrets: Path

    @property
    def placeholders(self) -> dict[str, str]:
        """What stands on the page for what only the company knows."""
        return {
            "https://flows.example.com": self.server.activepieces.url,
            "<API key>": self.server.activepieces.token,
            "<project id>": self.server.activepieces.project_id,
            "/etc/ssl/company-ca.pem": str(self.server.ca_file),
            "<user>:<password>@proxy.example.com:3128": f"{PROXY_USER}@{self.proxy.address}",
        }

    def write_token(self, token: str) -> None:
        """Put a token into the secrets backend, in one step as a server does."""
        connections = json.loads(read_block("secrets-backend.md", "json"))
        connections["portable_prod"] |= {"host": self.cloud.portable.url, "password": token}
        ConnectionsFile(self.secrets).write(connections)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    secrets = tmp_path_factory.mktemp("secrets") / "connections.json"
    with Sandbox(tls=True) as server, RecordingProxy(PROXY_USER) as proxy, Sandbox() as cloud:
        yield Company(server, proxy, cloud, secrets)


@pytest.fixture(scope="module")
def server_flows(company: Company) -> ExampleFlows:
    return add_flows(company.server)


@pytest.fixture(scope="module")
def cloud_flows(company: Company) -> ExampleFlows:
    return add_flows(company.cloud)


class Commands(NamedTuple):
    """What the page says to do with the connection.

    :param variable: value of the environment variable.
    :param words: words of the command for Airflow's database.
    """

    variable: str
    words: list[str]


@pytest.fixture(scope="module")
def commands(company: Company, server_flows: ExampleFlows, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """Return the page's commands as the shell reads them, next to the page's file."""
    folder = tmp_path_factory.mktemp("connection")
    (folder / "connection.json").write_text(fill_in(read_block("self-hosted.md", "json"), company.placeholders))
    script = f"""
        airflow() {{ printf '%s\\0' "$@"; }}
        {read_block("self-hosted.md", "shell", "export")}
        printf '%s' "${VARIABLE}"
    """
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    *words, variable = done.stdout.split("\0")
    return Commands(variable, words)


@pytest.fixture(scope="module")
def settings(company: Company, commands: Commands) -> dict[str, str]:
    """Return the settings of both pages as environment variables."""
    ini = read_block("secrets-backend.md", "ini").replace("/etc/airflow/connections.json", str(company.secrets))
    backend = {f"AIRFLOW__SECRETS__{key.upper()}": value for key, value in re.findall(r"^(\w+) = (.+)$", ini, re.M)}
    return {VARIABLE: commands.variable} | backend


@pytest.fixture(scope="module")
def airflow(
    company: Company, settings: dict[str, str], cloud_flows: ExampleFlows, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealAirflow]:
    """Return a real Airflow in that network."""
    company.write_token(company.cloud.portable.token)
    folder, home = tmp_path_factory.mktemp("dags"), tmp_path_factory.mktemp("home")
    for name in (SELF_HOSTED, SECRETS_BACKEND):
        shutil.copy(RECIPES / f"{name}.py", folder)
    with RealAirflow(folder, env=settings, home=home, poke_interval=1) as airflow:
        airflow.wait_until_ready([SELF_HOSTED, SECRETS_BACKEND])
        yield airflow


@pytest.fixture(scope="module")
def described_run(airflow: RealAirflow, company: Company, server_flows: ExampleFlows) -> str:
    """Return what the recipe returned about its run on the company's server, after a deferred wait."""
    flow = server_flows.activepieces[ACTIVEPIECES_STEPS_FLOW_ID]
    flow.next_run(outcome="RUNNING")
    dag_run_id = airflow.trigger(SELF_HOSTED)
    airflow.wait_for_log(SELF_HOSTED, dag_run_id, "count_orders", "is RUNNING")
    airflow.wait_for_task(SELF_HOSTED, dag_run_id, "count_orders", ["deferred"])
    flow.runs[-1].end()
    assert airflow.wait_for_run(SELF_HOSTED, dag_run_id) == "success"
    return str(airflow.get_xcom(SELF_HOSTED, dag_run_id, "describe_run"))


def test_the_run_is_that_of_the_companys_server(company, described_run) -> None:
    assert described_run.startswith(f"SUCCEEDED, see {company.server.url}")


def test_every_request_went_through_the_proxy_and_was_encrypted(company, described_run) -> None:
    address = company.server.url.removeprefix("https://")
    assert set(company.proxy.seen) == {("CONNECT", address)}
    assert len(company.proxy.seen) == company.server.ledger.connections_opened


def test_the_triggerer_used_it_too(company, described_run) -> None:
    """The worker starts the run; how it ended was asked by the triggerer, over a connection of its own."""
    connections = {request.connection for request in company.server.ledger.requests}
    assert len(connections) > 1


def test_doctor_finds_nothing_wrong(airflow, company, described_run) -> None:
    command = read_block("self-hosted.md", "shell", "airflow flowruns")
    done = airflow.run_cli(*command.split()[1:])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("activepieces_intranet works")
    assert company.proxy.address in done.stdout


def test_the_command_stores_the_connection_of_the_variable(airflow, commands) -> None:
    done = airflow.run_cli(*commands.words)
    assert done.returncode == 0, done.stderr
    (row,) = airflow.fetch_rows("select conn_type, host, password, extra from connection")
    stored = dict(zip(("conn_type", "host", "password"), row, strict=False)) | {"extra": json.loads(row[-1])}
    assert stored == json.loads(commands.variable)


@dataclass
class Rotation:
    """A DAG run during which the token was rotated.

    :param dag_run_id: its id.
    :param run_id: the run that it waited for.
    :param old_token: the token before.
    :param sent_before: number of requests before.
    """

    dag_run_id: str
    run_id: str
    old_token: str
    sent_before: int


@pytest.fixture(scope="module")
def rotation(airflow: RealAirflow, company: Company, cloud_flows: ExampleFlows) -> Rotation:
    """Return the ended DAG run of a task that waited in the triggerer while the token was rotated."""
    run = cloud_flows.portable[PORTABLE_FLOW_ID].add_run(outcome="RUNNING")
    dag_run_id = airflow.trigger(SECRETS_BACKEND)
    airflow.wait_for_task(SECRETS_BACKEND, dag_run_id, "orders_loaded", ["deferred"])
    airflow.wait_for("a poll of the triggerer", lambda: len(list_tokens(company)) > 2, 120)

    rotation = Rotation(dag_run_id, str(run.id), company.cloud.portable.token, len(list_tokens(company)))
    company.write_token(NEW_TOKEN)
    company.cloud.portable.token = NEW_TOKEN
    airflow.wait_for("a poll with the new token", lambda: NEW_TOKEN in list_tokens(company), 120)
    run.end()
    airflow.wait_for_run(SECRETS_BACKEND, dag_run_id)
    return rotation


def list_tokens(company: Company) -> list[str]:
    """Return the token of each request to the cloud, oldest first."""
    return [request.headers["authorization"].removeprefix("Bearer ") for request in company.cloud.ledger.requests]


def test_a_wait_continues_with_the_new_token(airflow, rotation) -> None:
    assert airflow.get_run_state(SECRETS_BACKEND, rotation.dag_run_id) == "success"
    assert airflow.get_xcom(SECRETS_BACKEND, rotation.dag_run_id, "orders_loaded")["run_id"] == rotation.run_id


def test_the_triggerer_reads_the_secret_again_when_it_is_rejected(company, rotation) -> None:
    after = list_tokens(company)[rotation.sent_before :]
    assert after[:2] == [rotation.old_token, NEW_TOKEN]
    assert set(after[1:]) == {NEW_TOKEN}


def test_a_worker_reads_the_new_token(airflow, rotation) -> None:
    (load,) = airflow.get_xcom(SECRETS_BACKEND, rotation.dag_run_id, "history")
    assert load["run_id"] == rotation.run_id


def test_airflow_writes_down_no_secret(airflow, company, described_run, rotation) -> None:
    assert find_secrets(airflow.home, [rotation.old_token, NEW_TOKEN]) == []
    # The command of the page stores this connection in the database, which encrypts it if there is a key.
    assert find_secrets(airflow.home / "logs", [company.server.activepieces.token, PROXY_USER.partition(":")[2]]) == []
