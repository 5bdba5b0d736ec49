"""Runs of a flow. The status of a run is a function of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol, TypedDict, Unpack

from airflow_provider_flowruns.sandbox.output_options import Row, parse_fields, parse_steps, parse_tables
from airflow_provider_flowruns.sandbox.state import SandboxState, floor_to_milliseconds

Outcome = Literal["SUCCEEDED", "FAILED", "CANCELED", "PAUSED", "RUNNING", "WAITING"]
Timeline = Sequence[tuple[float, str]]

DEFAULT_WAITING_SECONDS = 0.2
DEFAULT_RUNNING_SECONDS = 0.8
PROGRESS_AT_FAILURE = 0.6
"""Fraction of its rows that a failing run processes."""
_OPEN_ENDED_HALF_TIME_SECONDS = 60.0


@dataclass(frozen=True)
class StatusNames:
    """The names that one service uses for the status and the trigger of a run.

    :param waiting: status of a run that has not started.
    :param running: status of a run in progress.
    :param succeeded: status of a successful run.
    :param failed: status of a failed run.
    :param canceled: status of a cancelled run, or None if the service has no such status.
    :param paused: status of a run that waits for a person, or None if the service has no such status.
    :param ended: every status of a run that has ended.
    :param manual_trigger: trigger of a run added by :meth:`SandboxFlow.add_run`.
    :param api_trigger: trigger of a run started through the API.
    :param schedule_trigger: trigger of a scheduled run.
    """

    waiting: str
    running: str
    succeeded: str
    failed: str
    canceled: str | None
    paused: str | None
    ended: frozenset[str]
    manual_trigger: str
    api_trigger: str
    schedule_trigger: str

    def build_timeline(self, outcome: Outcome, waiting: float, running: float) -> tuple[tuple[float, str], ...]:
        """Build the timeline of a run.

        :param outcome: how the run ends. ``RUNNING`` never ends, ``WAITING`` never starts.
        :param waiting: seconds before it starts; 0 leaves out the waiting status.
        :param running: seconds from its start to its end.
        :raises ValueError: the service has no status for this outcome.
        """
        if outcome == "WAITING":
            return ((0.0, self.waiting),)
        begun = ((0.0, self.waiting), (waiting, self.running)) if waiting > 0 else ((0.0, self.running),)
        if outcome == "RUNNING":
            return begun
        return (*begun, (max(waiting, 0.0) + running, self.get_final_status(outcome)))

    def get_final_status(self, outcome: Outcome) -> str:
        """Return the status of a run that has ended.

        :param outcome: how it ended.
        :raises ValueError: the service has no such status.
        """
        statuses: dict[str, str | None] = {
            "SUCCEEDED": self.succeeded,
            "FAILED": self.failed,
            "CANCELED": self.canceled,
            "PAUSED": self.paused,
        }
        if (status := statuses.get(outcome)) is None:
            raise ValueError(f"This service has no status for the outcome {outcome!r}.")
        return status


class RunOptions(TypedDict, total=False):
    """Options of ``add_run``, ``next_run`` and ``schedule``. All are optional.

    * ``outcome``, ``waiting``, ``running``: used instead of a timeline, see :meth:`StatusNames.build_timeline`.
      Defaults: ``SUCCEEDED``, 0.2 s, 0.8 s.
    * ``ago``: age of the run (or of the schedule) in seconds. Default: 0.
    * ``trigger``: the trigger, in the service's words. Default: manual, API or schedule, whichever applies.
    * ``errors``: error texts of a failed run. Default (or empty): one generated text; None: no text.
    * ``resources``: Portable only. The final counts, each ``{"name", "extracted", "analyzed", "loaded"}``.
      Default: two generated resources.
    * ``visible_after``: seconds after creation before API reads find the run. Default: 0.
    * ``tags``, ``environment``: Activepieces only. Defaults: no tags, ``PRODUCTION``.
    * ``steps``: Activepieces only. The steps that the API shows once the run has ended or paused, by name, each
      ``{"type", "status", "input", "output", ...}``. Default: a webhook trigger and one code step.
    * ``fields``, ``tables``: TableFlow only. What each extraction of the run finds: the text of each field by its key,
      and the rows of each table by its key, each row the text of each column. An empty text fails validation.
      Default: some fields, and the table ``line_items`` with three rows.
    """

    outcome: Outcome
    waiting: float
    running: float
    ago: float
    trigger: str | None
    errors: Sequence[str] | None
    resources: Sequence[Mapping[str, Any]] | None
    visible_after: float
    tags: Sequence[str]
    environment: str
    steps: Mapping[str, Mapping[str, Any]] | None
    fields: Mapping[str, str] | None
    tables: Mapping[str, Sequence[Row]] | None


@dataclass(frozen=True)
class RunPlan:
    """How a run proceeds: :class:`RunOptions` with defaults applied and a validated timeline.

    :param timeline: pairs of (seconds after creation, status name of the service) in ascending order.
    :param ago: age of the run in seconds when it is added.
    :param trigger: the trigger, None to derive it from how the run was started.
    :param errors: error texts of a failed run, None for none.
    :param resources: Portable only: the final counts.
    :param visible_after: seconds after creation before API reads find the run.
    :param tags: Activepieces only.
    :param environment: Activepieces only: ``PRODUCTION`` or ``TESTING``.
    :param steps: Activepieces only: the steps by name, None for the generated ones.
    :param fields: TableFlow only: the extracted fields, None for the generated ones.
    :param tables: TableFlow only: the extracted rows by table, None for the generated table.
    """

    timeline: tuple[tuple[float, str], ...]
    ago: float
    trigger: str | None
    errors: tuple[str, ...] | None
    resources: tuple[Mapping[str, Any], ...] | None
    visible_after: float
    tags: tuple[str, ...]
    environment: str
    steps: Mapping[str, Mapping[str, Any]] | None
    fields: Mapping[str, str] | None
    tables: Mapping[str, tuple[Row, ...]] | None

    @classmethod
    def build(cls, status_names: StatusNames, timeline: Timeline | None, options: RunOptions) -> RunPlan:
        """Build a plan.

        :param status_names: the service's status names.
        :param timeline: pairs of (seconds after creation, status) in ascending order; None derives it from the options.
        :param options: see :class:`RunOptions`.
        :raises ValueError: the timeline is empty or not ascending, or is combined with the options that replace it, or
            fields, tables or steps are malformed.
        """
        errors, resources = options.get("errors", ()), options.get("resources")
        return cls(
            timeline=_build_timeline(status_names, timeline, options),
            ago=options.get("ago", 0.0),
            trigger=options.get("trigger"),
            errors=None if errors is None else tuple(errors),
            resources=None if resources is None else tuple(resources),
            visible_after=options.get("visible_after", 0.0),
            tags=tuple(options.get("tags", ())),
            environment=options.get("environment", "PRODUCTION"),
            steps=parse_steps(options.get("steps")),
            fields=parse_fields(options.get("fields")),
            tables=parse_tables(options.get("tables")),
        )


def _build_timeline(
    status_names: StatusNames, timeline: Timeline | None, options: RunOptions
) -> tuple[tuple[float, str], ...]:
    if timeline is None:
        return status_names.build_timeline(
            options.get("outcome", "SUCCEEDED"),
            options.get("waiting", DEFAULT_WAITING_SECONDS),
            options.get("running", DEFAULT_RUNNING_SECONDS),
        )
    if conflicting := {"outcome", "waiting", "running"} & options.keys():
        raise ValueError(f"Pass either timeline or {', '.join(sorted(conflicting))}, not both.")
    seconds = [after for after, _ in timeline]
    if not seconds or seconds != sorted(seconds):
        raise ValueError("timeline needs at least one entry, and its seconds must be in ascending order.")
    return tuple((float(after), status) for after, status in timeline)


class StatusChange(NamedTuple):
    """The status of a run from a point in time.

    :param at: epoch seconds.
    :param status: the new status, in the service's words.
    """

    at: float
    status: str


class RunOwner(Protocol):
    """The part of a flow that its runs use."""

    id: Any
    state: SandboxState
    status_names: StatusNames

    def advance(self, now: float) -> None:
        """Apply everything that is due by now."""


class _LeftOut:
    """The type of :data:`LEFT_OUT`."""

    def __repr__(self) -> str:
        return "LEFT_OUT"


LEFT_OUT: Final = _LeftOut()
"""As a value in :attr:`SandboxRun.overrides`: the API shows the run without this key."""


class SandboxRun:
    """One run. Its status is not stored but derived from its timeline and the clock.

    Attributes: ``id``, ``flow_id``, ``created`` (epoch seconds, rounded down to milliseconds), ``trigger`` (in the
    service's words), ``canceled`` (whether a cancel request has reached it), ``attempt`` (starts at 1; incremented by
    a retry or rerun with the same id), ``restarted_at`` (epoch seconds of the last such restart, or None).

    Tests may change ``overrides``: the values of these keys replace those that the API shows, for example
    ``{"steps": None, "flow_attempts": LEFT_OUT}``, where :data:`LEFT_OUT` leaves the key out.

    :param owner: the flow.
    :param run_id: id of the run, in the type that the service uses.
    :param created: epoch seconds.
    :param trigger: what triggered it, in the service's words.
    :param plan: how it proceeds.
    """

    def __init__(self, owner: RunOwner, run_id: Any, created: float, trigger: str, plan: RunPlan) -> None:
        self.id = run_id
        self.flow_id = owner.id
        self.created = floor_to_milliseconds(created)
        self.trigger = trigger
        self.canceled = False
        self.attempt = 1
        self.restarted_at: float | None = None
        self.overrides: dict[str, Any] = {}
        self.plan = plan
        self.owner = owner
        self.status_names = owner.status_names
        self._status_changes = [StatusChange(self.created + after, status) for after, status in plan.timeline]
        self._queued_after: SandboxRun | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status}>"

    @property
    def status(self) -> str:
        """The run's current status, in the service's words."""
        return self._get_current_status_change().status

    @property
    def ended_at(self) -> float | None:
        """Time at which the run ended in epoch seconds, or None if it has not ended."""
        change = self._get_current_status_change()
        return change.at if change.status in self.status_names.ended else None

    def rerun(self, timeline: Timeline | None = None, **options: Unpack[RunOptions]) -> None:
        """Run again with the same id, as a user may request in the service.

        The options are those of :class:`RunOptions`.

        :param timeline: as for :meth:`SandboxFlow.add_run`, counted from now.
        :raises ValueError: the timeline is invalid.
        """
        plan = RunPlan.build(self.status_names, timeline, options)
        with self.owner.state.lock:
            self.restart(self.owner.state.clock(), plan)

    def end(self, outcome: Outcome = "SUCCEEDED") -> None:
        """End the run now instead of as planned, for example one with the outcome ``RUNNING``.

        :param outcome: how it ends.
        :raises ValueError: the service has no status for this outcome.
        """
        with self.owner.state.lock:
            now = self.owner.state.clock()
            self.owner.advance(now)
            self._end(now, self.status_names.get_final_status(outcome))

    def _get_current_status_change(self) -> StatusChange:
        with self.owner.state.lock:
            now = self.owner.state.clock()
            self.owner.advance(now)
            return self.get_status_change(now)

    # Internal to the sandbox: callers hold the lock and have advanced the flow

    def list_status_changes(self, now: float) -> list[StatusChange]:
        """Return all statuses until now, oldest first; at least the initial one."""
        return [change for change in self._status_changes if change.at <= now] or self._status_changes[:1]

    def get_status_change(self, now: float) -> StatusChange:
        """Return the current status and since when the run has had it."""
        return self.list_status_changes(now)[-1]

    def get_ended_at(self, now: float) -> float | None:
        """Return the time at which the run ended in epoch seconds, or None if it had not ended by now."""
        change = self.get_status_change(now)
        return change.at if change.status in self.status_names.ended else None

    def apply_overrides(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the run as the API shows it, with the overrides applied."""
        return {key: value for key, value in (row | self.overrides).items() if value is not LEFT_OUT}

    def is_visible(self, now: float) -> bool:
        """Return whether API reads find the run by now."""
        return self.created + self.plan.visible_after <= now

    def get_progress(self, now: float) -> float:
        """Return the fraction of its work, from 0 to 1, that the run has done by now."""
        change = self.get_status_change(now)
        names = self.status_names
        started_at = next((at for at, status in self.list_status_changes(now) if status == names.running), None)
        if started_at is None:
            return 1.0 if change.status == names.succeeded else 0.0
        has_ended = change.status in names.ended
        if has_ended and not self.canceled:
            progress = 1.0
        else:
            elapsed = max((change.at if has_ended else now) - started_at, 0.0)
            duration = self._get_planned_running_seconds()
            progress = (
                elapsed / (elapsed + _OPEN_ENDED_HALF_TIME_SECONDS)
                if duration is None
                else min(elapsed / duration, 1.0)
            )
        fails = self.plan.timeline[-1][1] == names.failed
        return progress * PROGRESS_AT_FAILURE if fails else progress

    def _get_planned_running_seconds(self) -> float | None:
        """Return the planned running time, or None if the run never ends. Cancelling does not change it."""
        for (begin, status), (end, _) in zip(self.plan.timeline, self.plan.timeline[1:], strict=False):
            if status == self.status_names.running and end > begin:
                return end - begin
        return None

    def queue_after(self, other: SandboxRun) -> None:
        """Keep the run waiting until another run has ended. Its plan starts only then."""
        self._queued_after = other
        self._status_changes = [StatusChange(self.created, self.status_names.waiting)]

    def start_if_possible(self, now: float) -> bool:
        """Start a queued run if its predecessor has ended.

        :param now: epoch seconds.
        :return: False if the run is still queued.
        """
        if self._queued_after is None:
            return True
        if (ended_at := self._queued_after.get_ended_at(now)) is None:
            return False
        begin = max(ended_at, self.created)
        waited = [StatusChange(self.created, self.status_names.waiting)] if begin > self.created else []
        self._status_changes = waited + [StatusChange(begin + after, status) for after, status in self.plan.timeline]
        self._queued_after = None
        return True

    def cancel(self, now: float) -> None:
        """Cut the timeline here and end it with the service's status for cancelled.

        :param now: epoch seconds.
        :raises ValueError: the service has no such status.
        """
        if self.status_names.canceled is None:
            raise ValueError("This service has no status for a cancelled run.")
        self._end(now, self.status_names.canceled)
        self.canceled = True

    def _end(self, now: float, status: str) -> None:
        ended_at = floor_to_milliseconds(max(now, self.created))
        self._status_changes = [*self.list_status_changes(now), StatusChange(ended_at, status)]
        self._queued_after = None

    def restart(self, now: float, plan: RunPlan) -> None:
        """Run again with the same id and a new plan. Earlier statuses stay in the history."""
        begin = floor_to_milliseconds(now)
        self._status_changes = self.list_status_changes(now) + [
            StatusChange(begin + after, status) for after, status in plan.timeline
        ]
        self.plan = plan
        self.canceled = False
        self.restarted_at = begin
        self.attempt += 1
