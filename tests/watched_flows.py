"""Flows whose completed runs start DAGs in a real Airflow: the watchers' polls, and Airflow's events and DAG runs."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from airflow_provider_flowruns.sandbox import Sandbox, SandboxFlow
from airflow_provider_flowruns.sandbox.ledger import RecordedRequest
from tools.real_airflow import RealAirflow

Flow = SandboxFlow[Any]


class WatchedFlows:
    """The watched flows of a sandbox.

    :param airflow: an Airflow whose DAGs watch the flows; each has a task ``run_ids`` that returns the ids of the
        runs that started the DAG run.
    :param sandbox: the sandbox in which the flows are created.
    :param flow_ids: ids of the flows; each flow gets a run that has already ended.
    """

    def __init__(self, airflow: RealAirflow, sandbox: Sandbox, flow_ids: Iterable[int]) -> None:
        self.airflow, self.sandbox = airflow, sandbox
        self.flows = [sandbox.portable.add_flow(flow_id=flow_id) for flow_id in flow_ids]
        for flow in self.flows:
            flow.add_run(ago=300)

    def list_polls(self) -> list[RecordedRequest]:
        """Return the watchers' requests."""
        ids = "|".join(str(flow.id) for flow in self.flows)
        return [request for request in self.sandbox.ledger.requests if re.search(rf"/flows/({ids})/run$", request.path)]

    def wait_for_polls(self, count: int, flows: Sequence[Flow] | None = None) -> None:
        """Wait until these flows (by default all) have been polled this number of times."""
        before = len(self.list_polls())
        paths = [f"/flows/{flow.id}/run" for flow in (self.flows if flows is None else flows)]

        def are_polled() -> bool:
            polls = Counter(poll.path for poll in self.list_polls()[before:] if poll.status == 200)
            return all(sum(polls[path] for path in polls if path.endswith(suffix)) >= count for suffix in paths)

        self.airflow.wait_for(f"{count} polls of each flow", are_polled, 240)

    def count_events(self, prefix: str = "") -> Counter[str]:
        """Return the number of events per run, for the assets whose names start with a prefix."""
        # From the database: the API for asset events fails while a DAG run is queued.
        rows = self.airflow.fetch_rows(
            "select name, asset_event.extra from asset_event join asset on asset.id = asset_id"
        )
        # The events of other tests' assets have a different content.
        payloads = [_load(extra).get("payload") for name, extra in rows if name.startswith(prefix)]
        return Counter(payload["run_id"] for payload in payloads if payload)

    def wait_for_events(self, runs: Sequence[Any], prefix: str = "") -> None:
        """Wait until Airflow has an event for each of these runs."""
        wanted = {str(run.id) for run in runs}
        self.airflow.wait_for(f"{len(wanted)} events", lambda: wanted <= self.count_events(prefix).keys(), 300)

    def wait_for_cursors(self, runs: Sequence[Any]) -> None:
        """Wait until the watchers' stored cursors contain these runs."""
        wanted = {str(run.id) for run in runs}

        def are_stored() -> bool:
            rows = self.airflow.fetch_rows("select key, value from asset_state_store")
            # Tasks store durations there, too.
            cursors = [json.loads(json.loads(value)) for key, value in rows if "durations" not in key]
            return wanted <= {run_id for cursor in cursors for run_id in cursor["completed"]}

        self.airflow.wait_for("the watchers' cursors", are_stored, 180)

    def list_received_run_ids(self, dag_id: str) -> list[list[str]]:
        """Return the ids of the runs that started each successful DAG run, oldest DAG run first."""
        runs = self.airflow.get(f"/api/v2/dags/{dag_id}/dagRuns", limit=1000, order_by="run_after")["dag_runs"]
        dag_run_ids = [run["dag_run_id"] for run in runs if run["state"] == "success"]
        return [self.airflow.get_xcom(dag_id, dag_run_id, "run_ids") for dag_run_id in dag_run_ids]

    def wait_for_received_run_ids(self, dag_id: str, runs: Sequence[Any]) -> list[list[str]]:
        """Wait until each of these runs has started a DAG run, and return the result of all DAG runs."""
        wanted = {str(run.id) for run in runs}
        self.airflow.wait_for(
            f"{len(wanted)} runs in {dag_id}",
            lambda: wanted <= {run_id for run_ids in self.list_received_run_ids(dag_id) for run_id in run_ids},
            300,
        )
        return self.list_received_run_ids(dag_id)


def _load(value: Any) -> Any:
    """Parse a JSON column, unless PostgreSQL's driver has already parsed it."""
    return json.loads(value) if isinstance(value, str) else value
