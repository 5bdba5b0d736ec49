"""How long the runs of each flow take, learned from recent runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from airflow_provider_flowruns.model.runs import Disposition, FlowRun

#: Minimum number of known runs for a flow's duration range.
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


class RunDurations:
    """Durations of recent successful runs, by flow."""

    def __init__(self) -> None:
        self._seconds_by_run: dict[str, dict[str, float]] = {}

    def learn(self, runs: Iterable[FlowRun]) -> None:
        """Remember the durations of runs that succeeded and have a start and an end.

        :param runs: runs of any flows.
        """
        for run in runs:
            if run.disposition is not Disposition.SUCCEEDED or run.run_id is None or run.flow_id is None:
                continue
            known = self._seconds_by_run.setdefault(run.flow_id, {})
            started_at = run.started_at or run.created_at
            if run.run_id in known or started_at is None or run.completed_at is None:
                continue
            known[run.run_id] = (run.completed_at - started_at).total_seconds()
            _remove_oldest(known, MAX_RUNS_PER_FLOW)
            _remove_oldest(self._seconds_by_run, MAX_FLOWS)

    def get_range(self, flow_id: str | None, *, without: str | None = None) -> DurationRange | None:
        """Return how long recent runs of a flow took, None if too few are known.

        :param flow_id: the flow's id.
        :param without: id of a run that does not count, because it is compared with the others.
        """
        by_run = self._seconds_by_run.get(flow_id or "", {})
        known = sorted(by_run.values() if without not in by_run else (by_run[one] for one in by_run if one != without))
        if len(known) < MIN_RUNS:
            return None
        outliers = len(known) // RUNS_PER_OUTLIER
        return DurationRange(known[outliers], known[-1 - outliers])


def _remove_oldest(entries: dict[str, Any], maximum: int) -> None:
    for key in list(islice(entries, max(0, len(entries) - maximum))):
        del entries[key]
