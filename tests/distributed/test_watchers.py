"""Each completed run starts its DAG once, even if a triggerer is killed, suspended or terminated."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from tests.distributed.dags_added_later.watched_flows import FIRST_FLOW_ID, FLOWS
from tests.watched_flows import Flow, WatchedFlows
from tools.celery_airflow import PROCESS_HEADER, CeleryAirflow

pytestmark = pytest.mark.airflow

HERE = Path(__file__).resolve().parent
TRIGGERERS = frozenset({"triggerer-1", "triggerer-2"})


@pytest.fixture(scope="module")
def watched(stack: CeleryAirflow, sandbox: Sandbox, dags_folder: Path) -> Iterator[WatchedFlows]:
    """Return watched flows with one DAG each, all of which have been polled. The DAGs exist during these tests only."""
    flow_ids = range(FIRST_FLOW_ID, FIRST_FLOW_ID + FLOWS)
    stack.restore()
    watched = WatchedFlows(stack, sandbox, flow_ids)
    file = Path(shutil.copy(HERE / "dags_added_later" / "watched_flows.py", dags_folder))
    try:
        stack.wait_until_ready(f"after_{flow_id}" for flow_id in flow_ids)
        watched.wait_for_polls(1)
        yield watched
    finally:
        file.unlink()


def find_busiest_triggerer(watched: WatchedFlows) -> tuple[str, str]:
    """Return the triggerer that has most of the watchers, and the other one."""
    watched.wait_for_polls(1)
    last = {poll.path: poll.headers[PROCESS_HEADER.lower()] for poll in watched.list_polls()}
    ((busiest, _),) = Counter(last.values()).most_common(1)
    (other,) = TRIGGERERS - {busiest}
    return busiest, other


def wait_until_moved(watched: WatchedFlows, triggerer: str) -> None:
    """Wait until a triggerer polls for all watchers."""
    before = len(watched.list_polls())
    paths = {poll.path for poll in watched.list_polls()}

    def has_moved() -> bool:
        polls = watched.list_polls()[before:]
        return paths == {poll.path for poll in polls if poll.headers[PROCESS_HEADER.lower()] == triggerer}

    watched.airflow.wait_for(f"the watchers to move to {triggerer}", has_moved, 180)


def add_completed_runs(flows: Sequence[Flow], count: int = 1) -> list[Any]:
    """Add runs to each of these flows that end at the same time, and return them."""
    return [flow.add_run(ago=0.5, waiting=0.1, running=0.1) for flow in flows for _ in range(count)]


def get_dag_id(flow: Flow) -> str:
    return f"after_{flow.id}"


def count_events_of(watched: WatchedFlows, runs: Sequence[Any]) -> Counter[str]:
    """Return the number of events for each of these runs."""
    ids = {str(run.id) for run in runs}
    return Counter({run_id: count for run_id, count in watched.count_events().items() if run_id in ids})


def check_one_event_per_run(watched: WatchedFlows, runs: Sequence[Any]) -> None:
    """Wait for an event for each of these runs, and check after further polls that there is only one."""
    watched.wait_for_events(runs)
    watched.wait_for_polls(3)
    assert count_events_of(watched, runs) == Counter(str(run.id) for run in runs)


def check_one_dag_run_per_run(watched: WatchedFlows, flow: Flow, runs: Sequence[Any]) -> None:
    """Check that each of these runs of one flow has started its own DAG run."""
    received = watched.wait_for_received_run_ids(get_dag_id(flow), runs)
    ids = {str(run.id) for run in runs}
    assert sorted(run_ids for run_ids in received if ids & {*run_ids}) == sorted([run_id] for run_id in ids)


@pytest.mark.parametrize(("number", "count"), [(0, 4), (1, 10)])
def test_each_of_several_simultaneous_ends_starts_its_own_dag_run(
    watched: WatchedFlows, number: int, count: int
) -> None:
    flow = watched.flows[number]
    runs = add_completed_runs([flow], count)
    check_one_event_per_run(watched, runs)
    check_one_dag_run_per_run(watched, flow, runs)


def test_no_run_is_lost_if_more_runs_end_than_dag_runs_are_created(watched: WatchedFlows) -> None:
    """More runs end than fit on one page of the service, as after a long outage."""
    flow = watched.flows[2]
    runs = add_completed_runs([flow], 120)
    check_one_event_per_run(watched, runs)
    received = watched.wait_for_received_run_ids(get_dag_id(flow), runs)
    assert Counter(chain.from_iterable(received)) == Counter(str(run.id) for run in runs)


def test_a_triggerer_is_killed(watched: WatchedFlows, airflow: CeleryAirflow) -> None:
    victim, other = find_busiest_triggerer(watched)
    before = add_completed_runs(watched.flows)
    watched.wait_for_events(before)
    watched.wait_for_cursors(before)
    running = [flow.add_run(outcome="RUNNING") for flow in watched.flows[:4]]
    watched.wait_for_polls(1)
    airflow.kill(victim)
    missed = add_completed_runs(watched.flows[4:], 2)
    for run in running:
        run.end()
    wait_until_moved(watched, other)
    check_one_event_per_run(watched, before + running + missed)
    for number, flow in enumerate(watched.flows[4:]):
        check_one_dag_run_per_run(watched, flow, missed[2 * number : 2 * number + 2])


def test_a_triggerer_is_suspended(watched: WatchedFlows, airflow: CeleryAirflow) -> None:
    suspended, other = find_busiest_triggerer(watched)
    airflow.suspend(suspended)
    missed = add_completed_runs(watched.flows)
    wait_until_moved(watched, other)
    watched.wait_for_events(missed)
    watched.wait_for_cursors(missed)
    airflow.resume(suspended)
    later = add_completed_runs(watched.flows)
    check_one_event_per_run(watched, missed + later)


def test_a_triggerer_is_suspended_while_it_sends_events(watched: WatchedFlows, airflow: CeleryAirflow) -> None:
    suspended, other = find_busiest_triggerer(watched)
    polled = {poll.path for poll in watched.list_polls()[-20:] if poll.headers[PROCESS_HEADER.lower()] == suspended}
    flow = next(flow for flow in watched.flows if any(path.endswith(f"/flows/{flow.id}/run") for path in polled))
    runs = add_completed_runs([flow], 6)
    airflow.wait_for("two events", lambda: count_events_of(watched, runs).total() >= 2, 120)
    airflow.suspend(suspended)
    wait_until_moved(watched, other)
    watched.wait_for_events(runs)
    airflow.resume(suspended)
    watched.wait_for_polls(3)
    watched.wait_for_cursors(runs)
    events = count_events_of(watched, runs)
    assert events.keys() == {str(run.id) for run in runs}
    assert events.total() <= len(runs) + 1, "only the event that was not yet stored in the cursor may be repeated"


def test_a_triggerer_is_terminated(watched: WatchedFlows, airflow: CeleryAirflow) -> None:
    victim, other = find_busiest_triggerer(watched)
    before = add_completed_runs(watched.flows)
    watched.wait_for_events(before)
    watched.wait_for_cursors(before)
    running = [flow.add_run(outcome="RUNNING") for flow in watched.flows]
    watched.wait_for_polls(1)
    airflow.terminate(victim)
    for run in running:
        run.end()
    wait_until_moved(watched, other)
    check_one_event_per_run(watched, before + running)


def test_a_dag_receives_the_runs_that_ended_while_it_was_paused(
    watched: WatchedFlows, airflow: CeleryAirflow, dags_folder: Path
) -> None:
    """Airflow stops the watcher when it parses the file of the paused DAG, and restarts it when the DAG is unpaused."""
    flow = watched.flows[3]
    count_watchers = "select count(*) from trigger where classpath like '%FlowRunFinishedTrigger'"
    ((watchers,),) = airflow.fetch_rows(count_watchers)

    def set_paused(is_paused: bool) -> None:
        airflow.set_paused(get_dag_id(flow), is_paused)

    def wait_for_watchers(count: int) -> None:
        (dags_folder / "watched_flows.py").touch()
        airflow.wait_for(f"{count} watchers", lambda: airflow.fetch_rows(count_watchers) == [(count,)], 120)

    set_paused(True)
    still_watched = add_completed_runs([flow])
    watched.wait_for_events(still_watched)
    watched.wait_for_cursors(still_watched)
    wait_for_watchers(watchers - 1)
    not_watched = add_completed_runs([flow], 3)
    set_paused(False)
    wait_for_watchers(watchers)
    check_one_event_per_run(watched, still_watched + not_watched)
    received = watched.wait_for_received_run_ids(get_dag_id(flow), still_watched + not_watched)
    first, *others = received[-3:]
    assert {str(still_watched[0].id)} < {*first}
    assert Counter(first + list(chain.from_iterable(others))) == Counter(
        str(run.id) for run in still_watched + not_watched
    )
