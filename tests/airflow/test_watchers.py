"""DAGs that are started by the end of a flow's run: once per run, even if the triggerer is killed."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns.client.aio_transport import MAX_CONNECTIONS
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sandbox.scenario import PORTABLE_FLOW_ID
from tests.airflow.dags_added_later.watched_flows import FIRST_FLOW_ID, FLOWS
from tests.watched_flows import WatchedFlows
from tools.real_airflow import RealAirflow
from tools.stepped_clock import SteppedClock

pytestmark = pytest.mark.airflow

HERE = Path(__file__).resolve().parent
POLL_INTERVAL = 5.0


@pytest.fixture(scope="module")
def watched(airflow: RealAirflow, live_sandbox: Sandbox, dags_folder: Path) -> Iterator[WatchedFlows]:
    """Return watched flows. Their DAGs exist only during these tests, to spare the triggerer in other tests."""
    flow_ids = range(FIRST_FLOW_ID, FIRST_FLOW_ID + FLOWS + 2)
    watched = WatchedFlows(airflow, live_sandbox, flow_ids)
    file = Path(shutil.copy(HERE / "dags_added_later" / "watched_flows.py", dags_folder))
    try:
        watched.wait_for_polls(1)
        yield watched
    finally:
        file.unlink()


@dataclass
class CompletedRuns:
    """The runs that ended before and after the triggerer was killed."""

    of_many_flows: list[Any]
    of_one_flow: list[Any]


@pytest.fixture(scope="module")
def completed_runs(airflow: RealAirflow, watched: WatchedFlows) -> CompletedRuns:
    """Return runs that end before the triggerer is killed, run when it is killed, or start and end after that."""
    flows, busy = watched.flows[:FLOWS], watched.flows[-1]
    first = [flow.add_run(waiting=0.1, running=1.0) for flow in flows]
    first_of_busy = [busy.add_run(waiting=0.1, running=0.1) for _ in range(2)]
    watched.wait_for_events(first + first_of_busy)
    watched.wait_for_cursors(first + first_of_busy)

    running = [flow.add_run(waiting=0.1, running=8.0) for flow in [*flows[:20], busy]]
    watched.wait_for_polls(1)
    airflow.kill("triggerer")
    missed = [flow.add_run(ago=0.5, waiting=0.1, running=0.1) for flow in [*flows[20:40], *[busy] * 4]]
    airflow.wait_for("the end of all runs", lambda: all(run.ended_at is not None for run in running + missed), 60)
    airflow.start("triggerer")
    watched.wait_for_events(running + missed)
    watched.wait_for_polls(2)
    return CompletedRuns(first + running[:-1] + missed[:-4], [*first_of_busy, running[-1], *missed[-4:]])


def test_each_run_has_one_event_even_if_the_triggerer_is_killed(
    watched: WatchedFlows, completed_runs: CompletedRuns
) -> None:
    assert watched.count_events("watched_") == Counter(str(run.id) for run in completed_runs.of_many_flows)
    assert watched.count_events("busy") == Counter(str(run.id) for run in completed_runs.of_one_flow)


def test_each_run_reaches_a_dag_of_many_assets(watched: WatchedFlows, completed_runs: CompletedRuns) -> None:
    received = watched.wait_for_received_run_ids("watched_flows", completed_runs.of_many_flows)
    assert Counter(chain.from_iterable(received)) == Counter(str(run.id) for run in completed_runs.of_many_flows)


def test_each_of_several_simultaneous_ends_starts_its_own_dag_run(
    watched: WatchedFlows, completed_runs: CompletedRuns
) -> None:
    received = watched.wait_for_received_run_ids("busy_flow", completed_runs.of_one_flow)
    assert sorted(received) == sorted([str(run.id)] for run in completed_runs.of_one_flow)


@pytest.mark.nightly
def test_all_watchers_of_a_connection_share_one_poll_loop(watched: WatchedFlows) -> None:
    watched.wait_for_polls(1)
    before = len(watched.list_polls())
    watched.wait_for_polls(4)
    polls = watched.list_polls()[before:]
    seconds = polls[-1].time - polls[0].time
    assert len(polls) <= len(watched.flows) * (seconds / POLL_INTERVAL + 2)
    assert len({poll.connection for poll in polls}) <= MAX_CONNECTIONS


@pytest.mark.nightly
def test_only_the_selected_outcomes_start_a_dag(watched: WatchedFlows) -> None:
    filtered = watched.flows[FLOWS]
    failed = filtered.add_run(outcome="FAILED", waiting=0.1, running=0.5)
    watched.wait_for_events([failed], "filtered_failed")
    succeeded = filtered.add_run(outcome="SUCCEEDED", waiting=0.1, running=0.5)
    watched.wait_for_events([succeeded], "filtered_succeeded")
    watched.wait_for_polls(2)
    assert watched.count_events("filtered_failed") == {str(failed.id): 1}
    assert watched.count_events("filtered_succeeded") == {str(succeeded.id): 1}
    assert watched.wait_for_received_run_ids("filtered_flow_failed", [failed]) == [[str(failed.id)]]
    assert watched.wait_for_received_run_ids("filtered_flow_succeeded", [succeeded]) == [[str(succeeded.id)]]


def test_the_example_is_started_by_the_end_of_a_run(
    airflow: RealAirflow, sandbox: Sandbox, clock: SteppedClock
) -> None:
    dag_id = "portable_finished_asset"
    flow = next(flow for flow in sandbox.portable.flows if flow.id == PORTABLE_FLOW_ID)
    path = rf"/flows/{flow.id}/run$"
    airflow.wait_for("the first poll", lambda: sandbox.ledger.count(path=path) > 0, 120)
    run = flow.add_run(waiting=0.1, running=0.1)
    clock.advance(1.0)

    def list_dag_runs() -> list[str]:
        return [run["dag_run_id"] for run in airflow.get(f"/api/v2/dags/{dag_id}/dagRuns")["dag_runs"]]

    airflow.wait_for("a DAG run", lambda: bool(list_dag_runs()), 120)
    (run_id,) = list_dag_runs()
    assert airflow.wait_for_run(dag_id, run_id) == "success"
    assert airflow.get_xcom(dag_id, run_id, "runs_that_ended") == [{"run_id": str(run.id), "rows_loaded": 1500}]
