"""DAGs that are started by the end of a flow's run: once a run, whatever becomes of the triggerer."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns.client.aio_transport import MAX_CONNECTIONS
from airflow_provider_flowruns.sandbox import Sandbox, SandboxFlow
from airflow_provider_flowruns.sandbox.ledger import RecordedRequest
from airflow_provider_flowruns.sandbox.scenario import PORTABLE_FLOW_ID
from tests.airflow.later_dags.watched_flows import FIRST_FLOW_ID, FLOWS
from tools.real_airflow import RealAirflow
from tools.stage import SteppedClock

pytestmark = pytest.mark.airflow

HERE = Path(__file__).resolve().parent
POLL_INTERVAL = 3.0


class Watched:
    """The watched flows: what their watchers asked, and what Airflow made of their runs."""

    def __init__(self, airflow: RealAirflow, sandbox: Sandbox) -> None:
        self.airflow, self.sandbox = airflow, sandbox
        self.flows = [sandbox.portable.add_flow(flow_id=FIRST_FLOW_ID + number) for number in range(FLOWS + 1)]
        for flow in self.flows:
            flow.add_run(ago=300)  # no news

    @property
    def judged(self) -> SandboxFlow[Any]:
        """The flow whose ends have a DAG each."""
        return self.flows[-1]

    def looks(self) -> list[RecordedRequest]:
        """Return the requests of the watchers."""
        ids = "|".join(str(flow.id) for flow in self.flows)
        return [look for look in self.sandbox.ledger.requests if re.search(rf"/flows/({ids})/run$", look.path)]

    def wait_rounds(self, count: int) -> None:
        """Wait until every flow was looked at so many times more."""
        before = len(self.looks())

        def done() -> bool:
            looks = Counter(look.path for look in self.looks()[before:] if look.status == 200)
            return len(looks) == len(self.flows) and min(looks.values()) >= count

        self.airflow.wait_for(f"{count} rounds", done, 180)

    def rows(self, query: str) -> list[Any]:
        """Return what Airflow's database has; its API for asset events fails while a DAG run is queued."""
        with closing(sqlite3.connect(f"file:{self.airflow.database}?mode=ro", uri=True, timeout=30)) as database:
            return database.execute(query).fetchall()

    def told(self, prefix: str = "watched_") -> Counter[str]:
        """Return how many events Airflow has of each run."""
        rows = self.rows("select name, asset_event.extra from asset_event join asset on asset.id = asset_id")
        return Counter(json.loads(extra)["payload"]["run_id"] for name, extra in rows if name.startswith(prefix))

    def wait_told(self, runs: Sequence[Any], prefix: str = "watched_") -> None:
        """Wait until Airflow has an event of each of these runs."""
        wanted = {str(run.id) for run in runs}
        self.airflow.wait_for(f"{len(wanted)} events", lambda: wanted <= self.told(prefix).keys(), 240)

    def wait_kept(self, runs: Sequence[Any]) -> None:
        """Wait until the watchers have put down that they told of these runs."""
        wanted = {str(run.id) for run in runs}

        def kept() -> bool:
            cursors = [json.loads(json.loads(value)) for (value,) in self.rows("select value from asset_state_store")]
            return wanted <= {run_id for cursor in cursors for run_id in cursor["ended"]}

        self.airflow.wait_for("the watchers' cursors", kept, 120)

    def received(self, dag_id: str, most: int) -> Counter[str]:
        """Return how often each run was handed to a DAG, when so many have arrived."""

        def arrived() -> Counter[str]:
            runs = self.airflow.get(f"/api/v2/dags/{dag_id}/dagRuns", limit=1000)["dag_runs"]
            done = [run["dag_run_id"] for run in runs if run["state"] == "success"]
            return Counter(run_id for done_id in done for run_id in self.airflow.xcom(dag_id, done_id, "run_ids"))

        self.airflow.wait_for(f"{most} runs in {dag_id}", lambda: arrived().total() >= most, 240)
        return arrived()


@pytest.fixture(scope="module")
def watched(airflow: RealAirflow, live_sandbox: Sandbox, dags_folder: Path) -> Iterator[Watched]:
    """Their DAGs, for as long as these tests take: the others have the triggerer for themselves."""
    watched = Watched(airflow, live_sandbox)
    file = Path(shutil.copy(HERE / "later_dags" / "watched_flows.py", dags_folder))
    try:
        watched.wait_rounds(1)
        yield watched
    finally:
        file.unlink()


def test_each_run_is_told_once_also_when_the_triggerer_is_killed(airflow: RealAirflow, watched: Watched) -> None:
    flows = watched.flows[:FLOWS]
    first = [flow.add_run(waiting=0.1, running=1.0) for flow in flows]
    watched.wait_told(first)
    watched.wait_kept(first)

    # Runs that are going when the triggerer dies, runs that come and go while it is dead, more than one look shows.
    going = [flow.add_run(waiting=0.1, running=6.0) for flow in flows[:20]]
    watched.wait_rounds(1)
    airflow.kill("triggerer")
    missed = [flow.add_run(ago=0.5, waiting=0.1, running=0.1) for flow in flows[10:40]]
    missed += [flows[49].add_run(ago=0.5, waiting=0.1, running=0.1) for _ in range(120)]
    airflow.wait_for("the end of all runs", lambda: all(run.ended_at is not None for run in going + missed), 60)
    airflow.start("triggerer")

    runs = first + going + missed
    watched.wait_told(runs)
    watched.wait_rounds(2)
    expected = Counter(str(run.id) for run in runs)
    assert watched.told() == expected
    assert watched.received("watched_flows", len(runs)) == expected


def test_all_watchers_of_a_connection_share_one_poll_loop(watched: Watched) -> None:
    watched.wait_rounds(1)
    before = len(watched.looks())
    watched.wait_rounds(4)
    looks = watched.looks()[before:]
    seconds = looks[-1].time - looks[0].time
    assert len(looks) <= len(watched.flows) * (seconds / POLL_INTERVAL + 2)
    assert len({look.connection for look in looks}) <= MAX_CONNECTIONS


def test_only_the_ends_asked_for_start_a_dag(watched: Watched) -> None:
    failed = watched.judged.add_run(outcome="FAILED", waiting=0.1, running=0.5)
    watched.wait_told([failed], "judged_failed")
    succeeded = watched.judged.add_run(outcome="SUCCEEDED", waiting=0.1, running=0.5)
    watched.wait_told([succeeded], "judged_succeeded")
    watched.wait_rounds(2)
    assert watched.told("judged_failed") == {str(failed.id): 1}
    assert watched.told("judged_succeeded") == {str(succeeded.id): 1}
    assert watched.received("judged_flow_failed", 1) == {str(failed.id): 1}
    assert watched.received("judged_flow_succeeded", 1) == {str(succeeded.id): 1}


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
