"""The hooks: an Airflow connection in, documented requests out, answers read; and what Test Connection says."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import requests
import requests_mock

from airflow_provider_flowruns.exceptions import (
    ConfigurationError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
)
from airflow_provider_flowruns.hooks.activepieces import ActivepiecesHook
from airflow_provider_flowruns.hooks.base import FlowRunsHook
from airflow_provider_flowruns.hooks.portable import PortableHook
from airflow_provider_flowruns.hooks.tableflow import TableFlowHook
from airflow_provider_flowruns.model.runs import Flow

TOKEN = "made-up-token-0123456789"
PROJECT_ID, RUN_ID, FLOW_ID = "19NxIjX88XDYnuT9t5cwP", "cPi5kjLQnJv89Z7KBGg7G", "ojdVhFCCcrZ2X1rqJL2Mu"
PORTABLE, ACTIVEPIECES = "https://api.portable.io", "https://cloud.activepieces.com"
TABLEFLOW = "https://api.tableflow.com"
HOOKS = [PortableHook, ActivepiecesHook, TableFlowHook]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch):
    """Return a function that sets a connection, as a deployment does, through the environment."""

    def set_connection(conn_id: str, **fields: object) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    return set_connection


@pytest.fixture
def connections(connect) -> None:
    connect("portable_default", conn_type="portable", password=TOKEN)
    connect("activepieces_default", conn_type="activepieces", password=TOKEN, extra={"project_id": PROJECT_ID})
    connect("tableflow_default", conn_type="tableflow", password=TOKEN)


@pytest.fixture
def wire() -> Iterator[requests_mock.Mocker]:
    with requests_mock.Mocker() as mocker:
        yield mocker


@pytest.fixture(autouse=True)
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    asked: list[float] = []
    monkeypatch.setattr("time.sleep", asked.append)
    return asked


STATUS = {"id": 5, "lifecycle": "NOT_RUNNING", "disposition": "SUCCEEDED"}
ATTEMPTS = {"data": [{"id": 8, "disposition": "FAILED"}, {"id": 7, "disposition": "SUCCEEDED"}]}
RUN = {"id": RUN_ID, "flowId": FLOW_ID, "projectId": PROJECT_ID, "status": "PAUSED", "created": "2026-01-31T12:00:00Z"}
TABLE_RUN = {"id": "Wp7kRnT2mX4vQ9bL", "flow_id": "dk4g1tUg1uHLs8YU", "status": "review"}

#: What is called, what is sent for it, what is answered, and the ids that are read.
CALLS = [
    (PortableHook, lambda hook: [hook.get_flow_status(5)], f"{PORTABLE}/v2/flows/5/status", STATUS, ["5"]),
    (PortableHook, lambda hook: [hook.get_workflow_status("5")], f"{PORTABLE}/v2/workflows/5/status", STATUS, ["5"]),
    (
        PortableHook,
        lambda hook: hook.get_run_attempts(5),
        f"{PORTABLE}/v2/flows/5/run?limit=100&offset=0",
        ATTEMPTS,
        ["8", "7"],
    ),
    (
        PortableHook,
        lambda hook: hook.get_run_attempts(
            5, limit=10, sort="ASC", start_time=datetime(2026, 1, 31, tzinfo=UTC), end_time="2026-02-01T00:00+01:00"
        ),
        f"{PORTABLE}/v2/flows/5/run?limit=10&offset=0&sort=ASC&startTime=2026-01-31T00%3A00%3A00Z"
        "&endTime=2026-01-31T23%3A00%3A00Z",
        ATTEMPTS,
        ["8", "7"],
    ),
    (
        PortableHook,
        lambda hook: hook.list_flows(),
        f"{PORTABLE}/v2/flows",
        {"data": [{"id": 1}, {"id": 2}]},
        ["1", "2"],
    ),
    (
        ActivepiecesHook,
        lambda hook: [hook.get_flow_run(RUN_ID)],
        f"{ACTIVEPIECES}/api/v1/flow-runs/{RUN_ID}",
        RUN,
        [RUN_ID],
    ),
    (
        ActivepiecesHook,
        lambda hook: hook.list_flow_runs(),
        f"{ACTIVEPIECES}/api/v1/flow-runs?projectId={PROJECT_ID}&limit=100",
        {"data": [RUN], "next": None},
        [RUN_ID],
    ),
    (
        ActivepiecesHook,
        lambda hook: hook.list_flow_runs(
            flow_id=FLOW_ID,
            status=["FAILED", "TIMEOUT"],
            created_after="2026-01-31",
            created_before=datetime(2026, 2, 1, tzinfo=UTC),
            limit="7",
        ),
        f"{ACTIVEPIECES}/api/v1/flow-runs?projectId={PROJECT_ID}&flowId={FLOW_ID}&status=FAILED&status=TIMEOUT"
        "&createdAfter=2026-01-31T00%3A00%3A00Z&createdBefore=2026-02-01T00%3A00%3A00Z&limit=7",
        {"data": [RUN], "next": None},
        [RUN_ID],
    ),
    (
        ActivepiecesHook,
        lambda hook: hook.list_flows(limit=5),
        f"{ACTIVEPIECES}/api/v1/flows?projectId={PROJECT_ID}&limit=5",
        {"data": [{"id": FLOW_ID}], "next": None},
        [FLOW_ID],
    ),
    (
        TableFlowHook,
        lambda hook: [hook.get_flow_run("Wp7kRnT2mX4vQ9bL")],
        f"{TABLEFLOW}/v2/flows/runs/Wp7kRnT2mX4vQ9bL",
        TABLE_RUN,
        ["Wp7kRnT2mX4vQ9bL"],
    ),
    (
        TableFlowHook,
        lambda hook: hook.list_flow_runs(),
        f"{TABLEFLOW}/v2/flows/runs?limit=100&offset=0",
        {"flow_runs": [TABLE_RUN], "pagination": {"next_offset": None}},
        ["Wp7kRnT2mX4vQ9bL"],
    ),
    (
        TableFlowHook,
        lambda hook: hook.list_flow_runs(flow_id="dk4g1tUg1uHLs8YU", status="review", limit=3),
        f"{TABLEFLOW}/v2/flows/runs?limit=3&offset=0&flow_id=dk4g1tUg1uHLs8YU&status=review",
        {"flow_runs": [TABLE_RUN], "pagination": {"next_offset": None}},
        ["Wp7kRnT2mX4vQ9bL"],
    ),
    (
        TableFlowHook,
        lambda hook: hook.list_flows(),
        f"{TABLEFLOW}/v2/flows",
        [{"id": "dk4g1tUg1uHLs8YU"}],
        ["dk4g1tUg1uHLs8YU"],
    ),
]


@pytest.mark.parametrize(("hook_class", "call", "url", "answer", "ids"), CALLS, ids=[call[2] for call in CALLS])
def test_a_method_sends_the_documented_request_and_reads_the_response(
    connections, wire, hook_class, call, url, answer, ids
) -> None:
    wire.get(url.partition("?")[0], json=answer)
    with hook_class() as hook:
        found = list(call(hook))
    assert [one.flow_id if isinstance(one, Flow) else one.run_id or one.flow_id for one in found] == ids
    assert [(request.method, request.url) for request in wire.request_history] == [("GET", url)]
    assert wire.last_request.headers["Authorization"] == f"Bearer {TOKEN}"


NEVER_SENT = [
    (PortableHook, lambda hook: hook.get_flow_status("../x"), "flow_id"),
    (PortableHook, lambda hook: hook.get_workflow_status("1/status?x="), "workflow_id"),
    (PortableHook, lambda hook: hook.get_run_attempts("1#"), "flow_id"),
    (PortableHook, lambda hook: hook.get_run_attempts(5, limit=5000), "limit"),
    (PortableHook, lambda hook: hook.get_run_attempts(5, sort="NEWEST"), "sort"),
    (PortableHook, lambda hook: hook.get_run_attempts(5, start_time="soon"), "start_time"),
    (
        PortableHook,
        lambda hook: hook.get_run_attempts(5, start_time="2026-02-01", end_time="2026-01-31"),
        "end_time .* must be later than start_time",
    ),
    (ActivepiecesHook, lambda hook: hook.get_flow_run("short"), "run_id"),
    (ActivepiecesHook, lambda hook: hook.list_flow_runs(flow_id="../x"), "flow_id"),
    (ActivepiecesHook, lambda hook: hook.list_flow_runs(flow_id=""), "flow_id"),
    (ActivepiecesHook, lambda hook: hook.list_flow_runs(status="NOPE"), "status"),
    (ActivepiecesHook, lambda hook: hook.list_flow_runs(status=["FAILED", "NOPE"]), "status"),
    (ActivepiecesHook, lambda hook: hook.list_flow_runs(limit=5000), "limit"),
    (
        ActivepiecesHook,
        lambda hook: hook.list_flow_runs(created_after="2026-02-01", created_before="2026-01-31"),
        "created_before .* must be later than created_after",
    ),
    (ActivepiecesHook, lambda hook: hook.list_flows(limit=0), "limit"),
    (TableFlowHook, lambda hook: hook.get_flow_run("../x"), "run_id"),
    (TableFlowHook, lambda hook: hook.list_flow_runs(flow_id="%2e%2e"), "flow_id"),
    (TableFlowHook, lambda hook: hook.list_flow_runs(flow_id=""), "flow_id"),
    (TableFlowHook, lambda hook: hook.list_flow_runs(status="done"), "status"),
    (TableFlowHook, lambda hook: hook.list_flow_runs(limit=5000), "limit"),
]


@pytest.mark.parametrize(("hook_class", "call", "named"), NEVER_SENT)
def test_an_argument_that_cannot_be_right_is_refused_at_the_call_and_nothing_is_sent(
    connections, wire, hook_class, call, named
) -> None:
    hook = hook_class()
    with pytest.raises(InvalidArgumentError, match=named):
        call(hook)
    assert wire.call_count == 0


@pytest.mark.parametrize("call", [lambda hook: hook.list_flow_runs(), lambda hook: hook.list_flows()])
@pytest.mark.parametrize("extra", [{}, {"project_id": ""}, {"project_id": None}, {"project_id": "my project"}])
def test_activepieces_lists_without_a_usable_project_say_what_to_set(connect, wire, call, extra) -> None:
    connect("activepieces_default", conn_type="activepieces", password=TOKEN, extra=extra)
    hook = ActivepiecesHook()
    with pytest.raises(ConfigurationError, match="project_id"):
        call(hook)
    assert wire.call_count == 0


def test_an_activepieces_run_needs_no_project(connect, wire) -> None:
    connect("activepieces_default", conn_type="activepieces", password=TOKEN)
    wire.get(f"{ACTIVEPIECES}/api/v1/flow-runs/{RUN_ID}", json=RUN)
    assert ActivepiecesHook().get_flow_run(RUN_ID).run_id == RUN_ID


# -- the connection


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "flows.example.com"}, "https://flows.example.com"),
        ({"host": "https://flows.example.com/api/v1/"}, "https://flows.example.com"),
        ({"host": "flows.example.com", "schema": "http", "port": 8080}, "http://flows.example.com:8080"),
        ({"host": "flows.example.com", "extra": {"timeout": "5"}}, "https://flows.example.com"),
        ({"host": "flows.example.com", "extra": '{"verify": "true"}'}, "https://flows.example.com"),
    ],
)
def test_a_self_hosted_activepieces_under_another_connection_id(connect, wire, fields, url) -> None:
    connect("our_flows", conn_type="activepieces", password=TOKEN, **fields)
    wire.get(f"{url}/api/v1/flow-runs/{RUN_ID}", json=RUN)
    run = ActivepiecesHook("our_flows").get_flow_run(RUN_ID)
    assert run.url == f"{url}/projects/{PROJECT_ID}/runs/{RUN_ID}"


def test_a_connection_given_as_a_uri(monkeypatch, wire) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PORTABLE_DEFAULT", f"portable://:{TOKEN}@flows.example.com:8443/?timeout=5")
    wire.get("https://flows.example.com:8443/v2/flows/5/status", json=STATUS)
    assert PortableHook().get_flow_status(5).flow_id == "5"
    assert wire.last_request.timeout == (4.5, 5)


@pytest.mark.parametrize("hook_class", HOOKS)
def test_the_connection_is_looked_up_on_first_use_and_once(connect, wire, hook_class) -> None:
    hook = hook_class("not_there_yet")
    connect("not_there_yet", conn_type=hook_class.conn_type, password=TOKEN, host="one.example.com")
    before = hook.settings
    connect("not_there_yet", conn_type=hook_class.conn_type, password=TOKEN, host="two.example.com")
    assert hook.settings is before
    assert hook.get_conn() is hook.client
    assert hook.client.settings.base_url == "https://one.example.com"


@pytest.mark.parametrize("hook_class", HOOKS)
def test_a_hook_names_its_connection(hook_class) -> None:
    assert hook_class().conn_id == hook_class.default_conn_name == f"{hook_class.conn_type}_default"
    assert hook_class("other").conn_id == getattr(hook_class("other"), f"{hook_class.conn_type}_conn_id") == "other"


def test_a_hook_that_was_closed_works_again(connections, wire) -> None:
    wire.get(f"{PORTABLE}/v2/flows/5/status", json=STATUS)
    hook = PortableHook()
    hook.close()
    for _ in range(2):
        with hook:
            assert hook.get_flow_status(5).flow_id == "5"


def test_an_error_of_the_service_reaches_the_caller(connections, wire) -> None:
    wire.get(f"{PORTABLE}/v2/flows/5/status", status_code=404, json={"message": "Not Found"})
    with pytest.raises(NotFoundError, match="Not Found"):
        PortableHook().get_flow_status(5)


# -- Test Connection

HTML = {"text": "<html>Welcome</html>", "headers": {"Content-Type": "text/html"}}
TRIED = {
    PortableHook: f"{PORTABLE}/v2/flows",
    ActivepiecesHook: f"{ACTIVEPIECES}/api/v1/flows",
    TableFlowHook: f"{TABLEFLOW}/v2/flows",
}
NOT_FOUND = "The server responds, but has no such object; the base URL or an id may be wrong."
NOT_ITSELF = "The server responds, but not like this service; the base URL may be wrong."


def tried(hook: FlowRunsHook) -> tuple[bool, str]:
    works, message = hook.test_connection()
    assert TOKEN not in message
    return works, message


@pytest.mark.parametrize(
    ("hook_class", "answer", "message"),
    [
        (PortableHook, {"data": [{"id": 1}, {"id": 2}]}, "Connected to Portable; this token sees 2 flows"),
        (PortableHook, {"data": [{"id": 1}]}, "Connected to Portable; this token sees 1 flow"),
        (PortableHook, {"data": []}, "Connected to Portable; this token sees 0 flows"),
        (
            ActivepiecesHook,
            {"data": [{"id": FLOW_ID, "version": {"displayName": "Orders sync"}}], "next": "x"},
            f"Connected to Activepieces; this token sees project {PROJECT_ID} with flow 'Orders sync' among others",
        ),
        (
            ActivepiecesHook,
            {"data": [], "next": None},
            f"Connected to Activepieces; this token sees project {PROJECT_ID} with no flow",
        ),
        (
            TableFlowHook,
            [{"id": "a", "workspace_id": "uT2bJNWN75YPU95r"}],
            "Connected to TableFlow; this key sees 1 active flow of workspace uT2bJNWN75YPU95r",
        ),
        (TableFlowHook, [], "Connected to TableFlow; this key sees 0 active flows"),
    ],
)
def test_a_connection_that_works_names_what_it_sees(connections, wire, hook_class, answer, message) -> None:
    wire.get(TRIED[hook_class], json=answer)
    assert tried(hook_class()) == (True, message)
    assert [request.method for request in wire.request_history] == ["GET"]


def test_activepieces_without_a_project_names_the_projects_to_choose_from(connect, wire) -> None:
    connect("activepieces_default", conn_type="activepieces", password=TOKEN)
    wire.get(f"{ACTIVEPIECES}/api/v1/projects", json={"data": [{"id": PROJECT_ID, "displayName": "Sales"}]})
    works, message = tried(ActivepiecesHook())
    assert works
    assert f"Sales ({PROJECT_ID})" in message
    assert "Set project_id" in message


@pytest.mark.parametrize("hook_class", HOOKS)
@pytest.mark.parametrize(
    ("answer", "diagnosis"),
    [
        ({"status_code": 401, "json": {"message": "Unauthorized"}}, "The service does not accept the token."),
        ({"status_code": 403, "json": {"message": "No"}}, "The service knows the token but denies it access."),
        ({"status_code": 402, "json": {}}, "The service knows the token but denies it access."),
        ({"exc": requests.ConnectionError("refused")}, "The service cannot be reached."),
        ({"exc": requests.ConnectTimeout("slow")}, "The service cannot be reached."),
        ({"status_code": 503}, "The service responds with an error."),
        ({"status_code": 429, "headers": {"Retry-After": "600"}}, "The service responds with an error."),
        ({"status_code": 404, **HTML}, NOT_FOUND),
        ({"status_code": 404, "json": {"message": "Route not found"}}, NOT_FOUND),
        ({"status_code": 200, **HTML}, NOT_ITSELF),
        ({"status_code": 200, "json": {"hello": "world"}}, NOT_ITSELF),
        ({"status_code": 302, "headers": {"Location": "https://login.example.com"}}, NOT_ITSELF),
    ],
)
def test_a_connection_that_does_not_work_says_why(connections, wire, hook_class, answer, diagnosis) -> None:
    wire.get(TRIED[hook_class], **answer)
    works, message = tried(hook_class())
    assert not works
    assert message.startswith(f"{diagnosis} ")
    assert "this connection" in message
    assert hook_class.default_conn_name not in message
    if status := answer.get("status_code"):
        assert f"responded with {status} to GET" in message


def test_a_portable_plan_without_api_is_named_in_portables_words(connections, wire) -> None:
    wire.get(
        f"{PORTABLE}/v2/flows", status_code=403, json={"message": "Your current plan does not support this feature"}
    )
    works, message = tried(PortableHook())
    assert not works
    assert "Your current plan does not support this feature" in message
    assert "plan of this account does not include the API" in message


UNKNOWN_PROJECT = {"code": "ENTITY_NOT_FOUND", "params": {"entityId": PROJECT_ID, "entityType": "project"}}
DENIED = {"code": "AUTHORIZATION", "params": {"message": "principal is not allowed for this route"}}
SUPERSEDED = {"statusCode": 403, "error": "Forbidden", "message": "Cannot read properties of undefined"}


@pytest.mark.parametrize(("status", "body"), [(404, UNKNOWN_PROJECT), (403, DENIED), (403, SUPERSEDED)])
@pytest.mark.parametrize(
    "ask",
    [
        lambda hook: list(hook.list_flows()),
        lambda hook: list(hook.list_flow_runs()),
        lambda hook: hook.client.execute(hook.api.check()),
    ],
)
def test_an_activepieces_project_that_is_not_there_for_the_token_is_named(connections, wire, ask, status, body) -> None:
    wire.get(requests_mock.ANY, status_code=status, json=body)
    with pytest.raises(NotFoundError if status == 404 else PermissionDeniedError) as raised:
        ask(ActivepiecesHook())
    assert f"check the connection's extra 'project_id', which is {PROJECT_ID}" in str(raised.value)


def test_an_unknown_project_is_not_taken_for_a_wrong_base_url(connections, wire) -> None:
    wire.get(requests_mock.ANY, status_code=404, json=UNKNOWN_PROJECT)
    works, message = tried(ActivepiecesHook())
    assert not works
    assert message.startswith(NOT_FOUND)
    assert f"'project_id', which is {PROJECT_ID}" in message


def test_an_unknown_run_is_not_blamed_on_the_project(connections, wire) -> None:
    body = {"code": "ENTITY_NOT_FOUND", "params": {"entityId": RUN_ID, "entityType": "flow_run"}}
    wire.get(requests_mock.ANY, status_code=404, json=body)
    with pytest.raises(NotFoundError) as raised:
        ActivepiecesHook().get_flow_run(RUN_ID)
    assert "which is" not in str(raised.value)


@pytest.mark.parametrize("hook_class", HOOKS)
@pytest.mark.parametrize("password", [{}, {"password": ""}, {"password": "  "}])
def test_a_missing_token_is_found_without_a_request(connect, wire, hook_class, password) -> None:
    connect(hook_class.default_conn_name, conn_type=hook_class.conn_type, **password)
    works, message = tried(hook_class())
    assert not works
    assert message.startswith("The connection is incomplete or invalid. ")
    assert f"{hook_class.hook_name} API token" in message
    assert wire.call_count == 0


@pytest.mark.parametrize(
    "fields",
    [{"host": "ftp://example.com"}, {"extra": {"timeout": -1}}, {"extra": {"project_id": "my project"}}],
)
def test_a_wrong_field_is_found_without_a_request(connect, wire, fields) -> None:
    connect("activepieces_default", conn_type="activepieces", password=TOKEN, **fields)
    works, message = tried(ActivepiecesHook())
    assert not works
    assert message.startswith("The connection is incomplete or invalid. ")
    assert wire.call_count == 0
