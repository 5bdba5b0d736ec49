"""What the page makes of a saved trigger. Reading them from the database is tested in a real Airflow."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from airflow_provider_flowruns.model import saved
from airflow_provider_flowruns.model.targets import FlowStatusTarget, RunTarget, WorkflowStatusTarget
from airflow_provider_flowruns.page.waits import _read_wait
from airflow_provider_flowruns.polling.wait_state import SavedWait, WaitConfig, WaitState

DEADLINE = datetime(2026, 1, 31, 6, tzinfo=UTC)


FLOW = FlowStatusTarget("portable", "7")


def read(target=FLOW, waiter=None, **config):
    wait = SavedWait(
        WaitConfig(target=target, interval_seconds=60.0, deadline_at=DEADLINE.timestamp(), **config), WaitState(0.0)
    )
    arguments = {"conn_id": "portable_default", "waiter": waiter or saved.to_json(wait)}
    return _read_wait(("orders", "run", "wait", 2, SimpleNamespace(kwargs=arguments)))


def test_a_wait_says_for_what_and_until_when() -> None:
    wait = read(completed_after_at=DEADLINE.timestamp() - 3_600)
    assert (wait.dag_id, wait.dag_run_id, wait.task_id, wait.map_index) == ("orders", "run", "wait", 2)
    assert (wait.conn_id, wait.service, wait.flow_id) == ("portable_default", "portable", "7")
    assert wait.target == "the last run of Portable flow 7"
    assert wait.guards == ("a run that ended at 2026-01-31 05:00:00 UTC or later (completed_after)",)
    assert wait.deadline == DEADLINE


@pytest.mark.parametrize(
    ("target", "flow_id"),
    [
        (RunTarget("activepieces", "run"), None),
        (RunTarget("portable", "run", "7"), "7"),
        (WorkflowStatusTarget("portable", "7"), None),
    ],
)
def test_the_flow_is_the_one_of_the_target_if_it_has_any(target, flow_id) -> None:
    assert read(target).flow_id == flow_id


@pytest.mark.parametrize("waiter", ["", "no JSON", '{"schema": 99}', "[]"])
def test_a_wait_of_another_release_is_not_shown(waiter) -> None:
    assert read(waiter=waiter or "{}") is None


def test_a_wait_for_a_service_that_is_gone_is_not_shown() -> None:
    assert read(FlowStatusTarget("uninstalled", "7")) is None


def test_a_wait_that_another_key_encrypted_is_not_shown() -> None:
    class Trigger:
        @property
        def kwargs(self) -> dict:
            raise ValueError("InvalidToken")

    assert _read_wait(("orders", "run", "wait", -1, Trigger())) is None
