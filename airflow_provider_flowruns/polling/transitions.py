"""The states and transitions of :class:`polling.run_waiter.RunWaiter`, as data.

The waiter decides by each poll's event, and by how long the phase that the event leads to has lasted. The docs draw
this table, and a test compares it with what the waiter does.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from airflow_provider_flowruns.polling.wait_state import Outcome, WaitState


class Event(StrEnum):
    """What a poll shows."""

    ACTIVE = "the run is pending, running or in an unknown status"
    NOTHING_YET = "nothing has run yet"
    PAUSED = "the run is paused"
    SUCCEEDED = "the run succeeded"
    FAILED = "the run failed"
    RECOVERABLE = "the run failed, and the service may still repair it"
    CANCELED = "the run was cancelled, or was active and ended without an outcome"
    ABSENT = "a usable response without the run"
    NOT_FOUND = "the service does not know the id"
    UNREACHABLE = "no usable response"
    REFUSED = "the service refuses the request"
    DEADLINE = "the deadline has passed, and the run has not ended"


class Phase(StrEnum):
    """What a wait that continues is waiting for. Several phases can last at the same time."""

    OBSERVED = "observed"
    ABSENT = "absent"
    NOT_FOUND = "not found"
    RECOVERABLE = "recoverable"
    UNREACHABLE = "unreachable"


class Transition(NamedTuple):
    """What the waiter does about an event.

    :param event: what the poll shows.
    :param after: the phase in which the wait continues, or the outcome with which it ends.
    :param condition: when this is so, empty for always.
    :param lasts: the condition is that the event's phase has lasted for a time.
    """

    event: Event
    after: Phase | Outcome
    condition: str = ""
    lasts: bool = False


TRANSITIONS = (
    Transition(Event.ACTIVE, Phase.OBSERVED),
    Transition(Event.NOTHING_YET, Phase.OBSERVED),
    Transition(Event.SUCCEEDED, Outcome.SUCCEEDED),
    Transition(Event.FAILED, Outcome.FAILED),
    Transition(Event.RECOVERABLE, Phase.RECOVERABLE),
    Transition(Event.RECOVERABLE, Outcome.FAILED, "for recovery_grace", lasts=True),
    Transition(Event.CANCELED, Outcome.CANCELED, "on_canceled='fail'"),
    Transition(Event.CANCELED, Outcome.SKIPPED, "on_canceled='skip'"),
    Transition(Event.PAUSED, Phase.OBSERVED, "on_paused='wait'"),
    Transition(Event.PAUSED, Outcome.SUCCEEDED, "on_paused='succeed'"),
    Transition(Event.PAUSED, Outcome.FAILED, "on_paused='fail'"),
    Transition(Event.PAUSED, Outcome.SKIPPED, "on_paused='skip'"),
    Transition(Event.ABSENT, Phase.ABSENT),
    Transition(Event.ABSENT, Outcome.UNOBSERVABLE, "the task's own run, for appear_within", lasts=True),
    Transition(Event.NOT_FOUND, Phase.NOT_FOUND),
    Transition(Event.NOT_FOUND, Outcome.REFUSED, "never found, for not_found_grace", lasts=True),
    Transition(Event.NOT_FOUND, Outcome.UNOBSERVABLE, "found before, for gone_grace", lasts=True),
    Transition(Event.UNREACHABLE, Phase.UNREACHABLE),
    Transition(Event.UNREACHABLE, Outcome.UNOBSERVABLE, "for error_budget", lasts=True),
    Transition(Event.UNREACHABLE, Outcome.REFUSED, "the token is refused, for error_budget", lasts=True),
    Transition(Event.REFUSED, Outcome.REFUSED),
    Transition(Event.DEADLINE, Outcome.TIMED_OUT),
)


def get_phases(state: WaitState) -> set[Phase]:
    """Return the phases of a wait that continues.

    :param state: what the wait remembers after a poll.
    """
    is_in = {
        Phase.ABSENT: state.is_absent,
        Phase.NOT_FOUND: state.not_found_since is not None,
        Phase.RECOVERABLE: state.recoverable_since is not None,
        Phase.UNREACHABLE: state.unreachable_since is not None,
    }
    return {phase for phase, is_true in is_in.items() if is_true} or {Phase.OBSERVED}
