"""A sensor ends its wait itself, before Airflow's own check of ``timeout`` does, whatever a poke has taken."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor
from tests.worker_time import WorkerTime
from tools.task_modes import task_context


def test_the_poke_that_passes_the_deadline_polls_once_more(
    sandbox: Sandbox, worker_time: WorkerTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = sandbox.portable.add_flow()
    flow.add_run(outcome="RUNNING")
    task = PortableFlowSensor(task_id="wait", flow_id=flow.id, timeout=60, never_fail=True)
    context = task_context()
    assert not task.poke(context).is_done

    def take_long(*_: Any) -> None:
        worker_time.sleep(61)

    monkeypatch.setattr(task, "record_run", take_long)
    with pytest.raises(AirflowSkipException, match="timed out after 1 min"):
        task.poke(context)
