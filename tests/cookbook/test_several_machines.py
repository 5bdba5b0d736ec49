"""Two DAG runs at once start one run of the flow at a time, and each follows its own."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sandbox.portable import PortableFlow, PortableRun
from airflow_provider_flowruns.sandbox.scenario import PORTABLE_SLOW_FLOW_ID, ExampleFlows
from tools.real_airflow import RealAirflow

pytestmark = [pytest.mark.airflow, pytest.mark.nightly]

DAG_ID = "several_machines"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "cookbook" / "several-machines.md"


@pytest.fixture
def flow(airflow: RealAirflow, flows: ExampleFlows) -> Iterator[PortableFlow]:
    """Return the flow, whose runs have no end until a test ends them. The pool is made as the page says."""
    (command,) = re.findall(r"^airflow (pools set .+)$", PAGE.read_text(), re.MULTILINE)
    done = airflow.run_cli(*shlex.split(command))
    assert done.returncode == 0, done.stderr
    flow = flows.portable[PORTABLE_SLOW_FLOW_ID]
    assert isinstance(flow, PortableFlow)
    flow.next_run(outcome="RUNNING", always=True)
    yield flow
    flow.next_run(always=True)
    for run in flow.runs:
        if run.ended_at is None:
            run.end()


def test_one_run_at_a_time_and_each_task_follows_its_own(airflow: RealAirflow, sandbox: Sandbox, flow) -> None:
    started_before = len(list_started(sandbox, flow))  # by the other recipes
    of_a_schedule = flow.add_run(outcome="RUNNING")
    waiting = {airflow.trigger(DAG_ID) for _ in range(2)}
    own: dict[str, PortableRun] = {}

    has_slot = wait_for_slot(airflow, waiting)
    airflow.wait_for_log(DAG_ID, has_slot, "load", f"run {of_a_schedule.id}")
    assert len(list_started(sandbox, flow)) == started_before
    of_a_schedule.end()

    while waiting:
        has_slot, run = wait_for_own_run(airflow, flow, waiting)
        own[has_slot] = run
        waiting.remove(has_slot)
        # The other task has not begun: it has sent nothing, whatever machine it will run on.
        assert {airflow.get_task_instance(DAG_ID, other, "load").state for other in waiting} <= {"scheduled"}
        assert len(list_started(sandbox, flow)) == started_before + len(own)
        run.end()
        assert airflow.wait_for_run(DAG_ID, has_slot) == "success"
        assert airflow.get_xcom(DAG_ID, has_slot, "load")["run_id"] == str(run.id)

    first, second = own.values()
    assert of_a_schedule.ended_at <= first.created
    assert first.ended_at <= second.created
    for dag_run_id in own:
        assert "may be" not in airflow.get_log(DAG_ID, dag_run_id, "load")


def wait_for_slot(airflow: RealAirflow, dag_run_ids: set[str]) -> str:
    """Wait until one of the tasks is deferred, and return its DAG run."""

    def list_deferred() -> list[str]:
        return [run_id for run_id in dag_run_ids if airflow.get_task_states(DAG_ID, run_id).get("load") == "deferred"]

    airflow.wait_for("a deferred task", list_deferred, 120)
    (has_slot,) = list_deferred()
    return has_slot


def wait_for_own_run(airflow: RealAirflow, flow: PortableFlow, dag_run_ids: set[str]) -> tuple[str, PortableRun]:
    """Wait until one of the tasks follows the flow's newest run, and return its DAG run and that run."""

    def list_following() -> list[str]:
        newest = str(flow.runs[-1].id)
        return [run_id for run_id in dag_run_ids if get_followed_run(airflow, run_id) == newest]

    airflow.wait_for("a task that follows the newest run", list_following, 180)
    (has_slot,) = list_following()
    return has_slot, flow.runs[-1]


def get_followed_run(airflow: RealAirflow, dag_run_id: str) -> str | None:
    """Return the id of the run that a task has started, None until it is known."""
    run_id: str | None = airflow.get_xcoms(DAG_ID, dag_run_id, "load").get("run_id")
    return run_id


def list_started(sandbox: Sandbox, flow: PortableFlow) -> list[int | str]:
    """Return the ids of the flow's runs that tasks have started."""
    return [event.run_id for event in sandbox.ledger.started if event.flow_id == flow.id]
