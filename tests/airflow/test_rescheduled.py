"""Many sensors in ``reschedule`` mode at once."""

from __future__ import annotations

from collections import Counter

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from tests.airflow.dags.time_limits import RESCHEDULED_COUNT
from tools.real_airflow import RealAirflow

pytestmark = [pytest.mark.airflow, pytest.mark.nightly]


def test_ten_rescheduled_sensors_wait_for_two_minutes_and_none_fails(
    airflow: RealAirflow, live_sandbox: Sandbox
) -> None:
    flow = live_sandbox.portable.add_flow()
    flow.add_run(waiting=1.0, running=119.0)
    run_id = airflow.trigger("rescheduled_waits", {"flow": str(flow.id)})
    assert airflow.wait_for_run("rescheduled_waits", run_id, timeout=400) == "success"
    tasks = airflow.list_task_instances("rescheduled_waits", run_id)
    assert Counter((task.state, task.try_number) for task in tasks) == {("success", 1): RESCHEDULED_COUNT}
