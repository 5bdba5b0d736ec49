"""What is Prefect's own: its connection, its addresses, its states, and how little of it there is."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

import jsonschema
import pytest
from airflow_provider_flowruns_prefect.hooks import PrefectHook
from airflow_provider_flowruns_prefect.info import PREFECT
from airflow_provider_flowruns_prefect.operators import PrefectRunDeploymentOperator
from airflow_provider_flowruns_prefect.records import read_run
from airflow_provider_flowruns_prefect.service import PrefectApi
from fake_prefect import FakePrefect
from rounds import MAX_REQUESTS_PER_ROUND, WAITS, Request, wait_together
from test_conformance import build_row

from airflow_provider_flowruns.client.settings import Settings, parse_settings
from airflow_provider_flowruns.exceptions import ConfigurationError
from airflow_provider_flowruns.model.runs import Disposition, Lifecycle
from airflow_provider_flowruns.model.targets import StartedRunTarget, StartMarker
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.testing.reading import drive
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger

ROOT = Path(__file__).parents[1]
RUN = str(build_row(1)["id"])
CLOUD = "https://api.prefect.cloud/api/accounts/a-1/workspaces/w-2"


def settings(host: str, login: str | None = None, password: str | None = None) -> Settings:
    return parse_settings("prefect", "c", host=host, schema=None, port=None, login=login, password=password, extra={})


def test_it_is_small() -> None:
    package = sorted((ROOT / "airflow_provider_flowruns_prefect").rglob("*.py"))
    counted = [*package, ROOT / "pyproject.toml"]
    assert len(counted) <= 12
    assert sum(len(path.read_text().splitlines()) for path in counted) <= 600


def test_airflow_accepts_its_metadata() -> None:
    (point,) = [one for one in entry_points(group="apache_airflow_provider") if "prefect" in one.module]
    info = point.load()()
    schema = json.loads((files("airflow") / "provider_info.schema.json").read_text())
    jsonschema.Draft7Validator(schema).validate(info)
    (connection,) = info["connection-types"]
    assert connection["hook-class-name"] == f"{PrefectHook.__module__}.{PrefectHook.__name__}"
    behaviour = connection["ui-field-behaviour"]
    assert (behaviour["relabeling"]["login"], behaviour["relabeling"]["password"]) == ("User name", "Password")
    assert "login" not in behaviour["hidden-fields"]


@pytest.mark.parametrize(
    ("host", "path", "page"),
    [
        ("http://h:4200", f"/api/flow_runs/{RUN}", f"http://h:4200/runs/flow-run/{RUN}"),
        ("http://h:4200/api/", f"/api/flow_runs/{RUN}", f"http://h:4200/runs/flow-run/{RUN}"),
        (CLOUD, f"/flow_runs/{RUN}", f"https://app.prefect.cloud/account/a-1/workspace/w-2/runs/flow-run/{RUN}"),
        (
            CLOUD.replace(".cloud/", ".cloud:443/"),
            f"/flow_runs/{RUN}",
            f"https://app.prefect.cloud/account/a-1/workspace/w-2/runs/flow-run/{RUN}",
        ),
    ],
)
def test_a_server_and_the_cloud_have_addresses_of_their_own(host: str, path: str, page: str) -> None:
    made = settings(host)
    assert isinstance(made.service, PrefectApi)
    call = made.service.get_flow_run(RUN)
    assert (call.request.path, call.read(build_row(1)).url) == (path, page)


@pytest.mark.parametrize(
    ("login", "password", "headers"),
    [
        (None, None, {}),
        (None, "pnu_made_up", {"Authorization": "Bearer pnu_made_up"}),
        ("jo", "a", {"Authorization": "Basic am86YQ=="}),
    ],
)
def test_a_connection_may_have_a_key_a_user_or_nothing(
    login: str | None, password: str | None, headers: dict[str, str]
) -> None:
    assert settings("http://h:4200", login, password).auth_headers == headers


def test_an_api_key_is_pasted_without_its_scheme() -> None:
    assert settings(CLOUD, None, " pnu_made_up\n").auth_headers == {"Authorization": "Bearer pnu_made_up"}
    with pytest.raises(ConfigurationError, match="without 'Bearer'"):
        settings(CLOUD, None, "Bearer pnu_made_up")


def test_a_connection_needs_a_host() -> None:
    with pytest.raises(ConfigurationError, match="host"):
        settings("")


@pytest.mark.parametrize(
    ("state_type", "name", "lifecycle", "disposition"),
    [
        ("SCHEDULED", "Scheduled", Lifecycle.PENDING, Disposition.NONE),
        ("SCHEDULED", "Late", Lifecycle.PENDING, Disposition.NONE),
        ("SCHEDULED", "AwaitingRetry", Lifecycle.PENDING, Disposition.NONE),
        ("PENDING", "Pending", Lifecycle.PENDING, Disposition.NONE),
        ("RUNNING", "Running", Lifecycle.RUNNING, Disposition.NONE),
        ("RUNNING", "Retrying", Lifecycle.RUNNING, Disposition.NONE),
        ("PAUSED", "Paused", Lifecycle.PAUSED, Disposition.NONE),
        ("PAUSED", "Suspended", Lifecycle.PAUSED, Disposition.NONE),
        ("CANCELLING", "Cancelling", Lifecycle.RUNNING, Disposition.NONE),
        ("COMPLETED", "Completed", Lifecycle.NOT_RUNNING, Disposition.SUCCEEDED),
        ("COMPLETED", "Cached", Lifecycle.NOT_RUNNING, Disposition.SUCCEEDED),
        ("FAILED", "Failed", Lifecycle.NOT_RUNNING, Disposition.FAILED),
        ("CRASHED", "Crashed", Lifecycle.NOT_RUNNING, Disposition.FAILED),
        ("CANCELLED", "Cancelled", Lifecycle.NOT_RUNNING, Disposition.CANCELED),
        ("DREAMING", "Dreaming", Lifecycle.UNKNOWN, Disposition.NONE),
    ],
)
def test_every_state_is_known_by_its_type(
    state_type: str, name: str, lifecycle: Lifecycle, disposition: Disposition
) -> None:
    state = {"type": state_type, "message": "said", "timestamp": "2026-01-31T12:00:01Z"}
    run = read_run(build_row(1, state_type=state_type, state_name=name, state=state), "http://h")
    assert (run.lifecycle, run.disposition, run.vendor_status) == (lifecycle, disposition, name)
    assert run.errors == (("said",) if disposition is Disposition.FAILED else ())
    assert (run.completed_at is None) == (lifecycle is not Lifecycle.NOT_RUNNING)


def test_parameters_are_not_in_a_summary() -> None:
    run = read_run(build_row(1, parameters={"password": "hunter22"}), "http://h")
    assert "hunter22" not in json.dumps(run.summary())


def test_its_entry_says_what_the_kit_needs_to_know() -> None:
    assert (PREFECT.can_cancel, PREFECT.can_pause, PREFECT.batches_by_id) == (True, True, True)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"detail": "Flow run not found"}, "Flow run not found"),
        (
            {"exception_message": "Invalid request received.", "exception_detail": [{"msg": "too odd"}]},
            "Invalid request received. too odd",
        ),
        ({"exception_message": "Unauthorized"}, "Unauthorized"),
        ([], None),
    ],
)
def test_error_messages(body: Any, message: str | None) -> None:
    assert PrefectApi().error_message(body) == message


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        ({"status": "ACCEPT", "state": {"type": "CANCELLING"}}, None),
        ({"status": "REJECT", "state": {"type": "CANCELLED"}, "details": {"reason": "nothing to terminate"}}, None),
        ({"status": "REJECT", "state": {"type": "CANCELLING"}, "details": {"reason": "already"}}, None),
        ({"status": "REJECT", "state": {"type": "RUNNING"}, "details": {"reason": "no"}}, "no"),
        ({"status": "ABORT", "state": None, "details": {"reason": "has ended"}}, "has ended"),
        ({"status": "WAIT", "state": None, "details": {}}, "WAIT"),
    ],
)
def test_a_cancellation_is_judged_by_the_state_that_it_left(answer: dict[str, Any], refusal: str | None) -> None:
    assert PrefectApi().cancel_flow_run(RUN).read(answer) == refusal


def test_a_run_of_another_deployment_with_the_same_key_is_not_taken_for_the_start() -> None:
    call = PrefectApi().run_flow(build_row(1)["deployment_id"], key="orders")
    assert call.read(build_row(1)).run_id == build_row(1)["id"]
    with pytest.raises(ValueError, match="has this idempotency key"):
        call.read(build_row(1, deployment_id=RUN))


def test_only_runs_that_show_the_key_are_those_of_a_start() -> None:
    target = StartedRunTarget("prefect", build_row(1)["deployment_id"], StartMarker("mine", "idempotency_key"))
    rows = [build_row(1, idempotency_key="mine"), build_row(2, idempotency_key="another"), build_row(3)]
    assert [run.run_id for run in drive(PrefectApi().poll(target), rows)] == [rows[0]["id"]]


@pytest.mark.parametrize(("tags", "sent"), [(None, []), ("", []), ("a", ["a"]), (["a", ""], ["a"])])
def test_tags_that_render_to_nothing_are_none(tags: Any, sent: list[str]) -> None:
    assert PrefectApi().run_flow(RUN, tags=tags).request.json["tags"] == sent


@pytest.mark.parametrize(
    ("arguments", "is_canceled"),
    [({}, True), ({"idempotency_key": "a"}, False), ({"idempotency_key": "a", "cancel_on_kill": True}, True)],
)
def test_a_run_that_others_may_share_is_not_cancelled_by_default(arguments: dict[str, Any], is_canceled: bool) -> None:
    assert PrefectRunDeploymentOperator(task_id="run", deployment_id=RUN, **arguments).cancel_on_kill is is_canceled


def test_five_hundred_deferred_waits_take_at_most_ten_requests_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FlowRunTrigger, "first_wait", (0.2, 0.5))
    with Sandbox(further_services=[FakePrefect]) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_PREFECT_DEFAULT", sandbox.connection_json("prefect"))
        service: Any = sandbox.get_service("prefect")
        flow = service.add_flow()
        runs = {run.id: run for run in (flow.add_run(outcome="RUNNING", ago=60.0) for _ in range(WAITS))}
        rounds, events = wait_together(
            list(runs),
            lambda: [Request(one.time, one.path, one.body) for one in sandbox.ledger.requests if one.status],
            lambda run_id: runs[run_id].end(),
        )
    # A machine that is short of time spreads the polls of a round, so that single ones take more.
    assert median(rounds) <= MAX_REQUESTS_PER_ROUND, rounds
    assert [event["run"]["run_id"] for event in events] == list(runs)[: len(events)]
    assert {event["outcome"] for event in events} == {"succeeded"}
