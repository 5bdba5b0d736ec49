"""Each end of a watched run starts its DAG once, with a triggerer that dies, is frozen, or hands its work over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from tests.distributed.conftest import Triggerers
from tests.watched_flows import Flow, WatchedFlows
from tools.real_airflow import RealAirflow

pytestmark = pytest.mark.airflow


def end_runs(flows: Sequence[Flow], count: int = 1) -> list[Any]:
    """Have runs of each of these flows end at once, and return them."""
    return [flow.add_run(ago=0.5, waiting=0.1, running=0.1) for flow in flows for _ in range(count)]


def dag_of(flow: Flow) -> str:
    return f"after_{flow.id}"


def told_of(watched: WatchedFlows, runs: Sequence[Any]) -> Counter[str]:
    """Return how many events Airflow has of each of these runs."""
    ids = {str(run.id) for run in runs}
    return Counter({run_id: count for run_id, count in watched.told().items() if run_id in ids})


def check_told_once(watched: WatchedFlows, runs: Sequence[Any]) -> None:
    """Wait for an event of each of these runs, and some time more: there is no second one."""
    watched.wait_told(runs)
    watched.wait_rounds(3)
    assert told_of(watched, runs) == Counter(str(run.id) for run in runs)


def check_started_once(watched: WatchedFlows, flow: Flow, runs: Sequence[Any]) -> None:
    """Wait until each of these runs of one flow has started its DAG: each one a DAG run of its own."""
    handed_over = watched.wait_handed_over(dag_of(flow), runs)
    ids = {str(run.id) for run in runs}
    assert sorted(some for some in handed_over if ids & {*some}) == sorted([run_id] for run_id in ids)


@pytest.mark.parametrize(("number", "count"), [(0, 4), (1, 10)])
def test_each_of_many_ends_at_once_starts_a_dag_run_of_its_own(watched: WatchedFlows, number: int, count: int) -> None:
    flow = watched.flows[number]
    runs = end_runs([flow], count)
    check_told_once(watched, runs)
    check_started_once(watched, flow, runs)


def test_more_ends_than_get_a_dag_run_of_their_own_reach_one_all_the_same(watched: WatchedFlows) -> None:
    """More than one page of the service shows, as after a long outage."""
    flow = watched.flows[2]
    runs = end_runs([flow], 120)
    check_told_once(watched, runs)
    handed_over = watched.wait_handed_over(dag_of(flow), runs)
    assert Counter(chain.from_iterable(handed_over)) == Counter(str(run.id) for run in runs)


def test_a_triggerer_that_dies(watched: WatchedFlows, airflow: RealAirflow, triggerers: Triggerers) -> None:
    other = triggerers.start_another()
    before = end_runs(watched.flows)
    watched.wait_told(before)
    watched.wait_kept(before)
    going = [flow.add_run(waiting=0.1, running=8.0) for flow in watched.flows[:4]]
    watched.wait_rounds(1)
    airflow.kill(triggerers.holder)
    missed = end_runs(watched.flows[4:], 2)
    triggerers.wait_moved(other)
    check_told_once(watched, before + going + missed)
    for number, flow in enumerate(watched.flows[4:]):
        check_started_once(watched, flow, missed[2 * number : 2 * number + 2])


def test_a_triggerer_that_is_frozen(watched: WatchedFlows, airflow: RealAirflow, triggerers: Triggerers) -> None:
    other, frozen = triggerers.start_another(), triggerers.holder
    watched.wait_rounds(1)
    airflow.freeze(frozen)
    missed = end_runs(watched.flows)
    triggerers.wait_moved(other)
    watched.wait_told(missed)
    watched.wait_kept(missed)
    airflow.thaw(frozen)
    later = end_runs(watched.flows)
    check_told_once(watched, missed + later)
    airflow.kill(frozen)


def test_a_triggerer_that_is_frozen_while_it_tells(
    watched: WatchedFlows, airflow: RealAirflow, triggerers: Triggerers
) -> None:
    other, frozen = triggerers.start_another(), triggerers.holder
    runs = end_runs(watched.flows[:1], 6)
    airflow.wait_for("two events", lambda: told_of(watched, runs).total() >= 2, 120)
    airflow.freeze(frozen)
    triggerers.wait_moved(other)
    watched.wait_told(runs)
    airflow.thaw(frozen)
    watched.wait_rounds(3)
    watched.wait_kept(runs)
    airflow.kill(frozen)
    told = told_of(watched, runs)
    assert told.keys() == {str(run.id) for run in runs}
    assert told.total() <= len(runs) + 1, "only the event that was not put down when it froze may come again"


def test_a_triggerer_that_hands_its_work_over(
    watched: WatchedFlows, airflow: RealAirflow, triggerers: Triggerers
) -> None:
    other = triggerers.start_another()
    before = end_runs(watched.flows)
    watched.wait_told(before)
    watched.wait_kept(before)
    going = [flow.add_run(waiting=0.1, running=6.0) for flow in watched.flows]
    watched.wait_rounds(1)
    airflow.terminate(triggerers.holder)
    triggerers.wait_moved(other)
    check_told_once(watched, before + going)


def test_all_that_ended_while_its_dag_was_paused_reaches_it(
    watched: WatchedFlows, airflow: RealAirflow, dags_folder: Path
) -> None:
    """Airflow watches on until it parses the DAG file again; then it stops, and goes on after the DAG is unpaused."""
    flow = watched.flows[3]
    watchers = len(watched.flows)

    def pause(is_paused: bool) -> None:
        airflow.pause(dag_of(flow), is_paused)

    def wait_watchers(count: int) -> None:
        (file,) = dags_folder.glob("*.py")
        file.touch()
        airflow.wait_for(f"{count} watchers", lambda: airflow.rows("select count(*) from trigger") == [(count,)], 120)

    pause(True)
    still_watched = end_runs([flow])
    watched.wait_told(still_watched)
    watched.wait_kept(still_watched)
    wait_watchers(watchers - 1)
    not_watched = end_runs([flow], 3)
    pause(False)
    wait_watchers(watchers)
    check_told_once(watched, still_watched + not_watched)
    handed_over = watched.wait_handed_over(dag_of(flow), still_watched + not_watched)
    first, *others = handed_over[-3:]
    assert {str(still_watched[0].id)} < {*first}
    assert Counter(first + list(chain.from_iterable(others))) == Counter(
        str(run.id) for run in still_watched + not_watched
    )
