"""No id from a DAG author changes the shape of a request's path: it fits in, or it is refused by name."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flowruns.model.calls import Call, Pages, Request
from airflow_provider_flowruns.model.errors import ConfigurationError, InvalidArgumentError
from airflow_provider_flowruns.model.targets import (
    FlowStatusTarget,
    NewestRunsTarget,
    RunTarget,
    Target,
    WorkflowStatusTarget,
)
from airflow_provider_flowruns.sensors.activepieces import ActivepiecesFlowRunSensor, ActivepiecesFlowSensor
from airflow_provider_flowruns.sensors.base import FlowRunSensor
from airflow_provider_flowruns.sensors.portable import PortableFlowRunSensor, PortableFlowSensor, PortableWorkflowSensor
from airflow_provider_flowruns.sensors.tableflow import TableFlowFlowRunSensor, TableFlowFlowSensor
from airflow_provider_flowruns.services import tableflow_extractions
from airflow_provider_flowruns.services.activepieces import ActivepiecesApi
from airflow_provider_flowruns.services.portable import OldestFirst, PortableApi
from airflow_provider_flowruns.services.tableflow import TableFlowApi

PORTABLE_ID, ACTIVEPIECES_ID, TABLEFLOW_ID = r"[0-9]{1,19}", r"[0-9A-Za-z]{21}", r"[0-9A-Za-z_-]{1,128}"
PROJECT_ID = "19NxIjX88XDYnuT9t5cwP"
STATUS = f"/v2/flows/{PORTABLE_ID}/status"
WORKFLOW_STATUS = f"/v2/workflows/{PORTABLE_ID}/status"
ATTEMPTS = f"/v2/flows/{PORTABLE_ID}/run"
RUN, RUNS, FLOW_FILTER = f"/api/v1/flow-runs/{ACTIVEPIECES_ID}", "/api/v1/flow-runs", ("flowId", ACTIVEPIECES_ID)
EXTRACTION = f"/v2/extractions/{TABLEFLOW_ID}"
TABLE_RUN, TABLE_RUNS, TABLE_FILTER = f"/v2/flows/runs/{TABLEFLOW_ID}", "/v2/flows/runs", ("flow_id", TABLEFLOW_ID)

#: The same examples every time, and none that fails because a machine is busy.
examples = settings(deadline=None, derandomize=True, database=None, max_examples=40)

portable, activepieces, tableflow = PortableApi(), ActivepiecesApi(PROJECT_ID), TableFlowApi()


@dataclass(frozen=True)
class Taker:
    """A method that takes an id, the argument's name, the path it may lead to, and the filter it may set."""

    method: Callable[..., object]
    argument: str
    path: str
    filter: tuple[str, str] | None = None
    good: object = 568971
    verb: str = "GET"

    def __str__(self) -> str:
        return f"{self.verb} {self.path} {self.argument}"


TAKERS = [
    Taker(portable.get_flow_status, "flow_id", STATUS),
    Taker(portable.get_workflow_status, "workflow_id", WORKFLOW_STATUS),
    Taker(portable.get_run_attempts, "flow_id", ATTEMPTS),
    Taker(lambda id: portable.get_run_attempts(id, sort="ASC"), "flow_id", ATTEMPTS),
    Taker(portable.run_flow, "flow_id", ATTEMPTS, verb="POST"),
    Taker(portable.cancel_flow, "flow_id", f"/v2/flows/{PORTABLE_ID}/cancel", verb="POST"),
    Taker(activepieces.get_flow, "flow_id", f"/api/v1/flows/{ACTIVEPIECES_ID}", good="A" * 21),
    Taker(activepieces.run_flow, "flow_id", f"/api/v1/webhooks/{ACTIVEPIECES_ID}", good="A" * 21, verb="POST"),
    Taker(
        activepieces.retry_flow_run, "run_id", f"/api/v1/flow-runs/{ACTIVEPIECES_ID}/retry", good="A" * 21, verb="POST"
    ),
    Taker(activepieces.get_flow_run, "run_id", RUN, good="A" * 21),
    Taker(
        lambda id: activepieces.list_flow_runs(flow_id=id),
        "flow_id",
        RUNS,
        FLOW_FILTER,
        good="A" * 21,
    ),
    Taker(tableflow.get_flow_run, "run_id", TABLE_RUN, good="Wp7kRnT2mX4vQ9bL"),
    Taker(
        lambda id: tableflow.run_flow(id, ()),
        "flow_id",
        f"/v2/flows/{TABLEFLOW_ID}/run",
        good="dk4g1tUg1uHLs8YU",
        verb="POST",
    ),
    Taker(tableflow.list_runs_of_flow, "flow_id", f"/v2/flows/{TABLEFLOW_ID}/runs", good="dk4g1tUg1uHLs8YU"),
    Taker(
        lambda id: tableflow.list_flow_runs(flow_id=id),
        "flow_id",
        TABLE_RUNS,
        TABLE_FILTER,
        good="dk4g1tUg1uHLs8YU",
    ),
    Taker(tableflow_extractions.get_extraction, "extraction_id", EXTRACTION, good="uT2bJNWN75YPU95r"),
    Taker(
        lambda id: tableflow_extractions.list_table_rows(id, "line_items"),
        "extraction_id",
        f"{EXTRACTION}/tables/line_items/rows",
        good="uT2bJNWN75YPU95r",
    ),
    Taker(
        lambda id: tableflow_extractions.download_table(id, "line_items"),
        "extraction_id",
        f"{EXTRACTION}/tables/line_items/download",
        good="uT2bJNWN75YPU95r",
    ),
    Taker(
        tableflow_extractions.download_original,
        "extraction_id",
        f"{EXTRACTION}/download-original",
        good="uT2bJNWN75YPU95r",
    ),
]
GUARD = "2026-01-01T00:00:00+00:00"
WAITS = [
    Taker(lambda id: first_call(portable, PortableFlowSensor, flow_id=id), "flow_id", STATUS),
    Taker(lambda id: first_call(portable, PortableWorkflowSensor, workflow_id=id), "workflow_id", WORKFLOW_STATUS),
    Taker(lambda id: first_call(portable, PortableFlowSensor, flow_id=id, completed_after=GUARD), "flow_id", ATTEMPTS),
    Taker(lambda id: first_call(portable, PortableFlowRunSensor, flow_id=id, run_id="7"), "flow_id", ATTEMPTS),
    Taker(lambda id: first_call(activepieces, ActivepiecesFlowRunSensor, run_id=id), "run_id", RUN, good="A" * 21),
    Taker(
        lambda id: first_call(activepieces, ActivepiecesFlowSensor, flow_id=id),
        "flow_id",
        RUNS,
        FLOW_FILTER,
        good="A" * 21,
    ),
    Taker(
        lambda id: first_call(tableflow, TableFlowFlowRunSensor, run_id=id),
        "run_id",
        TABLE_RUN,
        good="Wp7kRnT2mX4vQ9bL",
    ),
    Taker(
        lambda id: first_call(tableflow, TableFlowFlowSensor, flow_id=id),
        "flow_id",
        TABLE_RUNS,
        TABLE_FILTER,
        good="dk4g1tUg1uHLs8YU",
    ),
]

ODD_IDS = [
    "",
    " ",
    ".",
    "..",
    "../x",
    "../../v1/admin",
    "/",
    "//evil.example.com",
    "https://evil.example.com",
    "1/status?x=",
    "1/../2",
    "1?x=1",
    "1#",
    "1&limit=5",
    "1;2",
    "1,2",
    "1 2",
    "1\n",
    "1\r\nX-Injected: 1",
    "1\x00",
    " 5 ",
    "٣",
    "\uff15",
    "1.0",
    "1e3",
    "+1",
    "-1",
    "%2e%2e",
    "%2e%2e%2f",
    "1%00",
    "\\..\\",
    "{{ params.flow_id }}",
    "None",
    "é" * 21,
    "A" * 21 + "\n",
    "A" * 10_000,
    "9" * 10_000,
    1.0,
    float("nan"),
    True,
    False,
    -1,
    10**5_000,
    b"1",
    ["1"],
    {"value": 568971},
]


def first_call(api: Any, sensor: type[FlowRunSensor[Any]], **arguments: Any) -> Call[Any]:
    """Return the first call of a sensor's poll; the sensor validates the ids, once."""
    return next(api.poll(sensor(task_id="wait", **arguments).target()))


def requests_of(made: Any) -> Iterator[Request]:
    if isinstance(made, Pages):
        yield made.first.request
        if isinstance(made, OldestFirst):
            yield made.lower_case_first.request
    else:
        yield made.request


def fits_or_is_refused(taker: Taker, value: object) -> bool:
    """Return whether the id was taken; assert that either way nothing else happened."""
    try:
        made = taker.method(value)
    except InvalidArgumentError:
        return False
    for request in requests_of(made):
        assert request.method == taker.verb
        assert re.fullmatch(taker.path, request.path, re.ASCII)
        if taker.filter:
            name, pattern = taker.filter
            assert [
                re.fullmatch(pattern, sent, re.ASCII) is not None for key, sent in request.query if key == name
            ] == [True]
    return True


@pytest.mark.parametrize("taker", [*TAKERS, *WAITS], ids=str)
def test_a_good_id_leads_to_the_documented_path(taker) -> None:
    assert fits_or_is_refused(taker, taker.good)
    assert fits_or_is_refused(taker, f" {taker.good}\n")


@pytest.mark.parametrize("taker", [*TAKERS, *WAITS], ids=str)
def test_an_odd_id_is_refused_or_leaves_the_path_in_shape(taker) -> None:
    taken = [value for value in ODD_IDS if fits_or_is_refused(taker, value)]
    assert len(taken) < len(ODD_IDS) / 2


@pytest.mark.parametrize("taker", TAKERS, ids=str)
def test_a_dangerous_id_is_refused_by_the_name_of_its_argument(taker) -> None:
    for value in ("../x", "1/status?x=", "1#", "٣", "1.0", True, "", "..", "%2e%2e", "A" * 10_000, 10**5_000):
        with pytest.raises(InvalidArgumentError, match=rf"^FR301: {taker.argument} must look like .*, got ") as raised:
            taker.method(value)
        assert len(str(raised.value)) < 250


@pytest.mark.parametrize("taker", [one for one in TAKERS if one.filter is None], ids=str)
def test_a_missing_id_is_refused_where_it_is_needed(taker) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^FR301: {taker.argument} must look like"):
        taker.method(None)


@pytest.mark.parametrize("taker", WAITS, ids=str)
def test_a_wait_without_its_id_is_refused(taker) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^FR301: {taker.argument} must look like"):
        taker.method(None)


@pytest.mark.parametrize("target", [RunTarget, FlowStatusTarget, WorkflowStatusTarget, NewestRunsTarget])
def test_a_saved_target_without_its_id_is_refused(target: Callable[[str, str], Target]) -> None:
    record = {**msgspec.to_builtins(target("portable", "5")), "run_id": None, "flow_id": None, "workflow_id": None}
    with pytest.raises(msgspec.ValidationError, match="Expected `str`, got `null`"):
        msgspec.convert(record, Target)


def test_a_run_of_portable_is_not_looked_for_without_its_flow() -> None:
    with pytest.raises(InvalidArgumentError, match="flow_id is missing"):
        next(portable.poll(RunTarget("portable", "5")))


@pytest.mark.parametrize("taker", [one for one in TAKERS if one.filter], ids=str)
def test_a_filter_that_is_not_given_is_not_sent(taker) -> None:
    (request,) = requests_of(taker.method(None))
    assert taker.filter[0] not in dict(request.query)


ANY_TEXT = st.lists(st.integers(0, 0x10FFFF).map(chr), max_size=24).map("".join)
LIKELY_TEXT = st.text(alphabet="0123456789abcXYZ_-./%?#&= \n\t٣é", max_size=24)


@pytest.mark.parametrize("taker", [*TAKERS, *WAITS], ids=str)
@examples
@given(value=ANY_TEXT | LIKELY_TEXT | st.integers() | st.floats())
def test_any_text_or_number_fits_or_is_refused(taker, value) -> None:
    fits_or_is_refused(taker, value)


def test_an_odd_id_among_the_runs_to_cancel_is_refused_or_sent_trimmed() -> None:
    for value in ODD_IDS:
        try:
            request = activepieces.cancel_flow_runs(["B" * 21, cast("str", value)]).request
        except InvalidArgumentError:
            continue
        assert request.path == "/api/v1/flow-runs/cancel"
        assert request.json["flowRunIds"] == ["B" * 21, "A" * 21]


@pytest.mark.parametrize("run_ids", [[], (), "", iter(()), [""], [None]])
def test_an_empty_list_of_runs_to_cancel_which_would_mean_all_of_them_is_refused(run_ids) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^FR301: run_ids? must "):
        activepieces.cancel_flow_runs(run_ids)


def test_an_odd_run_id_of_portable_never_reaches_a_request() -> None:
    for value in ODD_IDS:
        call = next(portable.poll(RunTarget("portable", cast("str", value), "5")))
        assert call.request == portable.get_run_attempts(5).first.request


@pytest.mark.parametrize("project_id", ["../x", "1/status?x=", "A" * 20, "A" * 22, "é" * 21, "%2e%2e"])
@pytest.mark.parametrize("method", ["list_flow_runs", "list_flows"])
def test_an_odd_project_id_is_a_mistake_in_the_connection(project_id, method) -> None:
    with pytest.raises(ConfigurationError, match="project_id"):
        getattr(ActivepiecesApi(project_id), method)()
