"""A sensor ends its wait itself, before Airflow's own check of ``timeout`` does, whatever a poke has taken."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException, Context

from airflow_provider_flowruns.model.runs import RunSummary
from airflow_provider_flowruns.polling.run_waiter import NextAction
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor
from airflow_provider_flowruns.tasks.waiting import Waiting
from airflow_provider_flowruns.testing.task_modes import task_context
from tests.worker_time import WorkerTime


def test_the_poke_that_passes_the_deadline_polls_once_more(
    sandbox: Sandbox, worker_time: WorkerTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = sandbox.portable.add_flow()
    flow.add_run(outcome="RUNNING")
    task = PortableFlowSensor(task_id="wait", flow_id=flow.id, timeout=60, never_fail=True)
    context = task_context()
    assert not task.poke(context).is_done

    poll = Waiting.poll

    def poll_for_long(*arguments: Any) -> NextAction:
        action = poll(*arguments)
        worker_time.sleep(61)
        return action

    monkeypatch.setattr(Waiting, "poll", poll_for_long)
    with pytest.raises(AirflowSkipException, match="timed out after 1 min"):
        task.poke(context)


class RecordingSensor(PortableFlowSensor):
    """Notes each time a run is recorded, for lineage and its link."""

    recorded: ClassVar[list[str]] = []

    def record_run(self, run: RunSummary, context: Context) -> None:
        self.recorded.append(run["vendor_status"])
        super().record_run(run, context)


def test_a_run_is_recorded_again_only_when_it_has_changed(timed_sandbox: Sandbox, worker_time: WorkerTime) -> None:
    flow = timed_sandbox.portable.add_flow()
    flow.add_run(outcome="SUCCEEDED", waiting=0.0, running=100.0)
    task, context = RecordingSensor(task_id="wait", flow_id=flow.id, timeout=600), task_context()
    for _ in range(3):
        assert not task.poke(context).is_done
    assert len(task.recorded) == 1
    worker_time.sleep(200.0)
    assert task.poke(context).is_done
    assert task.recorded[-1] != task.recorded[0]
