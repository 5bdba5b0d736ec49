"""``execution_timeout`` bounds an operator's wait wherever it waits, and kills the task as Airflow itself does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.testing.task_modes import End, run_task, task_context

everywhere = pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])


def end_of(flow_id: Any, **arguments: Any) -> End:
    given = {
        "task_id": "run",
        "poll_interval": 0.1,
        "timeout": 60.0,
        "execution_timeout": timedelta(seconds=2),
        **arguments,
    }
    context = task_context()
    return run_task(lambda: PortableRunFlowOperator(flow_id=flow_id, **given), context)


@everywhere
@pytest.mark.parametrize("cancels", [True, False])
def test_the_run_is_cancelled_as_with_any_kill(cancels: bool, deferrable: bool, sandbox: Sandbox) -> None:
    flow = sandbox.portable.add_flow()
    flow.next_run(outcome="RUNNING")
    end = end_of(flow.id, deferrable=deferrable, cancel_on_kill=cancels)
    assert (end.state, end.error) == ("failed", "AirflowTaskTimeout"), end
    assert "(execution_timeout)" in end.message
    (started,) = sandbox.ledger.started
    assert [event.run_id for event in sandbox.ledger.canceled] == ([started.run_id] if cancels else [])


@everywhere
def test_a_later_one_changes_nothing(deferrable: bool, sandbox: Sandbox) -> None:
    flow = sandbox.portable.add_flow()
    flow.next_run(outcome="RUNNING")
    end = end_of(flow.id, deferrable=deferrable, timeout=1.0, execution_timeout=timedelta(seconds=60))
    assert (end.state, end.error) == ("failed", "FlowRunTimeout"), end
    assert not sandbox.ledger.canceled


@everywhere
def test_it_bounds_the_wait_for_a_run_that_is_in_the_way(deferrable: bool, sandbox: Sandbox) -> None:
    flow = sandbox.portable.add_flow()
    flow.add_run(outcome="RUNNING")
    end = end_of(flow.id, deferrable=deferrable, if_running="wait")
    assert (end.state, end.error) == ("failed", "AirflowTaskTimeout"), end
    assert not sandbox.ledger.started
    assert not sandbox.ledger.canceled


@everywhere
def test_it_goes_on_when_that_run_has_ended(deferrable: bool, sandbox: Sandbox) -> None:
    flow = sandbox.portable.add_flow()
    flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=0.4)
    flow.next_run(outcome="RUNNING")
    end = end_of(flow.id, deferrable=deferrable, if_running="wait")
    assert (end.state, end.error) == ("failed", "AirflowTaskTimeout"), end
    (started,) = sandbox.ledger.started
    assert [event.run_id for event in sandbox.ledger.canceled] == [started.run_id]
