"""One Portable flow is started six times at once, from two workers that share no lock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox, SandboxFlow
from tools.celery_airflow import CeleryAirflow

pytestmark = pytest.mark.airflow

DAG_IDS = ("one_flow_deferred", "one_flow")
#: The warning of a task that cannot tell which of several runs is its own.
ALIKE = re.compile(r"warning runs ([\d, ]+) of flow \d+ may each be the one")
FAILURE = re.compile(r"^FlowRunFailed: .*?\brun (\d+)", re.MULTILINE)


class StartsOfOneFlow:
    """A DAG run with six starts of one flow. The second of its runs fails."""

    def __init__(self, airflow: CeleryAirflow, sandbox: Sandbox, dag_id: str) -> None:
        self.airflow, self.sandbox, self.dag_id = airflow, sandbox, dag_id
        self.flow: SandboxFlow[Any] = sandbox.portable.add_flow()
        self.flow.add_run(ago=60)
        options: dict[str, Any] = {"waiting": 0.3, "running": 5.0}
        self.flow.next_run(**options)
        self.flow.next_run(outcome="FAILED", **options)
        self.flow.next_run(**options, always=True)
        self.run_id = airflow.trigger(dag_id, {"flow": str(self.flow.id)})

    def wait_for_end(self) -> None:
        self.airflow.wait_for_run(self.dag_id, self.run_id, timeout=600)

    def list_started(self) -> set[str]:
        return {str(event.run_id) for event in self.sandbox.ledger.started if event.flow_id == self.flow.id}

    def list_failed(self) -> set[str]:
        return {str(run.id) for run in self.flow.runs if run.status == "FAILED"}

    def get_states(self) -> dict[str, str | None]:
        return {task.task_id: task.state for task in self.airflow.list_task_instances(self.dag_id, self.run_id)}

    def get_candidates(self, task_id: str) -> set[str]:
        """Return the runs that a task has said may be its own, empty if it knew."""
        log = self.airflow.get_log(self.dag_id, self.run_id, task_id)
        return {run_id for ids in ALIKE.findall(log) for run_id in ids.split(", ")}

    def get_followed(self, task_id: str, state: str | None) -> set[str]:
        """Return the run that a task ended with, or all that may have been its own."""
        if candidates := self.get_candidates(task_id):
            return candidates
        if state == "success":
            return {str(self.airflow.get_xcom(self.dag_id, self.run_id, task_id)["run_id"])}
        log = self.airflow.get_log(self.dag_id, self.run_id, task_id)
        found = FAILURE.search(log)
        assert found, log[-2000:]
        return {found[1]}


@pytest.fixture(scope="module")
def starts(stack: CeleryAirflow, sandbox: Sandbox) -> Mapping[str, StartsOfOneFlow]:
    """Return the starts of a deferrable operator and of one that waits in the worker, each with a flow of its own."""
    stack.restore()
    starts = {dag_id: StartsOfOneFlow(stack, sandbox, dag_id) for dag_id in DAG_IDS}
    for one in starts.values():
        one.wait_for_end()
    return starts


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_every_task_starts_one_run_and_no_run_is_left_alone(starts: Mapping[str, StartsOfOneFlow], dag_id: str) -> None:
    one = starts[dag_id]
    states = one.get_states()
    assert len(one.list_started()) == len(states)
    assert one.list_started() == set().union(*(one.get_followed(*task) for task in states.items()))


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_a_task_that_does_not_warn_has_a_run_of_its_own(starts: Mapping[str, StartsOfOneFlow], dag_id: str) -> None:
    one = starts[dag_id]
    certain = [task for task in one.get_states().items() if not one.get_candidates(task[0])]
    runs = [run_id for task in certain for run_id in one.get_followed(*task)]
    assert len(runs) == len({*runs})


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_no_task_succeeds_if_a_run_that_may_be_its_own_failed(
    starts: Mapping[str, StartsOfOneFlow], dag_id: str
) -> None:
    one = starts[dag_id]
    states = one.get_states()
    assert len(one.list_failed()) == 1
    assert "failed" in states.values()
    for task in states.items():
        assert (task[1] == "failed") == bool(one.get_followed(*task) & one.list_failed())
