"""How long the runs of each flow take, learned from recent runs."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_flowruns.model.runs import Disposition, FlowRun
from airflow_provider_flowruns.polling.poll_rate import PollRate, build_poll_rate

#: Looking up a member of an enumeration by its name takes longer than what is done with it.
_SUCCEEDED = Disposition.SUCCEEDED
#: Minimum number of known runs for a flow's duration range and poll rate.
MIN_RUNS = 3
#: Maximum number of runs of a flow, and of flows, that are remembered. The oldest are forgotten first.
MAX_RUNS_PER_FLOW = 20
MAX_FLOWS = 2_000
#: One in this many runs is left out as an outlier, at either end.
RUNS_PER_OUTLIER = 10


@dataclass(frozen=True, slots=True)
class DurationRange:
    """How long runs take, without outliers.

    :param shortest: duration in seconds that nine out of ten runs reach.
    :param longest: duration in seconds that nine out of ten runs do not exceed.
    """

    shortest: float
    longest: float


class _PastRuns:
    """The recent runs of one flow, and what was derived from them."""

    __slots__ = ("is_history_read", "oldest", "poll_rates", "runs")

    def __init__(self) -> None:
        #: When each run began, in Unix seconds, and how many seconds it took; the oldest first.
        self.runs: list[tuple[int, float]] = []
        #: When the oldest one began, if there is no room for an older one.
        self.oldest = -math.inf
        #: By maximum interval.
        self.poll_rates: dict[float, PollRate] = {}
        self.is_history_read = False

    def add(self, run: tuple[int, float]) -> None:
        if run[0] < self.oldest or run in self.runs:
            return
        insort(self.runs, run)
        del self.runs[:-MAX_RUNS_PER_FLOW]
        self.poll_rates.clear()
        if len(self.runs) == MAX_RUNS_PER_FLOW:
            self.oldest = self.runs[0][0]


class RunDurations:
    """Durations of recent successful runs, by flow.

    :param is_batched: many runs share a request, see :func:`polling.poll_rate.build_poll_rate`.
    """

    def __init__(self, *, is_batched: bool = False) -> None:
        self._is_batched = is_batched
        self._by_flow: dict[str, _PastRuns] = {}

    def learn(self, runs: Iterable[FlowRun]) -> None:
        """Remember the durations of runs that succeeded and have a start and an end.

        :param runs: runs of any flows.
        """
        for run in runs:
            if run.flow_id is not None and (past_run := _measure(run)):
                self._get_past_runs(run.flow_id).add(past_run)

    def add(self, flow_id: str, started_at: datetime | None, completed_at: datetime | None) -> None:
        """Remember the duration of a run that succeeded, if both times are known.

        :param flow_id: the flow's id.
        :param started_at: when the run started, or was created.
        :param completed_at: when it ended.
        """
        if past_run := _measure_times(started_at, completed_at):
            self._get_past_runs(flow_id).add(past_run)

    def merge(self, other: RunDurations) -> None:
        """Remember what another one knows.

        :param other: the other one.
        """
        for flow_id in other._by_flow:
            self.restore(flow_id, other.to_record(flow_id))

    def get_range(self, flow_id: str | None, *, without: FlowRun | None = None) -> DurationRange | None:
        """Return how long recent runs of a flow took, None if too few are known.

        :param flow_id: the flow's id.
        :param without: a run that does not count, because it is compared with the others.
        """
        past_runs = self._by_flow.get(flow_id or "")
        if past_runs is None:
            return None
        excluded = _measure(without) if without else None
        known = sorted(run[1] for run in past_runs.runs if run != excluded)
        if len(known) < MIN_RUNS:
            return None
        outliers = len(known) // RUNS_PER_OUTLIER
        return DurationRange(known[outliers], known[-1 - outliers])

    def get_poll_rate(self, flow_id: str | None, max_interval: float) -> PollRate | None:
        """Return how often to poll a run of a flow, None if too few runs are known.

        :param flow_id: the flow's id.
        :param max_interval: maximum number of seconds between two polls.
        """
        past_runs = self._by_flow.get(flow_id or "")
        if past_runs is None or len(past_runs.runs) < MIN_RUNS:
            return None
        poll_rate = past_runs.poll_rates.get(max_interval)
        if poll_rate is None:
            seconds = [run[1] for run in past_runs.runs]
            poll_rate = build_poll_rate(seconds, max_interval, is_batched=self._is_batched)
            past_runs.poll_rates[max_interval] = poll_rate
        return poll_rate

    def lacks_history(self, flow_id: str) -> bool:
        """Return whether too few runs of a flow are known, and its history has not been read for that.

        :param flow_id: the flow's id.
        """
        past_runs = self._by_flow.get(flow_id)
        return past_runs is None or (len(past_runs.runs) < MIN_RUNS and not past_runs.is_history_read)

    def mark_history_read(self, flow_id: str) -> None:
        """Remember that a flow's history was read, or cannot be.

        :param flow_id: the flow's id.
        """
        self._get_past_runs(flow_id).is_history_read = True

    def to_record(self, flow_id: str) -> list[tuple[int, float]]:
        """Return what is known of a flow's runs as plain JSON; :meth:`restore` reads it.

        :param flow_id: the flow's id.
        """
        past_runs = self._by_flow.get(flow_id)
        return list(past_runs.runs) if past_runs else []

    def restore(self, flow_id: str, record: Any) -> None:
        """Remember what an earlier process knew of a flow's runs; what cannot be read is left out.

        :param flow_id: the flow's id.
        :param record: what was saved of :meth:`to_record`.
        """
        for item in record if isinstance(record, list | tuple) else ():
            if (past_run := _read_item(item)) is not None:
                self._get_past_runs(flow_id).add(past_run)

    def _get_past_runs(self, flow_id: str) -> _PastRuns:
        past_runs = self._by_flow.get(flow_id)
        if past_runs is None:
            past_runs = self._by_flow[flow_id] = _PastRuns()
            if len(self._by_flow) > MAX_FLOWS:
                del self._by_flow[next(iter(self._by_flow))]
        return past_runs


def _measure(run: FlowRun) -> tuple[int, float] | None:
    """Return when a run began and how long it took, None if it does not count."""
    if run.disposition is not _SUCCEEDED or run.run_id is None:
        return None
    return _measure_times(run.started_at or run.created_at, run.completed_at)


def _measure_times(started_at: datetime | None, completed_at: datetime | None) -> tuple[int, float] | None:
    if started_at is None or completed_at is None:
        return None
    seconds = (completed_at - started_at).total_seconds()
    return (int(started_at.timestamp()), round(seconds, 1)) if seconds >= 0.0 else None


def _read_item(item: Any) -> tuple[int, float] | None:
    if not isinstance(item, Sequence) or isinstance(item, str) or len(item) != 2:
        return None
    if not all(isinstance(one, int | float) and math.isfinite(one) and 0 <= one < 1e11 for one in item):
        return None
    return int(item[0]), float(item[1])
