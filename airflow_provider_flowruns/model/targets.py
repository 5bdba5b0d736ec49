"""What a poll asks for, and what one poll of several brought. No I/O."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_flowruns.model.runs import FlowRun, Kind

#: Hexadecimal digits of a Unix time in milliseconds.
_TIME_DIGITS = 11
#: Seconds by which the clocks of a service's own machines may differ.
CLOCK_MARGIN_SECONDS = 5.0


def start_value(sent_at: float) -> str:
    """Return a value that no other start has, in hexadecimal digits; :func:`sent_time` reads its time again.

    :param sent_at: Unix time of the start on the service's clock.
    """
    return f"{int(sent_at * 1_000):0{_TIME_DIGITS}x}{uuid.uuid4().hex[:12]}"


def sent_time(value: str) -> float | None:
    """Return the time in a value of :func:`start_value`, None for any other."""
    return int(value[:_TIME_DIGITS], 16) / 1_000 if len(value) == _TIME_DIGITS + 12 else None


@dataclass(frozen=True, slots=True)
class StartMarker:
    """What is noted about a start, so that its run can be told from all others. Times are the service's own Unix time.

    :param correlation: a value that no other start has; it travels with the start where the service lets it.
    :param correlation_key: the name under which it travels; empty where it cannot travel.
    :param since: when the start was sent, at the earliest; None when the service's clock could not be measured.
    :param until: when the start's response had arrived, at the latest; None as above.
    :param after_run_id: the flow's newest run before the start, None when it had none.
    :param by_interval: take, when no run shows the value, those that show none at all and were created in time.
    """

    correlation: str
    correlation_key: str
    since: float | None = None
    until: float | None = None
    after_run_id: str | None = None
    by_interval: bool = False

    @property
    def interval(self) -> tuple[float, float] | None:
        """The time outside of which the run was not created, if the service creates it when it accepts the start."""
        if self.since is None or self.until is None:
            return None
        return self.since - CLOCK_MARGIN_SECONDS, self.until + CLOCK_MARGIN_SECONDS

    def allows(self, run: FlowRun, late_by: float = 0.0) -> bool:
        """Tell whether a run was created when the run of this start can have been; True where that is not known.

        :param run: one of the flow's runs.
        :param late_by: seconds by which the service may create the run after it has accepted the start.
        """
        interval = self.interval
        if interval is None or run.created_at is None:
            return True
        return interval[0] <= run.created_at.timestamp() <= interval[1] + late_by

    def likeliest(self, runs: Sequence[FlowRun]) -> Sequence[FlowRun]:
        """Return those of some runs that were created while the start was under way; all if none was, or a value tells.

        :param runs: runs that the mark allows.
        """
        since, until = self.since, self.until
        if since is None or until is None or self.correlation_key:
            return runs
        # Some services cut times to whole seconds.
        then = [run for run in runs if run.created_at and since - 1.0 <= run.created_at.timestamp() <= until]
        return then or runs


@dataclass(frozen=True, slots=True)
class Target:
    """What a poll asks for: a run by id, a flow's or workflow's last run, a flow's newest runs, or the run of a start.

    :param service: registry name of the service.
    :param kind: what to look at.
    :param flow_id: id of the flow (workflow), where it is needed.
    :param run_id: id of the run, for one run.
    :param marker: what was noted before a start, for the run of a start.
    :param newest: so many of a flow's newest runs, 1 to 1000; None for as many as a wait needs.
    """

    service: str
    kind: Kind
    flow_id: str | None = None
    run_id: str | None = None
    marker: StartMarker | None = None
    newest: int | None = None

    def __hash__(self) -> int:
        # Targets are looked up many times a look; hashing all fields takes ten times as long.
        return hash((self.flow_id, self.run_id, self.marker.correlation if self.marker else None))


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What one look at several targets brought.

    :param found: the runs of each target that was found, newest first.
    :param runs: all runs that were read on the way, those that nobody waits for too.
    :param bytes_per_run: about how large one run is in such an answer, 0 when nothing was read.
    """

    found: Mapping[Target, tuple[FlowRun, ...]]
    runs: tuple[FlowRun, ...] = ()
    bytes_per_run: int = 0
