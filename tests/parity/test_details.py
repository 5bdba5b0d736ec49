"""What a list does not show of a TableFlow run is in its summary nevertheless, in every mode."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_flowruns.operators.tableflow import TableFlowRunFlowOperator
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.base import FlowRunSensor
from airflow_provider_flowruns.sensors.tableflow import TableFlowFlowRunSensor, TableFlowFlowSensor
from airflow_provider_flowruns.testing.task_modes import run_in_all, run_task, task_context

SINGLE_READ = r"/tableflow/v2/flows/runs/\w+"


@pytest.mark.parametrize("sensor_class", [TableFlowFlowSensor, TableFlowFlowRunSensor])
@pytest.mark.parametrize("ago", [0.0, 5.0], ids=["ends", "had ended"])
@pytest.mark.parametrize("outcome", ["SUCCEEDED", "PAUSED"])
def test_a_wait_ends_with_all_details(
    sensor_class: type[FlowRunSensor], outcome: Any, ago: float, sandbox: Sandbox
) -> None:
    flow = sandbox.tableflow.add_flow(name="Orders")
    run = flow.add_run(outcome=outcome, waiting=0.2, running=0.2, ago=ago)
    named = {"run_id": run.id} if sensor_class is TableFlowFlowRunSensor else {"flow_id": flow.id}

    def make(**mode: Any) -> FlowRunSensor:
        return sensor_class(task_id="wait", poke_interval=0.1, timeout=20.0, on_paused="succeed", **named, **mode)

    ends = run_in_all(make)
    details = ends["poke"].xcom["details"]
    assert details["flow_name"] == "Orders"
    assert [step["title"] for step in details["steps"]]
    assert {mode: end.xcom for mode, end in ends.items()} == dict.fromkeys(ends, ends["poke"].xcom)


def test_a_success_stays_one_if_its_details_cannot_be_read(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    flow = sandbox.tableflow.add_flow(name="Orders")
    flow.add_run(outcome="SUCCEEDED", waiting=0.2, running=0.2, ago=5.0)  # or else the wait would follow it by its id
    sandbox.faults.add("status", status=500, times=None, path=SINGLE_READ)

    def make(**mode: Any) -> FlowRunSensor:
        return TableFlowFlowSensor(task_id="wait", poke_interval=0.1, timeout=20.0, flow_id=flow.id, **mode)

    ends = run_in_all(make)
    assert {mode: end.state for mode, end in ends.items()} == dict.fromkeys(ends, "success")
    assert {end.xcom["details"]["flow_name"] for end in ends.values()} == {None}
    assert {end.xcom["details"]["workspace_id"] for end in ends.values()} == {sandbox.tableflow.workspace_id}
    # Airflow 3 logs to the standard output, Airflow 2 through Python's logging.
    assert (capsys.readouterr().out + caplog.text).count("could not be read") >= len(ends)


@pytest.mark.parametrize("deferrable", [False, True])
def test_an_operator_ends_with_all_details(deferrable: bool, sandbox: Sandbox) -> None:
    flow = sandbox.tableflow.add_flow(name="Orders", file_fields=())

    def make() -> TableFlowRunFlowOperator:
        return TableFlowRunFlowOperator(
            task_id="run", flow_id=flow.id, files={}, metadata={"order": "1"}, poll_interval=0.1, deferrable=deferrable
        )

    end = run_task(make, task_context())
    assert (end.state, end.message) == ("success", "")
    assert end.xcom["details"]["flow_name"] == "Orders"
    assert end.xcom["details"]["metadata"]["order"] == "1"
