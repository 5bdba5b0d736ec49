"""How long the runs of each flow usually take, as far as recent ones were seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from airflow_provider_flowruns.model.runs import Disposition, FlowRun

#: So many runs of a flow make its usual duration.
FEWEST = 3
#: So many runs of a flow, and so many flows, are remembered; those seen first are forgotten first.
MOST_RUNS = 20
MOST_FLOWS = 2_000


@dataclass(frozen=True, slots=True)
class DurationRange:
    """How long runs take, but for the odd one.

    :param shortest: seconds that nine of ten take at least.
    :param longest: seconds that nine of ten take at most.
    """

    shortest: float
    longest: float


class RunDurations:
    """Durations of the flows' recent successful runs; learnt from every answer that shows some."""

    def __init__(self) -> None:
        self._seconds: dict[str, dict[str, float]] = {}

    def learn(self, runs: Iterable[FlowRun]) -> None:
        """Learn the durations of those runs that succeeded and say when they began and ended.

        :param runs: runs of any flows.
        """
        for run in runs:
            if run.disposition is not Disposition.SUCCEEDED or run.run_id is None or run.flow_id is None:
                continue
            known = self._seconds.setdefault(run.flow_id, {})
            begun = run.started_at or run.created_at
            if run.run_id in known or begun is None or run.completed_at is None:
                continue
            known[run.run_id] = (run.completed_at - begun).total_seconds()
            _forget_first(known, MOST_RUNS)
            _forget_first(self._seconds, MOST_FLOWS)

    def of(self, flow_id: str | None) -> DurationRange | None:
        """Return how long the flow's recent runs took; None when too few were seen.

        :param flow_id: id of the flow.
        """
        known = sorted(self._seconds.get(flow_id or "", {}).values())
        if len(known) < FEWEST:
            return None
        odd = len(known) // 10
        return DurationRange(known[odd], known[-1 - odd])


def _forget_first(known: dict[str, object] | dict[str, float] | dict[str, dict[str, float]], most: int) -> None:
    for key in list(islice(known, max(0, len(known) - most))):
        del known[key]
