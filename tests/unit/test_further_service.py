"""A service of another package: registered by an entry point, it needs nothing of the core but its public names.

The package is ``examples/acme``, which the page about adding a service shows.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tomllib
from collections.abc import Generator
from importlib import import_module
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests_mock

from airflow_provider_flowruns.exceptions import (
    AuthenticationError,
    ConfigurationError,
    FlowRunTimeout,
    InvalidArgumentError,
)
from airflow_provider_flowruns.notifications.flow_run import FlowRunNotifier
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.services import registry
from airflow_provider_flowruns.services.registry import get_service, list_service_names
from airflow_provider_flowruns.testing.task_modes import replace_reschedule_query, task_context
from airflow_provider_flowruns.triggers.connection import async_settings

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "acme"
PROJECT = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
API = "https://api.acme.example.com"
TOKEN = "made-up-key-0123456789"
RUN = {"id": "r81c", "flow": "f7k2", "created": "2026-01-31T12:00:00Z"}
DONE = {**RUN, "state": "DONE", "ended": "2026-01-31T12:05:00Z"}


def install(folder: Path, points: dict[str, dict[str, str]]) -> None:
    """Write what an installer writes about a package that is imported from where it is."""
    metadata = folder / "acme_flowruns-1.0.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PROJECT['name']}\nVersion: 1.0.0\n")
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in by.items()) for group, by in points.items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(lines))


class MinimalTaskInstance:
    """What a sensor in poke mode needs of a task instance."""

    try_number, max_tries = 1, 1

    def xcom_push(self, **_: Any) -> None:
        """Store nothing."""


@pytest.fixture(autouse=True)
def nothing_stays_loaded(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    monkeypatch.setattr(registry, "_loaded", dict(registry._loaded))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in {"acme_flowruns", "acme_fake"}]:
        del sys.modules[name]


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, PROJECT["entry-points"])
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.syspath_prepend(str(EXAMPLE / "tests"))
    monkeypatch.syspath_prepend(str(tmp_path))
    connection = {"conn_type": "acme", "password": TOKEN, "extra": {"team": "data"}}
    monkeypatch.setenv("AIRFLOW_CONN_ACME_DEFAULT", json.dumps(connection))
    replace_reschedule_query(monkeypatch)


@pytest.fixture
def wire() -> Generator[requests_mock.Mocker]:
    with requests_mock.Mocker() as mocker:
        yield mocker


def load(module: str, name: str) -> Any:
    return getattr(import_module(f"acme_flowruns.{module}"), name)


def test_it_is_known_by_its_name(acme) -> None:
    assert list_service_names() == ("portable", "activepieces", "tableflow", "acme")
    assert get_service("acme") is load("service", "AcmeApi")


def test_without_its_package_the_error_says_what_is_missing() -> None:
    with pytest.raises(InvalidArgumentError, match="got 'acme'; the package of any other service must be installed"):
        get_service("acme")


def test_an_entry_point_under_another_name_is_refused(tmp_path, monkeypatch) -> None:
    install(tmp_path, {registry.ENTRY_POINT_GROUP: {"beta": "acme_flowruns.service:AcmeApi"}})
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"entry point 'beta' .* has 'acme'"):
        get_service("beta")


def test_airflow_accepts_its_metadata(acme) -> None:
    (point,) = [one for one in entry_points(group="apache_airflow_provider") if one.module.startswith("acme")]
    info = point.load()()
    schema = json.loads((files("airflow") / "provider_info.schema.json").read_text())
    jsonschema.Draft7Validator(schema).validate(info)
    (connection_type,) = info["connection-types"]
    hook = load("hooks", "AcmeHook")
    assert connection_type["hook-class-name"] == f"{hook.__module__}.{hook.__name__}"
    assert next(iter(connection_type["conn-fields"])) == "team"
    assert (hook.conn_type, hook.hook_name, hook.default_conn_name) == ("acme", "Acme", "acme_default")
    assert hook.get_ui_field_behaviour()["relabeling"]["password"] == "API token"


def test_its_hook_sends_the_key_and_the_connections_own_field(acme, wire) -> None:
    wire.get(f"{API}/runs/r81c?team=data", json=DONE)
    run = load("hooks", "AcmeHook")().get_run("r81c")
    assert run.vendor_status == "DONE"
    assert wire.last_request.headers["X-Api-Key"] == TOKEN
    assert "Authorization" not in wire.last_request.headers


def test_its_connection_can_be_tested(acme, wire) -> None:
    wire.get(f"{API}/me", json={"name": "Jo"})
    assert load("hooks", "AcmeHook")().test_connection() == (True, "Connected to Acme; this API key belongs to Jo")
    wire.get(f"{API}/me", status_code=401)
    with load("hooks", "AcmeHook")() as hook, pytest.raises(AuthenticationError, match="put an API key of Acme"):
        hook.client.execute(hook.api.check())


def test_its_key_cannot_be_set_twice(acme, monkeypatch) -> None:
    extra = {"headers": {"x-api-key": "other"}}
    monkeypatch.setenv(
        "AIRFLOW_CONN_ACME_DEFAULT", json.dumps({"conn_type": "acme", "password": TOKEN, "extra": extra})
    )
    with pytest.raises(ConfigurationError, match="must not set x-api-key"):
        load("hooks", "AcmeHook")().get_conn()


@pytest.mark.parametrize(
    ("name", "ids", "path", "bodies"),
    [
        ("AcmeFlowRunSensor", {"run_id": "r81c"}, "runs/r81c", [{**RUN, "state": "RUNNING"}, DONE]),
        ("AcmeFlowSensor", {"flow_id": "f7k2"}, "flows/f7k2/runs", [{"runs": []}, {"runs": [DONE]}]),
    ],
)
def test_its_sensors_wait_for_the_end_of_a_run(acme, wire, monkeypatch, name, ids, path, bodies) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    wire.get(f"{API}/{path}", [{"json": body} for body in bodies])
    sensor = load("sensors", name)(task_id="wait", **ids)
    summary = sensor.execute({"ti": MinimalTaskInstance()})
    assert (summary["run_id"], summary["disposition"]) == ("r81c", "SUCCEEDED")
    assert wire.call_count == 2


def test_the_triggerer_reads_its_connection_by_the_same_code(acme) -> None:
    settings = asyncio.run(async_settings("acme", "acme_default"))
    assert (settings.base_url, settings.auth_headers) == (API, {"X-Api-Key": TOKEN})


@pytest.fixture
def sandbox(acme, monkeypatch: pytest.MonkeyPatch) -> Generator[Sandbox]:
    """A sandbox with the example's fake of its service beside ours, as the service's default connection."""
    with Sandbox(further_services=[import_module("acme_fake").FakeAcme]) as running:
        for name, value in running.connections().items():
            monkeypatch.setenv(name, json.dumps({**json.loads(value), "extra": {"team": "data"}}))
        yield running


@pytest.mark.parametrize("is_awaited", [False, True])
def test_a_notifier_starts_a_flow_of_it_as_its_connection_means_it(sandbox, is_awaited) -> None:
    flow = sandbox.get_service("acme").add_flow()
    notifier = FlowRunNotifier(service="acme", flow_id=flow.id, payload={"level": 3})
    if is_awaited:
        asyncio.run(notifier.async_notify({}))
    else:
        notifier.notify({})
    (request,) = sandbox.ledger.requests
    assert (request.query, json.loads(request.body)["payload"]) == ((("team", "data"),), {"level": 3})
    assert [(event.service, event.flow_id) for event in sandbox.ledger.started] == [("acme", flow.id)]


def test_a_notifier_says_that_a_service_has_nothing_to_start_a_flow_with(acme, monkeypatch) -> None:
    monkeypatch.delattr(load("service", "AcmeApi"), "run_flow")
    with pytest.raises(InvalidArgumentError, match="the package for Acme has no run_flow"):
        FlowRunNotifier(service="acme", flow_id="f7k2")


def test_its_operator_starts_a_run_waits_for_it_and_cancels_it(sandbox) -> None:
    flow = sandbox.get_service("acme").add_flow()
    flow.next_run(waiting=0.0, running=0.2)
    flow.next_run(outcome="RUNNING")
    make = load("operators", "AcmeRunFlowOperator")
    arguments: dict[str, Any] = {"task_id": "run", "flow_id": flow.id, "poll_interval": 0.1}
    summary = make(**arguments, payload={"day": 1}).execute(task_context())
    assert (summary["run_id"], summary["disposition"]) == (flow.runs[0].id, "SUCCEEDED")
    with pytest.raises(FlowRunTimeout):
        make(**arguments, timeout=0.3, cancel_on_timeout=True).execute(task_context())
    assert [event.run_id for event in sandbox.ledger.canceled] == [flow.runs[1].id]
