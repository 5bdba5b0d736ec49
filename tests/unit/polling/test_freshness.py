"""Which run of a flow decides a wait with guards."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.targets import NewestRunsTarget
from airflow_provider_flowruns.polling.freshness import MAX_AHEAD_SECONDS, find_decisive, get_start, to_unix
from airflow_provider_flowruns.polling.wait_state import WaitConfig

NOW = 1_800_000_000.0
GUARD = NOW - 3_600


def at(seconds: float) -> datetime:
    """Return a time so many seconds after the guard."""
    return datetime.fromtimestamp(GUARD + seconds, UTC)


def ended(run_id: str, completed: float | None = 10, created: float = -60, disposition: str = "SUCCEEDED") -> FlowRun:
    """Return a run that has ended; its times are in seconds after the guard."""
    return FlowRun(
        service="activepieces",
        kind=Kind.RUN,
        run_id=run_id,
        flow_id="f",
        lifecycle=Lifecycle.NOT_RUNNING,
        disposition=Disposition(disposition),
        vendor_status=disposition,
        created_at=at(created),
        completed_at=None if completed is None else at(completed),
    )


def active(run_id: str, created: float = -60) -> FlowRun:
    """Return a run that has not ended."""
    return FlowRun(
        service="activepieces",
        kind=Kind.RUN,
        run_id=run_id,
        flow_id="f",
        lifecycle=Lifecycle.RUNNING,
        disposition=Disposition.NONE,
        vendor_status="RUNNING",
        created_at=at(created),
    )


def decisive(
    *runs: FlowRun, offset: float = 0.0, seen_active: dict[str, float] | None = None, **guards: Any
) -> str | None:
    """Return the id of the run that decides."""
    config = WaitConfig(
        target=NewestRunsTarget("activepieces", "f"), interval_seconds=60, deadline_at=NOW + 3_600, **guards
    )
    run = find_decisive(runs, config, seen_active or {}, NOW, offset)
    return run.run_id if run else None


@pytest.mark.parametrize(
    ("run", "counts"),
    [
        (ended("1", completed=0), True),
        (ended("1", completed=-1), False),
        (ended("1", completed=None, created=-1), False),
        (ended("1", completed=None, created=0), True),  # some services show no end
        (ended("1", completed=-0.4, created=0.2), True),  # an end that is cut to whole seconds
        (ended("1", completed=3_600 + MAX_AHEAD_SECONDS + 1), False),
    ],
)
def test_a_run_that_completed_before_the_guard_does_not_count(run, counts) -> None:
    assert decisive(run, completed_after_at=GUARD) == ("1" if counts else None)


@pytest.mark.parametrize(("seen_at", "counts"), [(GUARD, True), (GUARD - 1, False)])
def test_a_run_without_a_plausible_end_counts_if_it_was_seen_active_after_the_guard(seen_at, counts) -> None:
    run = ended("1", completed=None)
    assert decisive(run, completed_after_at=GUARD, seen_active={"1": seen_at}) == ("1" if counts else None)


@pytest.mark.parametrize(("created", "counts"), [(0, True), (-1, False)])
@pytest.mark.parametrize("make", [ended, active])
def test_a_run_that_started_before_the_guard_does_not_count(make, created, counts) -> None:
    assert decisive(make("1", created=created), started_after_at=GUARD) == ("1" if counts else None)


@pytest.mark.parametrize(("offset", "counts"), [(5, False), (-5, True), (0, True)])
def test_guards_are_compared_on_the_clock_of_the_service(offset, counts) -> None:
    assert decisive(ended("1", completed=3), completed_after_at=GUARD, offset=offset) == ("1" if counts else None)


def test_an_end_of_an_earlier_attempt_is_ignored_unless_the_run_was_seen_active_since() -> None:
    run = ended("1", completed=10)
    assert decisive(run, ignore_ends_until_at=GUARD + 10) is None
    assert decisive(run, ignore_ends_until_at=GUARD + 9) == "1"
    assert decisive(run, ignore_ends_until_at=GUARD + 10, seen_active={"1": GUARD}) == "1"


def test_an_active_run_defers_an_earlier_failure_and_not_an_earlier_success() -> None:
    assert decisive(active("2"), ended("1", disposition="FAILED"), completed_after_at=GUARD) == "2"
    assert decisive(active("2"), ended("1"), completed_after_at=GUARD) == "1"


def test_a_stale_run_leaves_the_decision_to_an_active_one() -> None:
    assert decisive(ended("2", completed=-5), active("1"), completed_after_at=GUARD) == "1"
    assert decisive(ended("2", completed=-5), completed_after_at=GUARD) is None


def test_a_start_is_the_time_of_creation_where_the_service_shows_no_other() -> None:
    run = active("1", created=7)
    assert get_start(run, NOW) == GUARD + 7
    assert to_unix(None, NOW) is None
