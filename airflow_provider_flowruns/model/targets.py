"""What a poll asks for, one class a kind of question, and what one poll of several targets brought. No I/O.

A target is made once, from ids that are checked by then, and keeps its type from the operator to the trigger and back.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from airflow_provider_flowruns.model.errors import FlowRunsError
from airflow_provider_flowruns.model.runs import FlowRun

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


class StartMarker(msgspec.Struct, frozen=True, gc=False):
    """What identifies the run of a start among all others. Times are Unix seconds on the service's clock.

    :param correlation: a value that no other start has; it travels with the start where the service allows it.
    :param correlation_key: the name under which it travels; empty where it cannot travel.
    :param not_before_at: when the start was sent, at the earliest; None when the service's clock was not measured.
    :param not_after_at: when the start's response had arrived, at the latest; None as above.
    :param after_run_id: the flow's newest run before the start, None when it had none.
    :param can_match_by_time: when no run shows the value, accept runs that show none and were created in time.
    """

    correlation: str
    correlation_key: str
    not_before_at: float | None = None
    not_after_at: float | None = None
    after_run_id: str | None = None
    can_match_by_time: bool = False

    @property
    def interval(self) -> tuple[float, float] | None:
        """The times between which the run was created, if the service creates it when it accepts the start."""
        if self.not_before_at is None or self.not_after_at is None:
            return None
        return self.not_before_at - CLOCK_MARGIN_SECONDS, self.not_after_at + CLOCK_MARGIN_SECONDS

    def allows(self, run: FlowRun, delay_seconds: float = 0.0) -> bool:
        """Return whether a run was created when the run of this start can have been; True where that is unknown.

        :param run: one of the flow's runs.
        :param delay_seconds: how long after accepting the start the service may create the run.
        """
        interval = self.interval
        if interval is None or run.created_at is None:
            return True
        return interval[0] <= run.created_at.timestamp() <= interval[1] + delay_seconds

    def most_likely(self, runs: Sequence[FlowRun]) -> Sequence[FlowRun]:
        """Return the runs created while the start was in flight; all runs if none was, or if a value identifies it.

        :param runs: runs that the marker allows.
        """
        first, last = self.not_before_at, self.not_after_at
        if first is None or last is None or self.correlation_key:
            return runs
        # Some services cut times to whole seconds.
        in_flight = [run for run in runs if run.created_at and first - 1.0 <= run.created_at.timestamp() <= last]
        return in_flight or runs


class RunTarget(msgspec.Struct, frozen=True, gc=False, tag="run"):
    """One run, by its id.

    :param service: registry name of the service.
    :param run_id: the run's id.
    :param flow_id: its flow's id, where the service needs it to find the run.
    """

    service: str
    run_id: str
    flow_id: str | None = None

    def __str__(self) -> str:
        return f"run {self.run_id}"


class FlowStatusTarget(msgspec.Struct, frozen=True, gc=False, tag="flow_status"):
    """A flow's last run, as the flow's status shows it: without an id.

    :param service: registry name of the service.
    :param flow_id: the flow's id.
    """

    service: str
    flow_id: str

    def __str__(self) -> str:
        return f"flow {self.flow_id}"


class WorkflowStatusTarget(msgspec.Struct, frozen=True, gc=False, tag="workflow_status"):
    """A workflow's last run, as the workflow's status shows it: without an id.

    :param service: registry name of the service.
    :param workflow_id: the workflow's id.
    """

    service: str
    workflow_id: str

    def __str__(self) -> str:
        return f"workflow {self.workflow_id}"


class NewestRunsTarget(msgspec.Struct, frozen=True, gc=False, tag="newest_runs"):
    """A flow's newest runs.

    :param service: registry name of the service.
    :param flow_id: the flow's id.
    :param max_runs: maximum number of runs, 1 to 1000; None for as many as a wait needs.
    """

    service: str
    flow_id: str
    max_runs: int | None = None

    def __str__(self) -> str:
        return f"flow {self.flow_id}"


class StartedRunTarget(msgspec.Struct, frozen=True, gc=False, tag="started_run"):
    """The run of a start whose id is not known yet.

    :param service: registry name of the service.
    :param flow_id: id of the flow that was started.
    :param marker: what identifies the start's run.
    """

    service: str
    flow_id: str
    marker: StartMarker

    def __str__(self) -> str:
        return f"flow {self.flow_id}"


#: Also the type that saved JSON is read with: each class has a tag of its own.
Target = RunTarget | FlowStatusTarget | WorkflowStatusTarget | NewestRunsTarget | StartedRunTarget


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What one poll of several targets brought.

    :param found: the runs of each target that was found, newest first.
    :param runs: all runs that were read, those of no target included.
    :param bytes_per_run: approximate size of one run in the response, 0 when nothing was read.
    :param error: why the rest of a list could not be read, None if all that was needed was read.
    """

    found: Mapping[Target, tuple[FlowRun, ...]]
    runs: tuple[FlowRun, ...] = ()
    bytes_per_run: int = 0
    error: FlowRunsError | None = None
