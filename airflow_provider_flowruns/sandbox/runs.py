"""Runs of a flow: what a run's status is, as a function of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypedDict

from airflow_provider_flowruns.sandbox.world import World, whole_milliseconds

Outcome = Literal["SUCCEEDED", "FAILED", "CANCELED", "PAUSED", "RUNNING", "WAITING"]
Timeline = Sequence[tuple[float, str]]

DEFAULT_WAITING = 0.2
DEFAULT_RUNNING = 0.8
FAILED_SHARE = 0.6
"""A run that fails has got through this share of its rows."""
_OPEN_ENDED_HALF_TIME = 60.0


@dataclass(frozen=True)
class Vocabulary:
    """The words in which one service tells a run's status and what triggered it.

    :param waiting: status of a run that has not begun.
    :param running: status of a run at work.
    :param succeeded: status of a run that did what it should.
    :param failed: status of a run that failed.
    :param canceled: status of a cancelled run, or None where the service has no such word.
    :param paused: status of a run that waits for somebody, or None where the service has no such word.
    :param ended: every status that says a run is over.
    :param by_hand: trigger of a run added by :meth:`SandboxFlow.add_run`.
    :param by_api: trigger of a run started through the API.
    :param by_schedule: trigger of a run that a schedule started.
    """

    waiting: str
    running: str
    succeeded: str
    failed: str
    canceled: str | None
    paused: str | None
    ended: frozenset[str]
    by_hand: str
    by_api: str
    by_schedule: str

    def timeline(self, outcome: Outcome, waiting: float, running: float) -> tuple[tuple[float, str], ...]:
        """Build the timeline of a run in the service's words.

        :param outcome: how the run goes. ``RUNNING`` never ends, ``WAITING`` never begins.
        :param waiting: seconds it waits; 0 leaves the waiting status out.
        :param running: seconds it runs after that.
        :raises ValueError: when the service has no word for this outcome.
        """
        if outcome == "WAITING":
            return ((0.0, self.waiting),)
        begun = ((0.0, self.waiting), (waiting, self.running)) if waiting > 0 else ((0.0, self.running),)
        if outcome == "RUNNING":
            return begun
        return (*begun, (max(waiting, 0.0) + running, self._last_word(outcome)))

    def _last_word(self, outcome: Outcome) -> str:
        words: dict[str, str | None] = {
            "SUCCEEDED": self.succeeded,
            "FAILED": self.failed,
            "CANCELED": self.canceled,
            "PAUSED": self.paused,
        }
        if (word := words.get(outcome)) is None:
            raise ValueError(f"This service has no status for the outcome {outcome!r}.")
        return word


class RunOptions(TypedDict, total=False):
    """What ``add_run``, ``next_run`` and ``schedule`` take beside a timeline. All of it is optional.

    * ``outcome``, ``waiting``, ``running``: shorthand for a timeline, see :meth:`Vocabulary.timeline`.
      Defaults: ``SUCCEEDED``, 0.2 s, 0.8 s.
    * ``ago``: the run was created (or the schedule began) so many seconds ago. Default 0.
    * ``trigger``: what triggered it, in the service's word. Default: by hand, API or schedule, as it was.
    * ``errors``: texts a failed run carries. Default (or empty): one made-up text; None: no text at all.
    * ``resources``: Portable only. The final figures, each ``{"name", "extracted", "analyzed", "loaded"}``.
      Default: two made-up resources.
    * ``visible_after``: seconds after creation before the run is found by any read. Default 0.
    * ``tags``, ``environment``: Activepieces only. Defaults: no tags, ``PRODUCTION``.
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


@dataclass(frozen=True)
class RunPlan:
    """How a run will go: :class:`RunOptions` with the defaults filled in and the timeline checked.

    :param timeline: (seconds after creation, status in the service's word) in ascending order.
    :param ago: the run was created so many seconds ago.
    :param trigger: what triggered it, None for the way it came about.
    :param errors: texts a failed run carries, None for none at all.
    :param resources: Portable only: the final figures.
    :param visible_after: seconds after creation before any read finds the run.
    :param tags: Activepieces only.
    :param environment: Activepieces only: ``PRODUCTION`` or ``TESTING``.
    """

    timeline: tuple[tuple[float, str], ...]
    ago: float
    trigger: str | None
    errors: tuple[str, ...] | None
    resources: tuple[Mapping[str, Any], ...] | None
    visible_after: float
    tags: tuple[str, ...]
    environment: str

    @classmethod
    def build(cls, words: Vocabulary, timeline: Timeline | None, options: RunOptions) -> RunPlan:
        """Make a plan.

        :param words: the service's vocabulary.
        :param timeline: (seconds after creation, status) in ascending order; None builds it from the options.
        :param options: see :class:`RunOptions`.
        :raises ValueError: when the timeline is empty or not ascending, or is given along with its shorthand.
        """
        errors, resources = options.get("errors", ()), options.get("resources")
        return cls(
            timeline=_timeline(words, timeline, options),
            ago=options.get("ago", 0.0),
            trigger=options.get("trigger"),
            errors=None if errors is None else tuple(errors),
            resources=None if resources is None else tuple(resources),
            visible_after=options.get("visible_after", 0.0),
            tags=tuple(options.get("tags", ())),
            environment=options.get("environment", "PRODUCTION"),
        )


def _timeline(words: Vocabulary, given: Timeline | None, options: RunOptions) -> tuple[tuple[float, str], ...]:
    if given is None:
        return words.timeline(
            options.get("outcome", "SUCCEEDED"),
            options.get("waiting", DEFAULT_WAITING),
            options.get("running", DEFAULT_RUNNING),
        )
    if shorthand := {"outcome", "waiting", "running"} & options.keys():
        raise ValueError(f"Give a timeline or {', '.join(sorted(shorthand))}, not both.")
    seconds = [moment for moment, _ in given]
    if not seconds or seconds != sorted(seconds):
        raise ValueError("A timeline needs at least one entry, and its seconds must ascend.")
    return tuple((float(moment), word) for moment, word in given)


class Point(NamedTuple):
    """A run took on this status at this epoch time.

    :param at: epoch seconds.
    :param status: the service's word from then on.
    """

    at: float
    status: str


class Owner(Protocol):
    """What a run has to know of its flow."""

    id: Any
    world: World
    words: Vocabulary

    def advance(self, now: float) -> None:
        """Let happen what had to happen by now."""


class SandboxRun:
    """One run. Its status is not stored but follows from its timeline and the clock.

    Attributes: ``id``, ``flow_id``, ``created`` (epoch seconds, cut to milliseconds), ``trigger`` (the
    service's word), ``canceled`` (True once a cancel request has reached it), ``attempt`` (from 1; a retry
    or rerun that keeps the id adds one), ``restarted_at`` (epoch seconds of the last such, or None).

    :param owner: the flow.
    :param run_id: id of the run, in the service's own type.
    :param created: epoch seconds.
    :param trigger: what triggered it, in the service's word.
    :param plan: how it will go.
    """

    def __init__(self, owner: Owner, run_id: Any, created: float, trigger: str, plan: RunPlan) -> None:
        self.id = run_id
        self.flow_id = owner.id
        self.created = whole_milliseconds(created)
        self.trigger = trigger
        self.canceled = False
        self.attempt = 1
        self.restarted_at: float | None = None
        self.plan = plan
        self.owner = owner
        self.words = owner.words
        self._points = [Point(self.created + after, word) for after, word in plan.timeline]
        self._held_by: SandboxRun | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status_now()}>"

    def status_now(self) -> str:
        """Give the run's status at this moment, in the service's word."""
        return self._look().status

    @property
    def ended_at(self) -> float | None:
        """Epoch seconds at which the run ended, or None while it has not."""
        point = self._look()
        return point.at if point.status in self.words.ended else None

    def _look(self) -> Point:
        with self.owner.world.lock:
            now = self.owner.world.clock()
            self.owner.advance(now)
            return self.point(now)

    # What follows is for the sandbox's own modules, which hold the lock and have brought the flow up to date.

    def points(self, now: float) -> list[Point]:
        """List the statuses taken on until now, oldest first; at least the first one."""
        return [point for point in self._points if point.at <= now] or self._points[:1]

    def point(self, now: float) -> Point:
        """Give the status at this moment and when it was taken on."""
        return self.points(now)[-1]

    def end(self, now: float) -> float | None:
        """Give the epoch seconds at which the run ended, or None if it had not ended by now."""
        point = self.point(now)
        return point.at if point.status in self.words.ended else None

    def visible(self, now: float) -> bool:
        """Tell whether reads find the run by now."""
        return self.created + self.plan.visible_after <= now

    def share_done(self, now: float) -> float:
        """Give the share of its work, from 0 to 1, that the run has got through by now."""
        point = self.point(now)
        begin = next((at for at, word in self.points(now) if word == self.words.running), None)
        if begin is None:
            return 1.0 if point.status == self.words.succeeded else 0.0
        ended = point.status in self.words.ended
        if ended and not self.canceled:
            share = 1.0
        else:
            elapsed = max((point.at if ended else now) - begin, 0.0)
            span = self._planned_running()
            share = elapsed / (elapsed + _OPEN_ENDED_HALF_TIME) if span is None else min(elapsed / span, 1.0)
        fails = self.plan.timeline[-1][1] == self.words.failed
        return share * FAILED_SHARE if fails else share

    def _planned_running(self) -> float | None:
        """Seconds the plan gives to running, or None if it never ends. Cancelling does not change it."""
        for (begin, word), (end, _) in zip(self.plan.timeline, self.plan.timeline[1:], strict=False):
            if word == self.words.running and end > begin:
                return end - begin
        return None

    def hold(self, until: SandboxRun) -> None:
        """Keep the run waiting until another one has ended; its plan begins only then."""
        self._held_by = until
        self._points = [Point(self.created, self.words.waiting)]

    def release(self, now: float) -> bool:
        """Let a held run begin if the other one has ended.

        :return: False if the run is still held.
        """
        if self._held_by is None:
            return True
        if (ended := self._held_by.end(now)) is None:
            return False
        begin = max(ended, self.created)
        waited = [Point(self.created, self.words.waiting)] if begin > self.created else []
        self._points = waited + [Point(begin + after, word) for after, word in self.plan.timeline]
        self._held_by = None
        return True

    def cancel(self, now: float, takes: float = 0.0) -> None:
        """Cut the timeline here and end it with the service's word for cancelled.

        :param now: epoch seconds.
        :param takes: seconds until the status changes.
        :raises ValueError: when the service has no such word.
        """
        if self.words.canceled is None:
            raise ValueError("This service has no status for a cancelled run.")
        moment = whole_milliseconds(max(now + takes, self.created))
        self._points = [*self.points(now), Point(moment, self.words.canceled)]
        self._held_by = None
        self.canceled = True

    def restart(self, now: float, plan: RunPlan) -> None:
        """Let the same run go once more, by a new plan, while its past stays as it was."""
        begin = whole_milliseconds(now)
        self._points = self.points(now) + [Point(begin + after, word) for after, word in plan.timeline]
        self.plan = plan
        self.canceled = False
        self.restarted_at = begin
        self.attempt += 1
