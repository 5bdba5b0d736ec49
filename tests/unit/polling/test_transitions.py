"""The table of the waiter's transitions says what the waiter does: nothing else, and nothing less."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, get_args

from airflow_provider_flowruns.model.choices import OnPaused
from airflow_provider_flowruns.model.errors import (
    AuthenticationError,
    FlowRunsError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
)
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.targets import (
    FlowStatusTarget,
    NewestRunsTarget,
    RunTarget,
    StartedRunTarget,
    StartMarker,
    Target,
)
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.transitions import TRANSITIONS, Event, Phase, get_phases
from airflow_provider_flowruns.polling.wait_state import Outcome, WaitConfig

START = 1_800_000_000.0
DEADLINE = START + 10_000.0
MARKER = StartMarker("dag/run/task/-1/0123456789ab", "airflow_run", START, START + 1)


def create_run(lifecycle: Lifecycle, disposition: Disposition = Disposition.NONE, **fields: Any) -> FlowRun:
    return FlowRun(
        service="activepieces",
        kind=Kind.RUN,
        run_id="r",
        flow_id="f",
        lifecycle=lifecycle,
        disposition=disposition,
        vendor_status=str(lifecycle),
        **fields,
    )


def create_error(kind: type[Any]) -> FlowRunsError:
    error: FlowRunsError = kind("Activepieces", "GET", "/x", 500, "no")
    return error


#: Events that end every wait.
ENDS = {Event.SUCCEEDED, Event.FAILED, Event.CANCELED, Event.REFUSED}
ENDED = Lifecycle.NOT_RUNNING
POLLED: tuple[list[FlowRun] | FlowRunsError, ...] = (
    [create_run(Lifecycle.PENDING)],
    [create_run(Lifecycle.RUNNING)],
    [create_run(Lifecycle.UNKNOWN)],
    [create_run(Lifecycle.PAUSED)],
    [create_run(ENDED)],
    [create_run(ENDED, Disposition.SUCCEEDED)],
    [create_run(ENDED, Disposition.FAILED)],
    [create_run(ENDED, Disposition.FAILED, may_recover=True)],
    [create_run(ENDED, Disposition.CANCELED)],
    [],
    create_error(NotFoundError),
    create_error(ServerError),
    create_error(AuthenticationError),
    create_error(PermissionDeniedError),
)
TARGETS: tuple[tuple[Target, bool], ...] = (
    (RunTarget("activepieces", "r"), False),
    (FlowStatusTarget("activepieces", "f"), False),
    (NewestRunsTarget("activepieces", "f"), False),
    (RunTarget("activepieces", "r"), True),
    (StartedRunTarget("activepieces", "f", MARKER), True),
)


def classify(polled: list[FlowRun] | FlowRunsError, waiter: RunWaiter) -> Event:
    """Return the event in words of the API, without the waiter's own logic."""
    return classify_error(polled, waiter) if isinstance(polled, FlowRunsError) else classify_runs(polled, waiter)


def classify_error(error: FlowRunsError, waiter: RunWaiter) -> Event:
    if isinstance(error, NotFoundError):
        return Event.ABSENT if waiter.config.is_own_run else Event.NOT_FOUND
    if isinstance(error, AuthenticationError) and waiter.state.has_been_answered:
        return Event.UNREACHABLE
    return Event.UNREACHABLE if error.transient else Event.REFUSED


def classify_runs(runs: list[FlowRun], waiter: RunWaiter) -> Event:
    if not runs:
        is_gone = isinstance(waiter.target, RunTarget) and waiter.last_seen and not waiter.config.is_own_run
        return Event.NOT_FOUND if is_gone else Event.ABSENT
    run, was_active = runs[0], bool(waiter.state.last_active_at)
    if run.lifecycle is Lifecycle.PAUSED:
        return Event.PAUSED
    if run.lifecycle is not Lifecycle.NOT_RUNNING:
        return Event.ACTIVE
    by_disposition = {
        Disposition.NONE: Event.CANCELED if was_active else Event.NOTHING_YET,
        Disposition.SUCCEEDED: Event.SUCCEEDED,
        Disposition.FAILED: Event.RECOVERABLE if run.may_recover else Event.FAILED,
        Disposition.CANCELED: Event.CANCELED,
    }
    return by_disposition[run.disposition]


def create_configs() -> Iterator[WaitConfig]:
    for (target, is_own_run), on_paused in product(TARGETS, get_args(OnPaused)):
        yield WaitConfig(
            target=target,
            is_own_run=is_own_run,
            appear_within_seconds=180.0 if is_own_run else None,
            interval_seconds=10.0,
            deadline_at=DEADLINE,
            on_paused=on_paused,
            on_canceled="skip" if on_paused == "skip" else "fail",
            not_found_grace_seconds=120.0,
        )


def play(config: WaitConfig, polls: tuple[Any, ...], times: tuple[float, ...]) -> Iterator[tuple[Event, set[Any]]]:
    """Yield each poll's event with what it leads to: the phases of the wait, or its outcome."""
    waiter = RunWaiter(config, START)
    for polled, now in zip(polls, times, strict=True):
        event = classify(polled, waiter)
        result = waiter.step(polled, now).result
        assert result or now < DEADLINE
        if result and result.outcome is Outcome.TIMED_OUT and now >= DEADLINE and event not in ENDS:
            event = Event.DEADLINE
        yield event, {result.outcome} if result else get_phases(waiter.state)
        if result:
            return


def observe() -> Iterator[tuple[Event, set[Any]]]:
    for config, first, second in product(create_configs(), POLLED, POLLED):
        for gap in (10.0, 1_000.0, 11_000.0):
            yield from play(config, (first, second, second), (START, START + 1.0, START + 1.0 + gap))


def test_the_waiter_makes_the_transitions_of_the_table_and_no_others() -> None:
    table = {(row.event, row.after) for row in TRANSITIONS}
    made: set[tuple[Event, Phase | Outcome]] = set()
    for event, states in observe():
        possible = {after for other, after in table if other is event}
        # A phase that began earlier may go on beside the one that the event leads to.
        assert states & possible, (event, states)
        made |= {(event, after) for after in states & possible}
    assert made == table


def test_a_response_that_shows_the_run_ends_every_other_phase() -> None:
    for event, states in observe():
        if event is Event.ACTIVE:
            assert states == {Phase.OBSERVED}
