"""Every answer recorded from a real Activepieces server is understood."""

import json
from functools import cache
from pathlib import Path
from typing import cast

import pytest

from airflow_provider_flowruns.client.responses import read_result
from airflow_provider_flowruns.client.settings import Settings, parse_settings
from airflow_provider_flowruns.model.calls import Call, Request, Response
from airflow_provider_flowruns.model.errors import (
    ApiError,
    AuthenticationError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
)
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Lifecycle
from airflow_provider_flowruns.services.activepieces import ActivepiecesApi

CAPTURES = Path(__file__).parents[2] / "fixtures" / "activepieces"
PROJECT_ID = "19NxIjX88XDYnuT9t5cwP"

QUEUED = (Lifecycle.PENDING, Disposition.NONE)
RUNNING = (Lifecycle.RUNNING, Disposition.NONE)
PAUSED = (Lifecycle.PAUSED, Disposition.NONE)
SUCCEEDED = (Lifecycle.NOT_RUNNING, Disposition.SUCCEEDED)
FAILED = (Lifecycle.NOT_RUNNING, Disposition.FAILED)
CANCELED = (Lifecycle.NOT_RUNNING, Disposition.CANCELED)

RUNS = {
    "run-get-archived": FAILED,
    "run-get-canceled-before-start": CANCELED,
    "run-get-canceled": CANCELED,
    "run-get-child": SUCCEEDED,
    "run-get-failed-step-out-of-memory": FAILED,
    "run-get-failed-step-process-died": FAILED,
    "run-get-failed": FAILED,
    "run-get-log-size-exceeded": FAILED,
    "run-get-paused": PAUSED,
    "run-get-queued": QUEUED,
    "run-get-running-no-start-time": RUNNING,
    "run-get-running": RUNNING,
    "run-get-succeeded-after-pause": SUCCEEDED,
    "run-get-succeeded-sync-webhook": SUCCEEDED,
    "run-get-succeeded": SUCCEEDED,
    "run-get-testing-environment": SUCCEEDED,
    "run-get-timeout": FAILED,
    "run-get-webhook-headers-kept": SUCCEEDED,
    "retry-from-failed-step": QUEUED,
    "retry-on-latest-version": QUEUED,
    "v0.79.2/run-get-canceled": CANCELED,
    "v0.79.2/run-get-failed": FAILED,
    "v0.79.2/run-get-paused": PAUSED,
    "v0.79.2/run-get-running": RUNNING,
    "v0.79.2/run-get-succeeded": SUCCEEDED,
}
ERRORS = {
    "error-bad-api-key-get": AuthenticationError,
    "error-bad-api-key-other-route-projects": AuthenticationError,
    "error-bad-jwt-flows-list": AuthenticationError,
    "error-bad-jwt-get": AuthenticationError,
    "error-bad-jwt-other-route-projects": AuthenticationError,
    "error-bad-status-filter": InvalidRequestError,
    "error-createdAfter-garbage": ServerError,
    "error-cursor-wrong-payload": ServerError,
    "error-limit-text": InvalidRequestError,
    "error-malformed-run-id": InvalidRequestError,
    "error-missing-projectId": InvalidRequestError,
    "error-no-token-get-unknown-id": NotFoundError,
    "error-no-token-get": PermissionDeniedError,
    "error-no-token-list": PermissionDeniedError,
    "error-run-of-deleted-flow": NotFoundError,
    "error-sign-in-rate-limited": RateLimitError,
    "error-sign-in-wrong-password": AuthenticationError,
    "error-superseded-session-list": PermissionDeniedError,
    "error-unknown-flow": NotFoundError,
    "error-unknown-project": NotFoundError,
    "error-unknown-route": NotFoundError,
    "error-unknown-run": NotFoundError,
    "edge-limit-minus-2": ServerError,
    "runs-list-filter-comma": InvalidRequestError,
    "v0.79.2/error-bad-api-key-get": AuthenticationError,
    "v0.79.2/error-bad-jwt-get": AuthenticationError,
    "v0.79.2/error-bad-status-filter": InvalidRequestError,
    "v0.79.2/error-missing-projectId": InvalidRequestError,
    "v0.79.2/error-no-token-list": PermissionDeniedError,
    "v0.79.2/error-unknown-project": NotFoundError,
    "v0.79.2/error-unknown-run": NotFoundError,
    "v0.79.2/runs-list-filter-comma": InvalidRequestError,
}
#: Asked for in an odd way and answered all the same.
ODD_BUT_ANSWERED = {"error-bad-createdAfter", "error-bad-cursor", "edge-limit-0"}


def names(*patterns: str) -> set[str]:
    found = (path for pattern in patterns for path in CAPTURES.rglob(pattern))
    return {path.relative_to(CAPTURES).with_suffix("").as_posix() for path in found}


LISTS = sorted((names("runs-list*.json", "runs-page*.json") | ODD_BUT_ANSWERED) - {*ERRORS})


@cache
def captured(name: str) -> dict:
    return json.loads((CAPTURES / f"{name}.json").read_text())


def response(name: str) -> Response:
    recorded = captured(name)["response"]
    headers = {header.lower(): value for header, value in recorded["headers"].items()}
    body = b"" if recorded["body"] is None else json.dumps(recorded["body"]).encode()
    return Response(recorded["status"], headers, body)


@pytest.fixture(scope="module")
def settings() -> Settings:
    return parse_settings(
        "activepieces",
        "activepieces_default",
        host="https://flows.example.com",
        schema=None,
        port=None,
        password="sk-made-up",
        extra={"project_id": PROJECT_ID},
    )


@pytest.fixture(scope="module")
def api(settings: Settings) -> ActivepiecesApi:
    return cast("ActivepiecesApi", settings.service)


def read_run(settings: Settings, name: str) -> FlowRun:
    service = cast("ActivepiecesApi", settings.service)
    return read_result(settings, service.get_flow_run(captured(name)["response"]["body"]["id"]), response(name))


def test_every_capture_of_a_run_or_an_error_is_in_these_tables() -> None:
    assert names("run-get*.json", "retry-*.json") == {*RUNS}
    assert names("error-*.json", "edge-*.json", "*-comma.json") == {*ERRORS} | ODD_BUT_ANSWERED


@pytest.mark.parametrize(("name", "state"), RUNS.items())
def test_state_of_a_recorded_run(settings, name, state) -> None:
    run, sent = read_run(settings, name), captured(name)["response"]["body"]
    assert (run.lifecycle, run.disposition) == state
    assert (run.run_id, run.flow_id, run.vendor_status) == (sent["id"], sent["flowId"], sent["status"])


@pytest.mark.parametrize("name", RUNS)
def test_a_recorded_run_fits_xcom_and_links_to_the_app(settings, name) -> None:
    run, sent = read_run(settings, name), captured(name)["response"]["body"]
    assert json.loads(json.dumps(run.summary(), allow_nan=False)) == run.summary()
    assert run.url == f"https://flows.example.com/projects/{sent['projectId']}/runs/{sent['id']}"


@pytest.mark.parametrize(("name", "state"), RUNS.items())
def test_a_recorded_run_has_an_end_exactly_when_it_has_ended(settings, name, state) -> None:
    run = read_run(settings, name)
    assert (run.completed_at is not None) is (state[0] is Lifecycle.NOT_RUNNING)
    assert bool(run.errors) is (state is FAILED)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("run-get-failed", "step 'Fetch orders': Error: Error: upstream returned 500"),
        ("run-get-timeout", "TIMEOUT"),
        ("run-get-log-size-exceeded", "Flow run logs size exceeded"),
        ("v0.79.2/run-get-failed", "step "),
    ],
)
def test_a_recorded_failure_says_why(settings, name, said) -> None:
    assert said in read_run(settings, name).errors[0]


@pytest.mark.parametrize("name", LISTS)
def test_every_recorded_list_of_runs_is_read_whole_and_in_order(settings, api, name) -> None:
    page = read_result(settings, api.list_flow_runs().first, response(name))
    assert [run.run_id for run in page.items] == [run["id"] for run in captured(name)["response"]["body"]["data"]]
    assert all(run.lifecycle is not Lifecycle.UNKNOWN for run in page.items)


def test_the_recorded_pages_hold_each_run_once(settings, api) -> None:
    calls = api.list_flow_runs().first
    pages = [read_result(settings, calls, response(f"runs-page-{number}")).items for number in (1, 2, 3)]
    ids = [run.run_id for page in pages for run in page]
    assert len(ids) == len(set(ids)) > 3


@pytest.mark.parametrize("name", ["flow-get", "flow-get-disabled", "flow-get-unpublished"])
def test_every_recorded_flow_is_read_as_an_item_of_a_list(api, name) -> None:
    sent = captured(name)["response"]["body"]
    (flow,) = api.list_flows().first.read({"data": [sent], "next": None}).items
    assert (flow.flow_id, flow.name) == (sent["id"], sent["version"]["displayName"])
    assert flow.enabled is (sent["status"] == "ENABLED")


def test_the_recorded_list_of_flows_leads_to_its_next_page(settings, api) -> None:
    body = captured("flows-list")["response"]["body"]
    page = read_result(settings, api.list_flows(limit=2).first, response("flows-list"))
    assert [flow.flow_id for flow in page.items] == [flow["id"] for flow in body["data"]]
    assert dict(page.next.request.query) == {"projectId": PROJECT_ID, "limit": "2", "cursor": body["next"]}


@pytest.mark.parametrize(("name", "kind"), ERRORS.items())
def test_a_recorded_error_becomes_its_class_with_the_servers_words(settings, name, kind) -> None:
    recorded = captured(name)
    request = Request(recorded["request"]["method"], recorded["request"]["path"].partition("?")[0])
    with pytest.raises(ApiError) as raised:
        read_result(settings, Call("activepieces", request, lambda body: body), response(name))
    error, body = raised.value, recorded["response"]["body"]
    assert type(error) is kind
    words = [body.get("code"), body.get("message"), (body.get("params") or {}).get("message")]
    words += [(body.get("params") or {}).get(key) for key in ("entityType", "entityId")]
    assert all(said in str(error) for said in words if said)
    assert (error.status, error.path) == (recorded["response"]["status"], request.path)


def test_the_recorded_rate_limit_says_how_long_to_wait(settings, api) -> None:
    with pytest.raises(RateLimitError) as raised:
        read_result(settings, api.list_flows().first, response("error-sign-in-rate-limited"))
    assert raised.value.retry_after == 57


@pytest.mark.parametrize("name", sorted(names("webhook-*.json", "*-request.json", "flow-delete.json")))
def test_no_other_recorded_response_reads_as_a_run_that_has_ended(settings, api, name) -> None:
    try:
        run = read_result(settings, api.get_flow_run("A" * 21), response(name))
    except ApiError:
        return
    assert run.disposition is Disposition.NONE


STATES_OF_BOTH_VERSIONS = sorted(
    Path(name).name for name in RUNS if name.startswith("v0.79.2/") and Path(name).name in RUNS
)


def essence(run: FlowRun) -> dict:
    summary = run.summary()
    given = {name: summary[name] is not None for name in ("created_at", "started_at", "completed_at", "url", "trigger")}
    said = {name: summary[name] for name in ("kind", "lifecycle", "disposition", "vendor_status", "attempt")}
    return {**given, **said, "errors": len(run.errors), "may_recover": run.may_recover}


def test_both_versions_have_recorded_the_main_states() -> None:
    states = ["canceled", "failed", "paused", "running", "succeeded"]
    assert [f"run-get-{state}" for state in states] == STATES_OF_BOTH_VERSIONS


@pytest.mark.parametrize("name", STATES_OF_BOTH_VERSIONS)
def test_both_versions_say_the_same_of_one_state(settings, name) -> None:
    assert essence(read_run(settings, name)) == essence(read_run(settings, f"v0.79.2/{name}"))


@pytest.mark.parametrize("name", [name for name in RUNS if name.startswith("run-get")])
def test_a_run_of_today_in_the_older_rendering_of_missing_values_reads_the_same(settings, api, name) -> None:
    sent = captured(name)["response"]["body"]
    empty = {"failedStep": {}}
    older = {key: empty.get(key, "") if value is None else value for key, value in sent.items()}
    assert older != sent
    assert api.get_flow_run(sent["id"]).read(older) == read_run(settings, name)


@pytest.mark.parametrize("name", [name for name in RUNS if name.startswith("run-get")])
def test_a_run_of_today_with_its_missing_values_left_out_reads_the_same(settings, api, name) -> None:
    sent = captured(name)["response"]["body"]
    shorter = {key: value for key, value in sent.items() if value is not None}
    assert shorter != sent
    assert api.get_flow_run(sent["id"]).read(shorter) == read_run(settings, name)
