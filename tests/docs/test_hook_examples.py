"""The tasks on the page about hooks, called against the sandbox."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples" / "hooks"


def get_function(module: str, task_id: str) -> Callable[..., Any]:
    """Return the function of a task of a file that is shown."""
    dag = runpy.run_path(str(EXAMPLES / f"{module}.py"))["dag"]
    function: Callable[..., Any] = dag.task_dict[task_id].python_callable
    return function


@pytest.mark.parametrize(("outcome", "expected"), [("SUCCEEDED", True), ("FAILED", False)])
def test_the_last_run_is_read(outcome, expected, flowruns_sandbox: Sandbox) -> None:
    flowruns_sandbox.portable.add_flow(flow_id=568101).add_run(ago=60, outcome=outcome)
    assert get_function("read", "has_succeeded")(568101) is expected


def test_failed_runs_of_the_last_day_are_listed(flowruns_sandbox: Sandbox) -> None:
    flow = flowruns_sandbox.activepieces.add_flow(flow_id="ContactsFailing000001")
    flow.add_run(ago=2 * 86_400, outcome="FAILED")
    flow.add_run(ago=600, outcome="SUCCEEDED")
    failed = [flow.add_run(ago=ago, outcome="FAILED") for ago in range(30 * 60, 60, -60)]
    runs = get_function("read", "failed_runs")("ContactsFailing000001")
    assert [run["run_id"] for run in runs] == [run.id for run in reversed(failed)][:20]


def test_a_flow_is_started(flowruns_sandbox: Sandbox) -> None:
    flowruns_sandbox.portable.add_flow(flow_id=568103)
    assert get_function("change", "start")(568103) is True
    assert [event.flow_id for event in flowruns_sandbox.ledger.started] == [568103]


def test_a_start_without_a_response_is_not_repeated(flowruns_sandbox: Sandbox) -> None:
    flowruns_sandbox.portable.add_flow(flow_id=568103)
    flowruns_sandbox.faults.add("accept_then_reset", method="POST", path="/run$")
    assert get_function("change", "start")(568103) is False
    assert len(flowruns_sandbox.ledger.started) == 1


def test_paused_runs_are_cancelled_and_no_others(flowruns_sandbox: Sandbox) -> None:
    flow = flowruns_sandbox.activepieces.add_flow(flow_id="ApprovalPausing000001")
    flow.add_run([(0, "RUNNING")], ago=30)
    paused = flow.add_run([(0, "RUNNING"), (1, "PAUSED")], ago=60)
    cancel_paused = get_function("change", "cancel_paused")
    assert cancel_paused("ApprovalPausing000001") == [paused.id]
    assert [event.run_id for event in flowruns_sandbox.ledger.canceled] == [paused.id]
    assert cancel_paused("ApprovalPausing000001") == []
