"""DAGs that are started by the end of a flow's run: once a run, whatever becomes of the triggerer."""

from __future__ import annotations

import re
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
from tests.airflow.later_dags.watched_flows import FIRST_FLOW_ID, FLOWS
from tests.watched_flows import WatchedFlows
from tools.real_airflow import RealAirflow
from tools.stage import SteppedClock

pytestmark = pytest.mark.airflow

HERE = Path(__file__).resolve().parent
POLL_INTERVAL = 5.0


@pytest.fixture(scope="module")
def watched(airflow: RealAirflow, live_sandbox: Sandbox, dags_folder: Path) -> Iterator[WatchedFlows]:
    """Their DAGs, for as long as these tests take: the others have the triggerer for themselves."""
    flow_ids = range(FIRST_FLOW_ID, FIRST_FLOW_ID + FLOWS + 2)
    watched = WatchedFlows(airflow, live_sandbox, flow_ids)
    file = Path(shutil.copy(HERE / "later_dags" / "watched_flows.py", dags_folder))
    try:
        watched.wait_rounds(1)
        yield watched
    finally:
        file.unlink()


@dataclass
class Ends:
    """The runs that ended, before and after the triggerer was killed."""

    of_many_flows: list[Any]
    of_one_flow: list[Any]


@pytest.fixture(scope="module")
def ends(airflow: RealAirflow, watched: WatchedFlows) -> Ends:
    """Runs that end, that are going when the triggerer dies, and that come and go while it is dead."""
    flows, busy = watched.flows[:FLOWS], watched.flows[-1]
    first = [flow.add_run(waiting=0.1, running=1.0) for flow in flows]
    first_of_busy = [busy.add_run(waiting=0.1, running=0.1) for _ in range(2)]
    watched.wait_told(first + first_of_busy)
    watched.wait_kept(first + first_of_busy)

    going = [flow.add_run(waiting=0.1, running=8.0) for flow in [*flows[:20], busy]]
    watched.wait_rounds(1)
    airflow.kill("triggerer")
    missed = [flow.add_run(ago=0.5, waiting=0.1, running=0.1) for flow in [*flows[20:40], *[busy] * 4]]
    airflow.wait_for("the end of all runs", lambda: all(run.ended_at is not None for run in going + missed), 60)
    airflow.start("triggerer")
    watched.wait_told(going + missed)
    watched.wait_rounds(2)
    return Ends(first + going[:-1] + missed[:-4], [*first_of_busy, going[-1], *missed[-4:]])


def test_each_run_is_told_once_also_when_the_triggerer_is_killed(watched: WatchedFlows, ends: Ends) -> None:
    assert watched.told("watched_") == Counter(str(run.id) for run in ends.of_many_flows)
    assert watched.told("busy") == Counter(str(run.id) for run in ends.of_one_flow)


def test_each_run_reaches_a_dag_of_many_assets(watched: WatchedFlows, ends: Ends) -> None:
    handed_over = watched.wait_handed_over("watched_flows", ends.of_many_flows)
    assert Counter(chain.from_iterable(handed_over)) == Counter(str(run.id) for run in ends.of_many_flows)


def test_each_of_many_ends_at_once_starts_a_dag_run_of_its_own(watched: WatchedFlows, ends: Ends) -> None:
    handed_over = watched.wait_handed_over("busy_flow", ends.of_one_flow)
    assert sorted(handed_over) == sorted([str(run.id)] for run in ends.of_one_flow)


def test_all_watchers_of_a_connection_share_one_poll_loop(watched: WatchedFlows) -> None:
    watched.wait_rounds(1)
    before = len(watched.looks())
    watched.wait_rounds(4)
    looks = watched.looks()[before:]
    seconds = looks[-1].time - looks[0].time
    assert len(looks) <= len(watched.flows) * (seconds / POLL_INTERVAL + 2)
    assert len({look.connection for look in looks}) <= MAX_CONNECTIONS


def test_only_the_ends_asked_for_start_a_dag(watched: WatchedFlows) -> None:
    judged = watched.flows[FLOWS]
    failed = judged.add_run(outcome="FAILED", waiting=0.1, running=0.5)
    watched.wait_told([failed], "judged_failed")
    succeeded = judged.add_run(outcome="SUCCEEDED", waiting=0.1, running=0.5)
    watched.wait_told([succeeded], "judged_succeeded")
    watched.wait_rounds(2)
    assert watched.told("judged_failed") == {str(failed.id): 1}
    assert watched.told("judged_succeeded") == {str(succeeded.id): 1}
    assert watched.wait_handed_over("judged_flow_failed", [failed]) == [[str(failed.id)]]
    assert watched.wait_handed_over("judged_flow_succeeded", [succeeded]) == [[str(succeeded.id)]]


def test_the_example_is_started_by_the_end_of_a_run(
    airflow: RealAirflow, sandbox: Sandbox, clock: SteppedClock
) -> None:
    dag_id = "portable_finished_asset"
    flow = next(flow for flow in sandbox.portable.flows if flow.id == PORTABLE_FLOW_ID)
    looked = re.compile(rf"/flows/{flow.id}/run$")
    airflow.wait_for("its first look", lambda: sandbox.ledger.count(path=looked.pattern) > 0, 120)
    run = flow.add_run(waiting=0.1, running=0.1)
    clock.advance(1.0)

    def started() -> list[str]:
        return [one["dag_run_id"] for one in airflow.get(f"/api/v2/dags/{dag_id}/dagRuns")["dag_runs"]]

    airflow.wait_for("a DAG run", lambda: bool(started()), 120)
    (run_id,) = started()
    assert airflow.wait_run(dag_id, run_id) == "success"
    assert airflow.xcom(dag_id, run_id, "runs_that_ended") == [{"run_id": str(run.id), "rows_loaded": 1500}]
