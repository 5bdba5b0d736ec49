"""Flows whose ends start DAGs in a real Airflow: what their watchers asked, and what Airflow made of it."""

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
    """
    The watched flows of a sandbox.

    :param airflow: has a DAG file with their watchers; its DAGs return the ids of the runs that they are started with
        as the result of a task ``run_ids``.
    :param sandbox: where the flows are made.
    :param flow_ids: ids of the flows; each gets a run that has ended before anybody looks.
    """

    def __init__(self, airflow: RealAirflow, sandbox: Sandbox, flow_ids: Iterable[int]) -> None:
        self.airflow, self.sandbox = airflow, sandbox
        self.flows = [sandbox.portable.add_flow(flow_id=flow_id) for flow_id in flow_ids]
        for flow in self.flows:
            flow.add_run(ago=300)

    def looks(self) -> list[RecordedRequest]:
        """Return the requests of the watchers."""
        ids = "|".join(str(flow.id) for flow in self.flows)
        return [look for look in self.sandbox.ledger.requests if re.search(rf"/flows/({ids})/run$", look.path)]

    def wait_rounds(self, count: int, flows: Sequence[Flow] | None = None) -> None:
        """Wait until flows, all of them if none are given, were looked at so many times more."""
        before = len(self.looks())
        wanted = [f"/flows/{flow.id}/run" for flow in (self.flows if flows is None else flows)]

        def done() -> bool:
            looks = Counter(look.path for look in self.looks()[before:] if look.status == 200)
            return all(sum(looks[path] for path in looks if path.endswith(ending)) >= count for ending in wanted)

        self.airflow.wait_for(f"{count} rounds", done, 240)

    def told(self, prefix: str = "") -> Counter[str]:
        """Return how many events Airflow has of each run, of the assets whose names begin in this way."""
        # From its database: its API for asset events fails while a DAG run is queued.
        rows = self.airflow.rows("select name, asset_event.extra from asset_event join asset on asset.id = asset_id")
        # Other tests' tasks have assets of their own, whose events say something else.
        of_watchers = [_load(extra).get("payload") for name, extra in rows if name.startswith(prefix)]
        return Counter(payload["run_id"] for payload in of_watchers if payload)

    def wait_told(self, runs: Sequence[Any], prefix: str = "") -> None:
        """Wait until Airflow has an event of each of these runs."""
        wanted = {str(run.id) for run in runs}
        self.airflow.wait_for(f"{len(wanted)} events", lambda: wanted <= self.told(prefix).keys(), 300)

    def wait_kept(self, runs: Sequence[Any]) -> None:
        """Wait until the watchers have put down that they told of these runs."""
        wanted = {str(run.id) for run in runs}

        def kept() -> bool:
            rows = self.airflow.rows("select value from asset_state_store")
            return wanted <= {run_id for (value,) in rows for run_id in json.loads(json.loads(value))["ended"]}

        self.airflow.wait_for("the watchers' cursors", kept, 180)

    def handed_over(self, dag_id: str) -> list[list[str]]:
        """Return the ids of the runs that each DAG run which has ended was started with, the earliest DAG run first."""
        runs = self.airflow.get(f"/api/v2/dags/{dag_id}/dagRuns", limit=1000, order_by="run_after")["dag_runs"]
        done = [run["dag_run_id"] for run in runs if run["state"] == "success"]
        return [self.airflow.xcom(dag_id, done_id, "run_ids") for done_id in done]

    def wait_handed_over(self, dag_id: str, runs: Sequence[Any]) -> list[list[str]]:
        """Wait until each of these runs was handed to a DAG run; no other run ends meanwhile."""
        wanted = {str(run.id) for run in runs}
        self.airflow.wait_for(
            f"{len(wanted)} runs in {dag_id}",
            lambda: wanted <= {run_id for some in self.handed_over(dag_id) for run_id in some},
            300,
        )
        return self.handed_over(dag_id)


def _load(value: Any) -> Any:
    """Read a JSON column: PostgreSQL's driver has done so already."""
    return json.loads(value) if isinstance(value, str) else value
