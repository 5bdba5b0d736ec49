"""Histories of any length: whole, each run once, into XCom where they fit and into a file that is never half."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns.exceptions import InvalidArgumentError, InvalidRequestError, ResultTooLarge
from airflow_provider_flowruns.get_provider_info import DEFAULT_MAX_XCOM_BYTES, get_provider_info
from airflow_provider_flowruns.operators.activepieces import ActivepiecesListFlowRunsOperator
from airflow_provider_flowruns.operators.history import HistoryOperator
from airflow_provider_flowruns.operators.portable import PortableGetRunAttemptsOperator
from airflow_provider_flowruns.operators.tableflow import TableFlowListFlowRunsOperator
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.testing.task_modes import task_context


@dataclass(frozen=True)
class Case:
    """One way to read a history."""

    operator: type[HistoryOperator]
    service: str
    order: str = "DESC"

    def make(self, flow: Any, **arguments: Any) -> HistoryOperator:
        if self.order == "ASC":
            arguments["sort"] = "ASC"
        return self.operator(task_id="read", flow_id=str(flow.id), **arguments)


CASES = [
    Case(PortableGetRunAttemptsOperator, "portable"),
    Case(PortableGetRunAttemptsOperator, "portable", "ASC"),
    Case(ActivepiecesListFlowRunsOperator, "activepieces"),
    Case(TableFlowListFlowRunsOperator, "tableflow"),
]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.service} {case.order}")
PORTABLE = CASES[0]


class TickingClock:
    """A clock that advances each time it is read."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.tick = 0.0

    def __call__(self) -> float:
        self.now += self.tick
        return self.now


@pytest.fixture
def clock() -> TickingClock:
    return TickingClock()


@pytest.fixture
def sandbox(clock: TickingClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(clock=clock) as running:
        for name, value in running.connections().items():
            monkeypatch.setenv(name, value)
        yield running


def flow_with(sandbox: Sandbox, case: Case, runs: int) -> Any:
    """Return a flow with this number of completed runs, one second apart."""
    flow = getattr(sandbox, case.service).add_flow()
    for number in range(runs):
        flow.add_run(ago=1_000.0 + runs - number)
    return flow


def lines_of(path: str | Path) -> list[dict[str, Any]]:
    with Path(path).open("rb") as file:
        return [json.loads(line) for line in file]


def ids(runs: list[dict[str, Any]]) -> list[str]:
    return [run["run_id"] for run in runs]


def read(task: HistoryOperator, context: Any = None) -> Any:
    return task.execute(context or task_context())


# -- whole, and each run once


@every_case
def test_all_pages_are_read_in_the_order_of_the_service(sandbox, case) -> None:
    flow = flow_with(sandbox, case, 23)
    oldest_first = [str(run.id) for run in flow.runs]
    found = read(case.make(flow, fetch_all=True, limit=5))
    assert ids(found) == (oldest_first if case.order == "ASC" else oldest_first[::-1])


@every_case
def test_runs_that_arrive_during_the_walk_neither_hide_others_nor_double_them(sandbox, clock, case, tmp_path) -> None:
    flow = flow_with(sandbox, case, 40)
    before = [str(run.id) for run in flow.runs]
    flow.schedule(every=1.0)
    clock.tick = 0.4
    path = tmp_path / "runs.jsonl"
    read(case.make(flow, fetch_all=True, limit=7, output_path=str(path)))
    clock.tick = 0.0
    found = ids(lines_of(path))
    after = [str(run.id) for run in flow.runs]
    assert len(after) > len(before) + 3, "nothing arrived meanwhile"
    assert len(found) == len(set(found))
    assert set(before) <= set(found) <= set(after)
    assert [one for one in found if one in before] == (before if case.order == "ASC" else before[::-1])


@every_case
@pytest.mark.parametrize(("most", "pages"), [(1, 1), (5, 1), (6, 2), ("10", 2)])
def test_a_walk_stops_at_max_runs_and_asks_for_no_page_beyond(sandbox, case, most, pages) -> None:
    flow = flow_with(sandbox, case, 23)
    assert len(read(case.make(flow, fetch_all=True, max_runs=most, limit=5))) == int(most)
    # Windows of Activepieces overlap by a run.
    extra = 1 if case.service == "activepieces" and most == "10" else 0
    assert len(sandbox.ledger.requests) == pages + extra


@every_case
def test_without_fetch_all_the_limit_is_the_most(sandbox, case, tmp_path) -> None:
    flow = flow_with(sandbox, case, 23)
    path = tmp_path / "runs.jsonl"
    assert read(case.make(flow, limit=5, output_path=str(path)))["count"] == 5
    assert len(lines_of(path)) == 5
    assert len(sandbox.ledger.requests) == 1


def test_a_page_is_as_large_as_the_service_allows_unless_its_rows_are_heavy(sandbox) -> None:
    for case in CASES:
        read(case.make(flow_with(sandbox, case, 1), fetch_all=True))
    sizes = [dict(request.query)["limit"] for request in sandbox.ledger.requests]
    assert sizes == ["1000", "1000", "100", "1000"]


# -- into a file


@every_case
def test_the_file_has_what_xcom_would_have_had_and_the_result_says_so(sandbox, case, tmp_path) -> None:
    flow = flow_with(sandbox, case, 12)
    path = tmp_path / "runs.jsonl"
    in_xcom = read(case.make(flow, fetch_all=True, limit=5))
    manifest = read(case.make(flow, fetch_all=True, limit=5, output_path=str(path)))
    assert lines_of(path) == in_xcom
    times = sorted(run["created_at"] for run in in_xcom)
    assert manifest == {
        "path": str(path),
        "count": 12,
        "bytes": path.stat().st_size,
        "oldest_created_at": times[0],
        "newest_created_at": times[-1],
    }
    assert json.loads(json.dumps(manifest)) == manifest


def test_an_empty_history_is_an_empty_file(sandbox, tmp_path) -> None:
    path = tmp_path / "runs.jsonl"
    manifest = read(PORTABLE.make(flow_with(sandbox, PORTABLE, 0), fetch_all=True, output_path=str(path)))
    assert path.read_bytes() == b""
    assert manifest == {
        "path": str(path),
        "count": 0,
        "bytes": 0,
        "oldest_created_at": None,
        "newest_created_at": None,
    }


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_missing_folders_are_created(sandbox, tmp_path, scheme) -> None:
    path = tmp_path / "a" / "b" / "runs.jsonl"
    read(PORTABLE.make(flow_with(sandbox, PORTABLE, 3), output_path=f"{scheme}{path}"))
    assert len(lines_of(path)) == 3


def test_a_file_can_go_to_any_object_storage(sandbox, memory_storage) -> None:
    manifest = read(
        PORTABLE.make(flow_with(sandbox, PORTABLE, 8), fetch_all=True, limit=3, output_path="memory://bucket/h.jsonl")
    )
    assert [name.rpartition("/")[2] for name in memory_storage.ls("/bucket", detail=False)] == ["h.jsonl"]
    data = memory_storage.cat_file("/bucket/h.jsonl")
    assert (data.count(b"\n"), len(data)) == (manifest["count"], manifest["bytes"]) == (8, len(data))


def test_texts_of_all_scripts_and_line_breaks_stay_one_line_each(sandbox, tmp_path) -> None:
    flow = flow_with(sandbox, PORTABLE, 0)
    error = "línea uno\nline two\u2028\N{SNOWMAN} \N{GRINNING FACE}"
    flow.add_run(outcome="FAILED", ago=100, errors=[error])
    flow.add_run(ago=50)
    path = tmp_path / "runs.jsonl"
    read(PORTABLE.make(flow, output_path=str(path)))
    assert path.read_bytes().count(b"\n") == 2
    assert lines_of(path)[1]["errors"] == [error]


# -- never half


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    path = tmp_path / "runs.jsonl"
    path.write_text('{"run_id": "an earlier one"}\n')
    return path


def test_a_fault_in_the_middle_leaves_nothing_behind_and_the_earlier_file_as_it_was(sandbox, earlier) -> None:
    flow = flow_with(sandbox, PORTABLE, 2_500)
    fault = sandbox.faults.add("status", status=400, after=2)
    with pytest.raises(InvalidRequestError):
        read(PORTABLE.make(flow, fetch_all=True, output_path=str(earlier)))
    assert fault.hits == 1
    assert os.listdir(earlier.parent) == [earlier.name]
    assert ids(lines_of(earlier)) == ["an earlier one"]


def test_a_retry_overwrites_what_a_killed_try_left(sandbox, earlier) -> None:
    flow = flow_with(sandbox, PORTABLE, 8)
    seen: list[str] = []
    sandbox.faults.add("hang", seconds=30, after=1)
    task = PORTABLE.make(flow, fetch_all=True, limit=3, output_path=str(earlier))
    worker = os.fork()
    if worker == 0:  # a try that is killed without a word
        try:
            read(task)
        finally:
            os._exit(1)
    while len(seen) < 2:
        seen = os.listdir(earlier.parent)
        time.sleep(0.01)
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
    sandbox.faults.clear()
    assert ids(lines_of(earlier)) == ["an earlier one"]
    assert read(task, task_context(try_number=2))["count"] == 8
    assert os.listdir(earlier.parent) == [earlier.name]
    assert len(lines_of(earlier)) == 8


def test_two_dag_runs_that_write_at_once_do_not_write_into_each_others_file(sandbox, tmp_path) -> None:
    flow = flow_with(sandbox, PORTABLE, 8)
    fault = sandbox.faults.add("hang", seconds=0.5, after=1, times=2)
    path = tmp_path / "runs.jsonl"
    others = task_context()
    others["ti"].run_id = "manual__2"
    unfinished: set[str] = set()

    def write(context: dict[str, Any]) -> None:
        read(PORTABLE.make(flow, fetch_all=True, limit=3, output_path=str(path)), context)

    tasks = [threading.Thread(target=write, args=(context,)) for context in (task_context(), others)]
    for task in tasks:
        task.start()
    while any(task.is_alive() for task in tasks):
        unfinished |= {name for name in os.listdir(tmp_path) if name != path.name}
        time.sleep(0.01)
    assert fault.hits
    assert len(unfinished) == 2
    assert os.listdir(tmp_path) == [path.name]
    assert len(lines_of(path)) == 8


def test_a_task_that_writes_nothing_takes_no_notice_of_a_kill() -> None:
    PortableGetRunAttemptsOperator(task_id="read", flow_id=5).on_kill()


def test_a_storage_that_fails_leaves_its_own_error(sandbox, tmp_path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(OSError, match="file"):
        read(PORTABLE.make(flow_with(sandbox, PORTABLE, 3), output_path=str(blocked / "runs.jsonl")))


# -- into XCom


@every_case
def test_what_is_too_large_for_xcom_fails_as_soon_as_it_is_and_names_the_way_out(sandbox, monkeypatch, case) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWRUNS__MAX_XCOM_BYTES", "4000")
    flow = flow_with(sandbox, case, 60)
    with pytest.raises(ResultTooLarge, match="output_path") as raised:
        read(case.make(flow, fetch_all=True, limit=10))
    assert "4000" in str(raised.value)
    assert "max_xcom_bytes" in str(raised.value)
    # One page may have been requested while the last one was processed.
    assert len(sandbox.ledger.requests) <= 2


def test_the_limit_is_of_the_json_as_a_whole(sandbox, monkeypatch) -> None:
    task = PORTABLE.make(flow_with(sandbox, PORTABLE, 5))
    size = len(json.dumps(read(task)))
    monkeypatch.setenv("AIRFLOW__FLOWRUNS__MAX_XCOM_BYTES", str(size))
    assert len(read(task)) == 5
    monkeypatch.setenv("AIRFLOW__FLOWRUNS__MAX_XCOM_BYTES", str(size - 1))
    with pytest.raises(ResultTooLarge, match=f"5 runs take {size:,} bytes"):
        read(task)


def test_a_file_is_not_bound_by_the_limit_of_xcom(sandbox, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWRUNS__MAX_XCOM_BYTES", "10")
    task = PORTABLE.make(flow_with(sandbox, PORTABLE, 5), output_path=str(tmp_path / "runs.jsonl"))
    assert read(task)["count"] == 5


def test_airflow_knows_the_option_with_the_same_default() -> None:
    info: Any = get_provider_info()
    option = info["config"]["flowruns"]["options"]["max_xcom_bytes"]
    assert option["default"] == str(DEFAULT_MAX_XCOM_BYTES)


# -- arguments

WRONG = [
    ({"max_runs": 5}, "fetch_all"),
    ({"fetch_all": True, "max_runs": 0}, "max_runs"),
    ({"fetch_all": True, "max_runs": "many"}, "max_runs"),
    ({"fetch_all": "yes"}, "fetch_all"),
    ({"fetch_all": None}, "fetch_all"),
    ({"fetch_all": True, "limit": 5_000}, "limit"),
    ({"output_path": ""}, "output_path"),
    ({"output_path": " "}, "output_path"),
    ({"output_path": "s3://bucket/folder/"}, "output_path"),
    ({"output_path": 5}, "output_path"),
]


@pytest.mark.parametrize("operator", sorted({case.operator for case in CASES}, key=str))
@pytest.mark.parametrize(("arguments", "named"), WRONG)
def test_a_wrong_argument_breaks_the_dag_file(operator, arguments, named) -> None:
    needed = {"flow_id": 5} if operator is PortableGetRunAttemptsOperator else {}
    with pytest.raises(InvalidArgumentError, match=named):
        operator(task_id="read", **needed, **arguments)


@every_case
@pytest.mark.parametrize(
    ("name", "rendered"), [("max_runs", "None"), ("max_runs", "0"), ("output_path", ""), ("output_path", "None")]
)
def test_a_template_that_rendered_to_something_wrong_is_refused_before_any_request(
    sandbox, case, name, rendered
) -> None:
    task = case.make(flow_with(sandbox, case, 1), fetch_all=True, **{name: "{{ params.value }}"})
    setattr(task, name, rendered)
    with pytest.raises(InvalidArgumentError, match=name):
        read(task)
    assert not sandbox.ledger.requests


def test_a_folder_is_no_output_path(sandbox, tmp_path) -> None:
    with pytest.raises(InvalidArgumentError, match="directory"):
        read(PORTABLE.make(flow_with(sandbox, PORTABLE, 1), output_path=str(tmp_path)))
    assert not sandbox.ledger.requests
    assert os.listdir(tmp_path) == []
