"""What a wait is given, remembers and ends with, and their JSON."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec

from airflow_provider_flowruns.model import saved
from airflow_provider_flowruns.model.choices import OnCanceled, OnPaused
from airflow_provider_flowruns.model.targets import Target

if TYPE_CHECKING:
    from airflow_provider_flowruns.model.runs import RunSummary
else:
    RunSummary = dict[str, Any]  # a saved summary is passed on as it is, whichever release wrote it


class Outcome(StrEnum):
    """How a wait ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    SKIPPED = "skipped"
    TIMED_OUT = "timed_out"
    #: No usable response within the error budget; the run may still be in progress.
    UNOBSERVABLE = "unobservable"
    #: The service refuses the request: invalid token, no permission, no such run.
    REFUSED = "refused"


class WaitConfig(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a wait is for and when it ends; fixed before the first poll.

    Fields that end in ``_at`` are Unix times, those that end in ``_seconds`` durations.

    :param target: what to poll at first.
    :param is_own_run: the task itself started the run, so that a run that is not shown may be late.
    :param appear_within_seconds: how long the run of a start may be absent from the responses.
    :param absent_hint: what to add to the message when it is absent for longer.
    :param decide_at: the run of a start decides from then on; before, another one may appear that may be it.
    :param interval_seconds: maximum time between two polls; the first ones are closer, see :mod:`polling.intervals`.
    :param deadline_at: the wait ends then, after one more poll.
    :param limited_by: the task's argument that sets the deadline, ``timeout`` or ``execution_timeout``.
    :param error_budget_seconds: time without a usable response after which the wait gives up.
    :param completed_after_at: accept no run that ended earlier, on Airflow's clock.
    :param started_after_at: accept no run that started (Portable: was created) earlier, on Airflow's clock.
    :param ignore_ends_until_at: an end of the run up to then, on the service's clock, is that of an earlier attempt.
    :param on_paused: what a paused run means: ``wait``, ``succeed``, ``fail`` or ``skip``.
    :param on_canceled: what a cancelled run means: ``fail`` or ``skip``.
    :param can_fail: False to wait on after a failure until the deadline (a sensor's ``silent_fail``).
    :param recovery_grace_seconds: how long a failure that the service itself may still repair is not final.
    :param not_found_grace_seconds: how long an id that was never found may be unknown to the service.
    :param gone_grace_seconds: how long something that was found before may be unknown to the service.
    :param is_backing_off: double the interval after each poll.
    :param max_interval_seconds: bound of a doubled interval, None for none.
    """

    target: Target
    is_own_run: bool = False
    appear_within_seconds: float | None = None
    absent_hint: str = ""
    decide_at: float | None = None
    interval_seconds: float
    deadline_at: float
    limited_by: str = "timeout"
    error_budget_seconds: float = 900.0
    completed_after_at: float | None = None
    started_after_at: float | None = None
    ignore_ends_until_at: float | None = None
    on_paused: OnPaused = "wait"
    on_canceled: OnCanceled = "fail"
    can_fail: bool = True
    recovery_grace_seconds: float = 300.0
    not_found_grace_seconds: float = 0.0
    gone_grace_seconds: float = 120.0
    is_backing_off: bool = False
    max_interval_seconds: float | None = None

    @property
    def is_guarded(self) -> bool:
        """Whether only a run that is fresh enough counts."""
        return (self.completed_after_at, self.started_after_at, self.ignore_ends_until_at) != (None, None, None)


class WaitState(msgspec.Struct, gc=False):
    """What a wait remembers between two polls. Times are Unix seconds.

    :param began_at: when the wait began.
    :param poll_count: number of polls so far.
    :param followed_run_id: id of the run that a wait for a flow, or for a start, has settled on.
    :param last_active_at: ids of the runs that were seen active, with the time of the last poll that showed them so.
    :param recoverable_since: first poll that showed a failure which the service may still repair.
    :param unreachable_since: first poll in a row without a usable response.
    :param not_found_since: first poll in a row that did not find what the wait is about.
    :param has_been_found: whether the run was ever seen.
    :param has_been_answered: whether there ever was a usable response.
    :param absent_since: first usable response in a row that did not show the run.
    :param is_absent: whether the last usable response did not show the run.
    :param candidate_ids: ids of the runs that may each be the one of the start.
    :param can_match_by_time: whether the run of the start is identified by its time of creation alone.
    :param not_before_at: the service asked for no requests until then.
    :param last_error: text of the last error.
    :param last_message: the last message about the run's state.
    :param last_message_key: what that message was about.
    :param last_message_at: when it was logged.
    :param warned_keys: keys of the warnings that were logged.
    """

    began_at: float
    poll_count: int = 0
    followed_run_id: str | None = None
    last_active_at: dict[str, float] = msgspec.field(default_factory=dict)
    recoverable_since: float | None = None
    unreachable_since: float | None = None
    not_found_since: float | None = None
    has_been_found: bool = False
    has_been_answered: bool = False
    absent_since: float | None = None
    is_absent: bool = False
    candidate_ids: tuple[str, ...] = ()
    can_match_by_time: bool = False
    not_before_at: float = 0.0
    last_error: str | None = None
    last_message: str = ""
    last_message_key: str = ""
    last_message_at: float = 0.0
    warned_keys: tuple[str, ...] = ()


class SavedWait(msgspec.Struct, frozen=True):
    """A wait as it travels from the worker to the triggerer, and from one try to the next.

    :param config: what it is for.
    :param state: what it remembers.
    :param durations: by flow, when its last runs began and how long they took, see :class:`durations.RunDurations`. Of
        any type, because a wait does not depend on it.
    """

    schema: ClassVar[int] = 1

    config: WaitConfig
    state: WaitState
    durations: Any = None


class WaitResult(msgspec.Struct, frozen=True):
    """The end of a wait.

    :param outcome: how it ended.
    :param reason: one sentence for the log and the exception.
    :param run: summary of the run that decided, or was last seen; None when there was none.
    :param error: record of the error that decided, see :func:`model.errors.from_record`.
    :param limited_by: the task's argument that set the deadline, see :class:`WaitConfig`.
    :param vendor_offset: seconds by which the service's clock was ahead of Airflow's.
    :param advice: what to do about it, see :mod:`polling.advice`.
    """

    schema: ClassVar[int] = 1

    outcome: Outcome
    reason: str
    run: RunSummary | None = None
    error: dict[str, Any] | None = None
    limited_by: str = "timeout"
    vendor_offset: float = 0.0
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the result as versioned JSON, the payload of a trigger's event."""
        return saved.to_record(self)

    @classmethod
    def from_dict(cls, payload: Any) -> Self:
        """Rebuild a result from :meth:`to_dict`.

        :param payload: what a trigger's event carries.
        :raises ValueError: it is no result, or has a schema or an outcome that this release does not know.
        """
        return saved.from_record(payload, cls)
