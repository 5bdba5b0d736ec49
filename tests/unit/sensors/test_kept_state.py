"""What a sensor keeps between its processes: as little as it needs, and a wait goes on where it cannot be kept."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, timezone

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.base import FlowRunSensor
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor
from airflow_provider_flowruns.testing.task_modes import MODES, End, StateStore, TaskInstance, run_in
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger


@pytest.fixture(autouse=True)
def short_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FlowRunTrigger, "first_wait", (0.05, 0.1))
    monkeypatch.setattr(FlowRunSensor, "min_reschedule_seconds", 0.0)


class CountingStore(StateStore):
    """A store that counts what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def set(self, key: str, value: Any) -> None:
        self.writes += 1
        super().set(key, value)


class AwayStore(StateStore):
    """A store of an Airflow that cannot be reached."""

    def get(self, key: str, default: Any = None) -> Any:
        raise AirflowException("API_SERVER_ERROR")

    def set(self, key: str, value: Any) -> None:
        raise AirflowException("API_SERVER_ERROR")


class AwayTaskInstance(TaskInstance):
    """A task instance of an Airflow that cannot be reached."""

    def xcom_push(self, key: str, value: Any) -> None:
        raise AirflowException("API_SERVER_ERROR")


def wait_in(mode: str, sandbox: Sandbox, context: dict[str, Any], **arguments: Any) -> tuple[End, int]:
    """Return how a guarded wait ends, and how many polls it took."""
    flow = sandbox.portable.add_flow()
    guard = timezone.utcnow()
    flow.add_run(outcome="SUCCEEDED", waiting=0.2, running=3.0)

    def make(**more: Any) -> FlowRunSensor:
        given = {"task_id": "wait", "poke_interval": 0.1, "timeout": 30.0, "completed_after": guard, **arguments}
        return PortableFlowSensor(flow_id=flow.id, **{**given, **more})

    return run_in(mode, make, context), sandbox.ledger.count()


@pytest.mark.parametrize("mode", ["poke", "deferrable"])
def test_the_guards_are_saved_once_and_no_poll_writes(mode: str, sandbox: Sandbox) -> None:
    store = CountingStore()
    end, polls = wait_in(mode, sandbox, {"ti": TaskInstance(), "task_state_store": store})
    assert end.state == "success", end
    assert polls > 3
    assert store.writes == 1


def test_without_a_guard_nothing_is_saved(sandbox: Sandbox) -> None:
    store = CountingStore()
    end, _ = wait_in("poke", sandbox, {"ti": TaskInstance(), "task_state_store": store}, completed_after=None)
    assert (end.state, store.writes) == ("success", 0)


def test_a_rescheduled_wait_is_saved_with_each_poll(sandbox: Sandbox) -> None:
    store = CountingStore()
    end, polls = wait_in("reschedule", sandbox, {"ti": TaskInstance(), "task_state_store": store})
    assert end.state == "success", end
    assert store.writes == polls  # with the plan at first, with what each but the last one saw


@pytest.mark.parametrize("mode", MODES)
def test_a_store_that_is_away_is_warned_of_and_ends_no_wait(
    mode: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(FlowRunSensor, "log", logging.getLogger("away"), raising=False)
    with caplog.at_level(logging.WARNING, "away"):
        end, _ = wait_in(mode, sandbox, {"ti": AwayTaskInstance(), "task_state_store": AwayStore()})
    assert end.state == "success", end
    assert "Could not save the state of this wait; continuing without it: API_SERVER_ERROR" in caplog.text
    assert "The run's URL could not be pushed to XCom yet" in caplog.text


def test_a_rescheduled_wait_whose_state_is_lost_keeps_its_deadline(sandbox: Sandbox) -> None:
    began = timezone.utcnow() - timedelta(seconds=100)

    class Rescheduled(TaskInstance):
        def get_first_reschedule_date(self, context: Any) -> datetime | None:
            return began

    sandbox.portable.add_flow()
    flow = sandbox.portable.add_flow()
    flow.add_run(outcome="RUNNING")
    task = PortableFlowSensor(
        task_id="wait",
        flow_id=flow.id,
        mode="reschedule",
        timeout=10_000.0,
        execution_timeout=timedelta(seconds=90),
    )
    end = run_in("poke", lambda: task, {"ti": Rescheduled(), "task_state_store": AwayStore()})
    assert (end.state, end.error) == ("failed", "AirflowTaskTimeout"), end


def test_a_retry_goes_on_with_the_guard_of_the_first_try(sandbox: Sandbox) -> None:
    store = StateStore()
    flow = sandbox.portable.add_flow()
    run = flow.add_run(outcome="SUCCEEDED", ago=20.0, waiting=0.1, running=1.0)
    early, late = (datetime.fromtimestamp(run.created + seconds, UTC) for seconds in (-60, 10))

    def make(guard: datetime) -> FlowRunSensor:
        return PortableFlowSensor(
            task_id="wait", flow_id=flow.id, completed_after=guard, poke_interval=0.1, timeout=0.5
        )

    first = run_in("poke", lambda: make(late), {"ti": TaskInstance(1), "task_state_store": store})
    again = run_in("poke", lambda: make(early), {"ti": TaskInstance(2), "task_state_store": store})
    assert (first.error, again.error) == ("AirflowSensorTimeout", "AirflowSensorTimeout")
