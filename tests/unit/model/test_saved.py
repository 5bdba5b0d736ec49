"""What is rebuilt from JSON."""

from __future__ import annotations

from airflow_provider_flowruns.model.saved import share_defaults
from airflow_provider_flowruns.model.targets import RunTarget
from airflow_provider_flowruns.polling.wait_state import WaitConfig, WaitState


def test_what_equals_a_default_is_the_default_itself() -> None:
    target = RunTarget("activepieces", "r1")
    first = WaitConfig(target=target, interval_seconds=60.0, deadline_at=7.0, error_budget_seconds=float("900"))
    second = WaitConfig(target=target, interval_seconds=60.0, deadline_at=7.0)
    assert first.error_budget_seconds is not second.error_budget_seconds
    assert share_defaults(first).error_budget_seconds is second.error_budget_seconds


def test_everything_else_stays() -> None:
    config = WaitConfig(
        target=RunTarget("activepieces", "r1"), interval_seconds=5.0, deadline_at=7.0, can_fail=False, on_paused="skip"
    )
    state = WaitState(3.0, poll_count=2, last_active_at={"r1": 4.0}, warned_keys=("one",), has_been_found=True)
    assert share_defaults(config) == config
    assert share_defaults(state) == state
    assert share_defaults(state).last_active_at is state.last_active_at
