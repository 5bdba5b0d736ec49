"""DAG runs that start a run on each service, and what the sandbox recorded of them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from airflow_provider_flowruns.sandbox import Sandbox
from tools.real_airflow import RealAirflow

SERVICES = ("portable", "activepieces", "tableflow")
START_PATHS = {"portable": "/run$", "activepieces": "/webhooks/", "tableflow": "/run$"}


def hold_start_responses(sandbox: Sandbox) -> None:
    """Let the next start on each service be carried out, but keep its response back: the worker waits for it."""
    for service in SERVICES:
        sandbox.faults.add(
            "hang", service=service, method="POST", path=START_PATHS[service], seconds=60, processed=True
        )


class StartingDagRun:
    """A DAG run that starts a run on each service, and the runs that the sandbox recorded."""

    def __init__(
        self,
        airflow: RealAirflow,
        sandbox: Sandbox,
        document: Path,
        dag_id: str,
        *,
        linger: bool = False,
        activepieces: dict[str, Any] | None = None,
        **run: Any,
    ) -> None:
        self.airflow, self.sandbox, self.dag_id = airflow, sandbox, dag_id
        self.flows = {service: getattr(sandbox, service).add_flow() for service in SERVICES}
        for service, flow in self.flows.items():
            overrides = activepieces or {} if service == "activepieces" else {}
            flow.next_run(**{"outcome": "SUCCEEDED", "waiting": 0.5, "running": 8.0, **run, **overrides}, always=True)
        conf = {service: str(flow.id) for service, flow in self.flows.items()}
        self.run_id = airflow.trigger(dag_id, {**conf, "document": str(document), "linger": linger})

    def wait_for_state(self, service: str, *states: str) -> None:
        self.airflow.wait_for_task(self.dag_id, self.run_id, service, states, timeout=240)

    def wait_for_triggerer(self, service: str) -> None:
        """Wait until a task is deferred and the triggerer has its wait: before that, nobody would cancel its run."""
        self.wait_for_state(service, "deferred")
        self.airflow.wait_for_log(self.dag_id, self.run_id, service, "The triggerer waits for")

    def wait_for_second_try(self) -> None:
        """Wait until each task has begun its second try."""

        def has_begun() -> bool:
            tasks = self.airflow.list_task_instances(self.dag_id, self.run_id)
            return all(task.try_number == 2 and task.state in {"running", "deferred"} for task in tasks)

        self.airflow.wait_for(f"the second try of {self.dag_id}", has_begun, 240)

    def list_started(self, service: str) -> list[str]:
        flow_id = str(self.flows[service].id)
        return [str(event.run_id) for event in self.sandbox.ledger.started if str(event.flow_id) == flow_id]

    def list_canceled(self, service: str) -> list[str]:
        flow_id = str(self.flows[service].id)
        return [str(event.run_id) for event in self.sandbox.ledger.canceled if str(event.flow_id) == flow_id]

    def kill(self, service: str) -> None:
        """Kill a task's process, like the loss of a node."""
        path = f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{service}"
        os.kill(int(self.airflow.get(path)["pid"]), signal.SIGKILL)

    def check_one_run_each(self) -> None:
        """Check that every task succeeded in its second try, with the only run that was started for it."""
        assert self.airflow.wait_for_run(self.dag_id, self.run_id, timeout=400) == "success"
        for task in self.airflow.list_task_instances(self.dag_id, self.run_id):
            assert (task.state, task.try_number) == ("success", 2)
            result = self.airflow.get_xcom(self.dag_id, self.run_id, task.task_id)
            assert self.list_started(task.task_id) == [result["run_id"]]
            assert self.list_canceled(task.task_id) == []
