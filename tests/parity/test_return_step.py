"""What a step returned is the same, or missing for the same reason, in the worker and after a deferral."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_flowruns.operators.activepieces import ActivepiecesRunFlowOperator
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.testing.task_modes import End, run_task, task_context

OUTPUT = {"rows": [{"id": 7}, {"id": 8}], "count": 2}


def record(output: Any, type: str = "CODE", status: str = "SUCCEEDED") -> dict[str, Any]:
    return {"type": type, "status": status, "input": {}, "output": output}


LOOP = {"item": 2, "index": 2, "iterations": [{"step_3": record(1)}, {}]}
STEPS = {
    "step_1": record(OUTPUT),
    "step_2": record(LOOP, type="LOOP_ON_ITEMS"),
    "step_4": {"type": "CODE", "status": "FAILED", "input": {}, "errorMessage": "no orders"},
    "step_5": record(["x" * 1_000] * 10_000),
}


def run_both(sandbox: Sandbox, return_step: str) -> tuple[End, End]:
    """Run the operator in the worker and through the triggerer, each on a flow of its own."""

    def run(deferrable: bool) -> End:
        flow = sandbox.activepieces.add_flow()
        flow.next_run(waiting=0.2, running=0.6, steps=STEPS)
        arguments = {"flow_id": flow.id, "return_step": return_step, "poll_interval": 0.1, "timeout": 30.0}
        context = task_context()
        end = run_task(lambda: ActivepiecesRunFlowOperator(task_id="run", deferrable=deferrable, **arguments), context)
        assert len([one for one in sandbox.ledger.started if one.flow_id == flow.id]) == 1
        return end

    return run(deferrable=False), run(deferrable=True)


@pytest.mark.parametrize(("step", "output"), [("step_1", OUTPUT), ("step_2", LOOP), ("step_3", [1, None])])
def test_the_output_is_the_same(step: str, output: Any, sandbox: Sandbox) -> None:
    ends = run_both(sandbox, step)
    assert [end.state for end in ends] == ["success", "success"], ends
    for end in ends:
        found = end.xcom["step_output"]
        assert (found if step != "step_2" else {**found, "iterations": LOOP["iterations"]}) == output
        assert end.xcom["disposition"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("step", "error"),
    [("step_9", "StepNotFound"), ("step_4", "StepOutputMissing"), ("step_5", "ResultTooLarge")],
)
def test_the_error_is_the_same(step: str, error: str, sandbox: Sandbox) -> None:
    ends = run_both(sandbox, step)
    assert [(end.state, end.error) for end in ends] == [("failed", error)] * 2, ends
