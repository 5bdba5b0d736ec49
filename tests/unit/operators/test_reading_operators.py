"""The reading operators: checked at DAG parse, plain JSON at run time, and no request too many."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests_mock
from airflow.providers.common.compat.sdk import DAG, BaseOperator

from airflow_provider_flowruns.exceptions import InvalidArgumentError, PermissionDeniedError, ResultTooLarge
from airflow_provider_flowruns.operators.activepieces import (
    ActivepiecesGetFlowRunOperator,
    ActivepiecesListFlowRunsOperator,
    ActivepiecesListFlowsOperator,
)
from airflow_provider_flowruns.operators.history import HistoryOperator
from airflow_provider_flowruns.operators.portable import PortableGetRunAttemptsOperator, PortableListFlowsOperator
from airflow_provider_flowruns.operators.tableflow import (
    TableFlowDownloadOriginalOperator,
    TableFlowDownloadTableOperator,
    TableFlowGetExtractionOperator,
    TableFlowGetFlowRunOperator,
    TableFlowGetRunAttemptsOperator,
    TableFlowGetTableRowsOperator,
    TableFlowListFlowRunsOperator,
    TableFlowListFlowsOperator,
)

TOKEN = "made-up-token-0123456789"
PROJECT_ID, RUN_ID, FLOW_ID = "19NxIjX88XDYnuT9t5cwP", "cPi5kjLQnJv89Z7KBGg7G", "ojdVhFCCcrZ2X1rqJL2Mu"
TABLE_RUN, TABLE_FLOW, EXTRACTION = "Wp7kRnT2mX4vQ9bL", "dk4g1tUg1uHLs8YU", "uT2bJNWN75YPU95r"
ATTEMPTS_URL = "https://api.portable.io/v2/flows/5/run"
RUNS_URL = "https://cloud.activepieces.com/api/v1/flow-runs"
TABLE_RUNS_URL = "https://api.tableflow.com/v2/flows/runs"

#: Arguments with which each operator can be created.
GOOD: dict[type[BaseOperator], dict[str, Any]] = {
    PortableGetRunAttemptsOperator: {"flow_id": 5},
    PortableListFlowsOperator: {},
    ActivepiecesListFlowsOperator: {},
    TableFlowListFlowsOperator: {},
    ActivepiecesGetFlowRunOperator: {"run_id": RUN_ID},
    ActivepiecesListFlowRunsOperator: {},
    TableFlowGetFlowRunOperator: {"run_id": TABLE_RUN},
    TableFlowGetRunAttemptsOperator: {"run_id": TABLE_RUN},
    TableFlowListFlowRunsOperator: {},
    TableFlowGetExtractionOperator: {"extraction_id": EXTRACTION},
    TableFlowGetTableRowsOperator: {"extraction_id": EXTRACTION, "table": "line_items"},
    TableFlowDownloadTableOperator: {"extraction_id": EXTRACTION, "table": "line_items", "output_path": "rows.csv"},
    TableFlowDownloadOriginalOperator: {"extraction_id": EXTRACTION, "output_path": "document.pdf"},
}
#: Arguments that are no values that come from somewhere.
SWITCHES = {"fetch_all", "format", "include_validations", "on_empty"}
OPERATORS = [*GOOD]


def make(operator: type[BaseOperator], **arguments: Any) -> Any:
    if "max_runs" in arguments:
        arguments["fetch_all"] = True
    return operator(task_id="read", **{**GOOD[operator], **arguments})


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[requests_mock.Mocker]:
    for kind in ("portable", "activepieces", "tableflow"):
        connection = {"conn_type": kind, "password": TOKEN, "extra": {"project_id": PROJECT_ID}}
        monkeypatch.setenv(f"AIRFLOW_CONN_{kind.upper()}_DEFAULT", json.dumps(connection))
    with requests_mock.Mocker() as mocker:
        yield mocker


# -- at DAG parse

WRONG = [
    (PortableGetRunAttemptsOperator, {"flow_id": "../x"}, "flow_id"),
    (PortableGetRunAttemptsOperator, {"flow_id": ""}, "flow_id"),
    (PortableGetRunAttemptsOperator, {"flow_id": "orders"}, "flow_id"),
    (PortableGetRunAttemptsOperator, {"flow_id": True}, "flow_id"),
    (PortableGetRunAttemptsOperator, {"limit": 5000}, "limit"),
    (PortableGetRunAttemptsOperator, {"limit": 0}, "limit"),
    (PortableGetRunAttemptsOperator, {"limit": "ten"}, "limit"),
    (PortableGetRunAttemptsOperator, {"sort": "newest"}, "sort"),
    (PortableGetRunAttemptsOperator, {"start_time": "soon"}, "start_time"),
    (PortableGetRunAttemptsOperator, {"end_time": 1682366228}, "end_time"),
    (PortableGetRunAttemptsOperator, {"start_time": "2026-02-01", "end_time": "2026-01-31"}, "end_time .* start_time"),
    (PortableGetRunAttemptsOperator, {"start_time": "2026-02-01", "end_time": "2026-02-01"}, "end_time .* start_time"),
    (ActivepiecesGetFlowRunOperator, {"run_id": "short"}, "run_id"),
    (ActivepiecesGetFlowRunOperator, {"run_id": "run_abc123"}, "run_id"),
    (ActivepiecesListFlowRunsOperator, {"flow_id": "1/status?x="}, "flow_id"),
    (ActivepiecesListFlowRunsOperator, {"flow_id": ""}, "flow_id"),
    (ActivepiecesListFlowRunsOperator, {"limit": 5000}, "limit"),
    (ActivepiecesListFlowRunsOperator, {"created_after": "soon"}, "created_after"),
    (
        ActivepiecesListFlowRunsOperator,
        {"created_after": "2026-02-01", "created_before": "2026-01-31"},
        "created_before .* created_after",
    ),
    (TableFlowGetFlowRunOperator, {"run_id": "%2e%2e"}, "run_id"),
    (TableFlowGetRunAttemptsOperator, {"run_id": "a/b"}, "run_id"),
    (TableFlowListFlowRunsOperator, {"flow_id": "a/b"}, "flow_id"),
    (TableFlowListFlowRunsOperator, {"status": "done"}, "status"),
    (TableFlowListFlowRunsOperator, {"limit": 5000}, "limit"),
]


@pytest.mark.parametrize(("operator", "arguments", "named"), WRONG)
def test_a_wrong_argument_breaks_the_dag_file_and_not_the_run(operator, arguments, named) -> None:
    with pytest.raises(InvalidArgumentError, match=named):
        make(operator, **arguments)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("template", ["{{ params.value }}", "{% if x %}1{% endif %}"])
def test_a_template_passes_unchecked(operator, template) -> None:
    templated = dict.fromkeys(operator.template_fields, template)
    task = make(operator, **templated)
    assert {name: getattr(task, name) for name in templated} == templated


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        (PortableGetRunAttemptsOperator, {"start_time": "{{ ts }}", "end_time": "2020-01-01"}),
        (PortableGetRunAttemptsOperator, {"start_time": "2026-01-31", "end_time": "{{ ts }}"}),
        (ActivepiecesListFlowRunsOperator, {"created_after": "{{ ts }}", "created_before": "2020-01-01"}),
    ],
)
def test_a_range_with_one_templated_end_passes(operator, arguments) -> None:
    assert make(operator, **arguments)


def test_a_wrong_end_of_a_range_is_found_though_the_other_is_a_template() -> None:
    with pytest.raises(InvalidArgumentError, match="end_time"):
        make(PortableGetRunAttemptsOperator, start_time="{{ ts }}", end_time="soon")


@pytest.mark.parametrize("operator", [operator for operator in OPERATORS if len(operator.template_fields) > 1])
def test_another_tasks_result_passes_unchecked_and_makes_it_upstream(operator) -> None:
    with DAG("dag", schedule=None):
        above = BaseOperator(task_id="above")
        results = {name: above.output for name in operator.template_fields if name != operator.info.conn_id_argument}
        task = make(operator, **results)
    assert task.upstream_task_ids == {"above"}


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_argument_of_its_own_is_templated_the_connection_too(operator) -> None:
    task = make(operator)
    own = {*vars(task)} - {*vars(BaseOperator(task_id="read"))} - SWITCHES
    assert operator.info.conn_id_argument in operator.template_fields
    assert {name for name in own if not name.startswith("_")} == {*operator.template_fields}


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_default_connection_is_the_hooks(operator) -> None:
    assert make(operator).conn_id == operator.info.default_conn_id


@pytest.mark.parametrize(
    ("operator", "partial", "expand"),
    [
        (PortableGetRunAttemptsOperator, {"limit": 5}, {"flow_id": [1, 2]}),
        (PortableGetRunAttemptsOperator, {"flow_id": 1}, {"portable_conn_id": ["one", "two"]}),
        (PortableListFlowsOperator, {}, {"portable_conn_id": ["one", "two"]}),
        (ActivepiecesListFlowsOperator, {}, {"activepieces_conn_id": ["one", "two"]}),
        (TableFlowListFlowsOperator, {}, {"tableflow_conn_id": ["one", "two"]}),
        (ActivepiecesGetFlowRunOperator, {}, {"run_id": [RUN_ID]}),
        (ActivepiecesListFlowRunsOperator, {"status": "FAILED"}, {"flow_id": [FLOW_ID]}),
        (TableFlowGetFlowRunOperator, {}, {"run_id": [TABLE_RUN]}),
        (TableFlowGetRunAttemptsOperator, {}, {"run_id": [TABLE_RUN]}),
        (TableFlowListFlowRunsOperator, {"status": "failed"}, {"flow_id": [TABLE_FLOW]}),
        (TableFlowGetExtractionOperator, {}, {"extraction_id": [EXTRACTION]}),
        (TableFlowGetTableRowsOperator, {"extraction_id": EXTRACTION}, {"table": ["line_items", "taxes"]}),
        (TableFlowDownloadTableOperator, {"table": "t", "output_path": "rows"}, {"extraction_id": [EXTRACTION]}),
        (TableFlowDownloadOriginalOperator, {"extraction_id": EXTRACTION}, {"output_path": ["a", "b"]}),
    ],
)
def test_it_can_be_mapped(operator, partial, expand) -> None:
    with DAG("dag", schedule=None) as dag:
        operator.partial(task_id="read", **partial).expand(**expand)
    mapped = dag.get_task("read")
    task = mapped.unmap({name: values[-1] for name, values in expand.items()})
    assert isinstance(task, operator)
    assert {name: getattr(task, name) for name in expand} == {name: values[-1] for name, values in expand.items()}


# -- at run time


def is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and is_plain(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(is_plain, value))
    return value is None or type(value) in {str, int, float, bool}


def activepieces_run(run_id: str, minute: int) -> dict[str, Any]:
    return {
        "id": run_id,
        "flowId": FLOW_ID,
        "projectId": PROJECT_ID,
        "status": "SUCCEEDED",
        "created": f"2026-01-31T12:{minute:02}:00Z",
        "steps": {"trigger": {"output": "large"}},
    }


@pytest.mark.parametrize(
    ("operator", "url", "response", "run_id"),
    [
        (ActivepiecesGetFlowRunOperator, f"{RUNS_URL}/{RUN_ID}", activepieces_run(RUN_ID, 1), RUN_ID),
        (
            TableFlowGetFlowRunOperator,
            f"{TABLE_RUNS_URL}/{TABLE_RUN}",
            {"id": TABLE_RUN, "flow_id": TABLE_FLOW, "status": "completed"},
            TABLE_RUN,
        ),
    ],
)
def test_one_run_is_returned_as_plain_json(wire, operator, url, response, run_id) -> None:
    wire.get(url, json=response)
    result = make(operator).execute({})
    assert is_plain(result)
    assert (result["run_id"], result["disposition"]) == (run_id, "SUCCEEDED")
    assert "large" not in json.dumps(result)


FLOW_LISTS = [
    (
        PortableListFlowsOperator,
        "https://api.portable.io/v2/flows",
        {"data": [{"id": 5, "displayName": "Orders"}, {"id": 6}, {"displayName": "No id"}]},
        [("portable", "5", "Orders", None), ("portable", "6", None, None)],
    ),
    (
        ActivepiecesListFlowsOperator,
        "https://cloud.activepieces.com/api/v1/flows",
        {"data": [{"id": FLOW_ID, "status": "ENABLED", "version": {"displayName": "Orders"}}], "next": None},
        [("activepieces", FLOW_ID, "Orders", True)],
    ),
    (
        TableFlowListFlowsOperator,
        "https://api.tableflow.com/v2/flows",
        {"flows": [{"id": TABLE_FLOW, "name": "Invoices"}]},
        [("tableflow", TABLE_FLOW, "Invoices", None)],
    ),
]


@pytest.mark.parametrize(("operator", "url", "response", "flows"), FLOW_LISTS)
def test_flows_are_returned_as_plain_json(wire, operator, url, response, flows) -> None:
    wire.get(url, json=response)
    result = make(operator).execute({})
    assert [tuple(flow.values()) for flow in result] == flows
    assert {tuple(flow) for flow in result} == {("service", "flow_id", "name", "enabled")}
    assert is_plain(result)


@pytest.mark.parametrize(("operator", "url", "response", "flows"), FLOW_LISTS)
def test_too_many_flows_for_xcom_are_refused(wire, monkeypatch, operator, url, response, flows) -> None:
    wire.get(url, json=response)
    monkeypatch.setenv("AIRFLOW__FLOWRUNS__MAX_XCOM_BYTES", "50")
    way_out = (
        f"the first 1 flow takes .* use {operator.info.hook_class.rpartition('.')[2]}.list_flows in a task of your own"
    )
    with pytest.raises(ResultTooLarge, match=way_out):
        make(operator).execute({})


@pytest.mark.parametrize(("sort", "ids"), [("DESC", [3, 2, 1]), ("ASC", [1, 2, 3]), ("asc", [1, 2, 3])])
def test_attempts_come_in_the_order_asked_for(wire, sort, ids) -> None:
    def serve(request, _):
        ascending = request.qs.get("sort", ["desc"]) == ["asc"]
        return {"data": [{"id": id, "disposition": "SUCCEEDED"} for id in ((1, 2, 3) if ascending else (3, 2, 1))]}

    wire.get(ATTEMPTS_URL, json=serve)
    result = make(PortableGetRunAttemptsOperator, sort=sort).execute({})
    assert [attempt["run_id"] for attempt in result] == [str(id) for id in ids]
    assert is_plain(result)


LISTS = [
    (
        PortableGetRunAttemptsOperator,
        ATTEMPTS_URL,
        lambda size: {"data": [{"id": number, "disposition": "FAILED"} for number in range(size)]},
    ),
    (
        ActivepiecesListFlowRunsOperator,
        RUNS_URL,
        lambda size: {"data": [activepieces_run(f"{number:021}", 59 - number) for number in range(size)], "next": "x"},
    ),
    (
        TableFlowListFlowRunsOperator,
        TABLE_RUNS_URL,
        lambda size: {
            "flow_runs": [{"id": f"r{number}", "status": "failed"} for number in range(size)],
            "pagination": {"total": 900, "next_offset": size},
        },
    ),
]


@pytest.mark.parametrize(("operator", "url", "page"), LISTS)
@pytest.mark.parametrize("limit", [1, 2, "3"])
def test_a_list_stops_at_its_limit_and_asks_for_no_page_beyond(wire, operator, url, page, limit) -> None:
    wire.get(url, json=page(int(limit)))
    result = make(operator, limit=limit).execute({})
    assert len(result) == int(limit)
    assert is_plain(result)
    assert [request.qs["limit"] for request in wire.request_history] == [[str(limit)]]


@pytest.mark.parametrize(("operator", "url", "page"), LISTS)
def test_a_server_that_sends_more_than_asked_for_is_cut_at_the_limit(wire, operator, url, page) -> None:
    wire.get(url, json=page(5))
    assert len(make(operator, limit=2).execute({})) == 2
    assert wire.call_count == 1


@pytest.mark.parametrize(("operator", "url", "page"), LISTS)
def test_an_empty_list_is_an_empty_result(wire, operator, url, page) -> None:
    wire.get(url, json=page(0))
    assert make(operator).execute({}) == []


def test_tableflow_goes_on_to_the_next_page_for_runs_that_the_filter_leaves(wire) -> None:
    pages = [
        {"flow_runs": [{"id": f"{status}{offset}", "status": status} for status in ("completed", "failed")]}
        | {"pagination": {"next_offset": offset + 2}}
        for offset in (0, 2, 4)
    ]
    wire.get(TABLE_RUNS_URL, [{"json": page} for page in pages])
    result = make(TableFlowListFlowRunsOperator, status="failed", limit=2).execute({})
    assert [run["run_id"] for run in result] == ["failed0", "failed2"]
    assert wire.call_count == 2


@pytest.mark.parametrize(
    ("operator", "url", "arguments", "sent"),
    [
        (
            PortableGetRunAttemptsOperator,
            ATTEMPTS_URL,
            {"limit": "10", "sort": "ASC", "start_time": "2026-01-31", "end_time": "2026-02-01T00:00:00+00:00"},
            "limit=10&offset=0&sort=ASC&startTime=2026-01-31T00%3A00%3A00Z&endTime=2026-02-01T00%3A00%3A00Z",
        ),
        (
            ActivepiecesListFlowRunsOperator,
            RUNS_URL,
            {
                "flow_id": FLOW_ID,
                "status": ["FAILED", "TIMEOUT"],
                "created_after": "2026-01-31",
                "created_before": "2026-02-01",
                "limit": 10,
            },
            f"projectId={PROJECT_ID}&flowId={FLOW_ID}&status=FAILED&status=TIMEOUT"
            "&createdAfter=2026-01-31T00%3A00%3A00Z&createdBefore=2026-02-01T00%3A00%3A00Z&limit=10",
        ),
        (
            TableFlowListFlowRunsOperator,
            TABLE_RUNS_URL,
            {"flow_id": TABLE_FLOW, "status": "Failed", "limit": 10},
            f"limit=10&offset=0&flow_id={TABLE_FLOW}&status=failed",
        ),
    ],
)
def test_every_argument_reaches_the_service(wire, operator, url, arguments, sent) -> None:
    wire.get(url, json=[])
    make(operator, **arguments).execute({})
    assert wire.last_request.url == f"{url}?{sent}"


RENDERED = [
    (PortableGetRunAttemptsOperator, "flow_id", "../x"),
    (PortableGetRunAttemptsOperator, "flow_id", "None"),
    (PortableGetRunAttemptsOperator, "flow_id", None),
    (PortableGetRunAttemptsOperator, "limit", "5000"),
    (PortableGetRunAttemptsOperator, "sort", "newest"),
    (PortableGetRunAttemptsOperator, "start_time", "None"),
    (ActivepiecesGetFlowRunOperator, "run_id", ""),
    (ActivepiecesListFlowRunsOperator, "flow_id", ""),
    (ActivepiecesListFlowRunsOperator, "status", "NOPE"),
    (ActivepiecesListFlowRunsOperator, "limit", "5000"),
    (TableFlowGetFlowRunOperator, "run_id", ".."),
    (TableFlowListFlowRunsOperator, "flow_id", ""),
    (TableFlowListFlowRunsOperator, "status", "done"),
]


@pytest.mark.parametrize(("operator", "name", "rendered"), RENDERED)
def test_a_template_that_rendered_to_something_wrong_is_refused_before_any_request(
    wire, operator, name, rendered
) -> None:
    task = make(operator, **{name: "{{ params.value }}"})
    setattr(task, name, rendered)
    with pytest.raises(InvalidArgumentError, match=name):
        task.execute({})
    assert wire.call_count == 0


HISTORIES = [operator for operator in OPERATORS if issubclass(operator, HistoryOperator)]
FILTERS = [
    (operator, name)
    for operator in HISTORIES
    for name in operator.template_fields
    if name != operator.info.conn_id_argument
]


@pytest.mark.parametrize(("operator", "name"), FILTERS)
@pytest.mark.parametrize("rendered", [None, "", "  "])
def test_a_filter_that_rendered_to_nothing_does_not_list_everything(wire, operator, name, rendered) -> None:
    task = make(operator, **{name: "{{ params.value }}"})
    setattr(task, name, rendered)
    with pytest.raises(InvalidArgumentError, match=rf"^FR301: {name} rendered to nothing \(an empty text or None\): "):
        task.execute({})
    assert wire.call_count == 0


@pytest.mark.parametrize(("operator", "name"), FILTERS)
def test_an_empty_filter_is_refused_at_dag_parse(operator, name) -> None:
    with pytest.raises(InvalidArgumentError, match=name):
        make(operator, **{name: ""})


@pytest.mark.parametrize("operator", HISTORIES)
def test_a_filter_of_none_is_one_that_was_not_given(wire, operator) -> None:
    wire.register_uri("GET", requests_mock.ANY, json=[])
    required = GOOD[operator].keys()
    own = {name for filtered, name in FILTERS if filtered is operator} - {*required, "sort"}
    assert make(operator, **dict.fromkeys(own - {"max_runs"})).execute({}) == []


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_error_of_the_service_fails_the_task_with_its_words(wire, operator) -> None:
    wire.register_uri("GET", requests_mock.ANY, status_code=403, json={"message": "Not with this plan"})
    with pytest.raises(PermissionDeniedError, match="Not with this plan"):
        make(operator).execute({})
