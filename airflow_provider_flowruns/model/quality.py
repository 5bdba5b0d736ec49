"""Judge a flow by the history of its runs. Pure: no I/O, no Airflow, no clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal, TypedDict

from airflow_provider_flowruns.model.counts import choose_form, format_count
from airflow_provider_flowruns.model.past_runs import History, PastRun
from airflow_provider_flowruns.model.quality_limits import QualityLimits
from airflow_provider_flowruns.model.runs import Disposition

#: Minimum number of runs for a rate or a median, unless ``last`` is smaller.
MIN_HISTORY = 3
#: Shorter median durations have no meaningful ratio.
_MIN_MEDIAN_SECONDS = 0.001

_ENDINGS = {
    Disposition.SUCCEEDED: "succeeded",
    Disposition.FAILED: "failed",
    Disposition.CANCELED: "was cancelled",
}

Status = Literal["passed", "failed", "skipped"]


class QualityCheck(TypedDict):
    """The result of one check as plain JSON. The name is that of the argument that switches it on.

    ``value`` is None if it could not be determined.
    """

    name: str
    status: Status
    value: float | str | None
    limit: float | str
    message: str


class QualityReport(TypedDict):
    """What a flow's history was found to be, as plain JSON. ``run_id`` is the newest run that has ended."""

    passed: bool
    service: str | None
    flow_id: str | None
    run_id: str | None
    checks: list[QualityCheck]


def check_quality(runs: Iterable[Any], *, limits: QualityLimits, now: datetime) -> QualityReport:
    """Judge a flow by summaries of its runs. A check without enough history is skipped, with the reason.

    The order of the summaries does not matter: the newest run is the one that ended last. Runs that have not ended are
    left out. A cancelled run is neither a success nor a failure, but if it is the newest one, there is no newest
    success. Whatever the summaries contain, nothing is raised.

    :param runs: run summaries of one flow, as the operators of this package return them.
    :param limits: the checks and their limits.
    :param now: the current time; UTC if it has no time zone.
    """
    # A median needs the earlier runs beside the newest.
    history = History(limits.last + 1)
    history.add_all(runs)
    judged = _JudgedHistory(history, limits, now.replace(tzinfo=UTC) if now.tzinfo is None else now)
    checks = [*judged.check_all()]
    return {
        "passed": all(check["status"] != "failed" for check in checks),
        "service": _get_only(history.services),
        "flow_id": _get_only(history.flow_ids),
        "run_id": judged.runs[0].run_id if judged.runs else None,
        "checks": checks,
    }


def _get_only(names: set[str]) -> str | None:
    return next(iter(names)) if len(names) == 1 else None


@dataclass(frozen=True)
class _JudgedHistory:
    """A history with its limits; each method makes one check."""

    history: History
    limits: QualityLimits
    now: datetime

    @cached_property
    def runs(self) -> list[PastRun]:
        """All runs that have ended, newest first."""
        return [*self.history.newest_first()]

    @cached_property
    def completed(self) -> list[PastRun]:
        """The successes and failures, newest first."""
        return [run for run in self.runs if run.disposition is not Disposition.CANCELED]

    @cached_property
    def successes(self) -> list[PastRun]:
        """The successes, newest first."""
        return [run for run in self.runs if run.disposition is Disposition.SUCCEEDED]

    @property
    def min_history(self) -> int:
        """Minimum number of runs for a rate or a median."""
        return min(MIN_HISTORY, int(self.limits.last))

    def check_all(self) -> Iterator[QualityCheck]:
        """Make all checks that are switched on."""
        first = self.check_runs()
        yield first
        limits = self.limits
        checks: list[tuple[str, Any, Callable[[str, Any], QualityCheck]]] = [
            ("require_newest_success", "SUCCEEDED" if limits.require_newest_success else None, self.check_newest),
            ("min_success_rate", limits.min_success_rate, self.check_success_rate),
            ("allow_zero_rows", None if limits.allow_zero_rows else 1, self.check_zero_rows),
            ("min_rows", limits.min_rows, self.check_min_rows),
            ("min_rows_ratio", limits.min_rows_ratio, self.check_rows_ratio),
            ("max_rows_ratio", limits.max_rows_ratio, self.check_rows_ratio),
            ("max_duration_ratio", limits.max_duration_ratio, self.check_duration),
            ("max_age", limits.max_age, self.check_age),
        ]
        for name, limit, check in checks:
            if limit is None:
                continue
            if first["status"] == "failed":
                yield _skip(name, limit, "there is no history of one flow to judge")
            else:
                yield check(name, limit)

    def check_runs(self) -> QualityCheck:
        """Check that there are runs to judge, of one flow."""
        history, count = self.history, self.history.total - self.history.not_ended
        summaries = format_count(history.total, "summary", "summaries")
        if len(history.services) > 1 or len(history.flow_ids) > 1:
            flows = ", ".join(sorted(history.flow_ids)) or ", ".join(sorted(history.services))
            message = f"the runs are of several flows ({flows}): pass the runs of one flow, mapping the task if need be"
            return _build("runs", False, count, 1, message)
        if count:
            return _build("runs", True, count, 1, f"{summaries}, {count:,} of runs that have ended")
        if history.total:
            message = f"{summaries}, none of a run that has ended: wait for a run before its history is judged"
        else:
            message = "there are no runs: check the flow id and the filters of the task that read them"
        return _build("runs", False, 0, 1, message)

    def check_newest(self, name: str, limit: str) -> QualityCheck:
        """Check that the newest run succeeded."""
        newest = self.runs[0]
        message = f"{newest.label}, the newest that has ended, {_ENDINGS[newest.disposition]}"
        return _build(name, newest.disposition is Disposition.SUCCEEDED, str(newest.disposition), limit, message)

    def check_success_rate(self, name: str, limit: float) -> QualityCheck:
        """Check the share of successes among the last runs."""
        judged = self.completed[: self.limits.last]
        if len(judged) < self.min_history:
            return _skip(
                name, limit, f"{format_count(len(judged), 'run')} succeeded or failed, {self.min_history} are needed"
            )
        succeeded = sum(run.disposition is Disposition.SUCCEEDED for run in judged)
        rate = succeeded / len(judged)
        return _build(
            name, rate >= limit, rate, limit, f"{succeeded} of the last {format_count(len(judged), 'run')} succeeded"
        )

    def check_zero_rows(self, name: str, limit: int) -> QualityCheck:
        """Check that the newest success loaded rows, if there are row counts at all."""
        return self._check_row_count(name, limit, needs_counts=False)

    def check_min_rows(self, name: str, limit: int) -> QualityCheck:
        """Check how many rows the newest success loaded; without row counts the check fails."""
        return self._check_row_count(name, limit, needs_counts=True)

    def _check_row_count(self, name: str, limit: int, *, needs_counts: bool) -> QualityCheck:
        if not self.successes:
            return _skip(name, limit, "no run succeeded")
        newest = self.successes[0]
        rows = self._get_rows(newest)
        if rows is not None:
            return _build(
                name, rows >= limit, rows, limit, f"{self._newest_success} loaded {format_count(rows, 'row')}"
            )
        message = f"{newest.label} has no row counts"
        if needs_counts:
            return _build(name, False, None, limit, f"{message}; leave {name} out for a service that counts no rows")
        return _skip(name, limit, message)

    def check_rows_ratio(self, name: str, limit: float) -> QualityCheck:
        """Check the rows of the newest success against the median of earlier ones."""
        if not self.successes:
            return _skip(name, limit, "no run succeeded")
        newest, *earlier = self.successes[: self.limits.last + 1]
        rows = self._get_rows(newest)
        if rows is None:
            return _skip(name, limit, f"{newest.label} has no row counts")
        if len(earlier) < self.min_history:
            return _skip(name, limit, self._describe_few(len(earlier)))
        median = _get_median([self._get_rows(run) or 0 for run in earlier])
        message = (
            f"{self._newest_success} loaded {format_count(rows, 'row')}; the median of "
            f"{_count_successes(len(earlier))} is {format_count(median, 'row')}"
        )
        if not median:
            return _skip(name, limit, message)
        ratio = rows / median
        return _build(name, ratio >= limit if name.startswith("min") else ratio <= limit, ratio, limit, message)

    def check_duration(self, name: str, limit: float) -> QualityCheck:
        """Check the duration of the newest success or failure against the median of earlier successes."""
        if not self.completed:
            return _skip(name, limit, "no run succeeded or failed")
        newest = self.completed[0]
        if newest.duration_seconds is None:
            return _skip(name, limit, f"the duration of {newest.label} is not known")
        earlier = [run for run in self.successes if run is not newest][: self.limits.last]
        known = [run.duration_seconds for run in earlier if run.duration_seconds is not None]
        if len(known) < self.min_history:
            return _skip(name, limit, self._describe_few(len(known), " of known duration"))
        median = _get_median(known)
        message = (
            f"{newest.label} took {_format_seconds(newest.duration_seconds)}; the median of "
            f"{_count_successes(len(known))} is {_format_seconds(median)}"
        )
        if median < _MIN_MEDIAN_SECONDS:
            return _skip(name, limit, message)
        ratio = newest.duration_seconds / median
        return _build(name, ratio <= limit, ratio, limit, message)

    def check_age(self, name: str, limit: float) -> QualityCheck:
        """Check how long ago the newest success ended; without one, or without its time, the check fails."""
        if not self.successes:
            return _build(
                name, False, None, limit, f"of {format_count(len(self.runs), 'run')} that ended none succeeded"
            )
        newest = self.successes[0]
        if newest.ended_at is None:
            return _build(name, False, None, limit, f"{newest.label} has no time, so its age is not known")
        age = max(0.0, (self.now - newest.ended_at).total_seconds())
        message = f"{self._newest_success} ended {_format_seconds(age)} ago, at {newest.ended_at.isoformat()}"
        return _build(name, age <= limit, age, limit, message)

    def _get_rows(self, run: PastRun) -> int | None:
        """Return the rows that a run loaded: 0 if it has no row counts though other runs have; None if none has."""
        return 0 if run.rows is None and self.history.has_row_counts else run.rows

    def _describe_few(self, number: int, kind: str = "") -> str:
        found = _count_successes(number)
        return f"there {choose_form(number, 'is', 'are')} {found}{kind}, {self.min_history} are needed"

    @property
    def _newest_success(self) -> str:
        newest, success = self.runs[0], self.successes[0]
        if newest is success:
            return success.label
        return f"{success.label} (the newest success, not the newest run)"


def _build(name: str, passed: bool, value: float | str | None, limit: float | str, message: str) -> QualityCheck:
    return {
        "name": name,
        "status": "passed" if passed else "failed",
        "value": value,
        "limit": limit,
        "message": message,
    }


def _skip(name: str, limit: float | str, message: str) -> QualityCheck:
    return {"name": name, "status": "skipped", "value": None, "limit": limit, "message": message}


def _get_median(numbers: Sequence[float]) -> float:
    ordered = sorted(numbers)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _count_successes(number: int) -> str:
    return format_count(number, "earlier success", "earlier successes")


def _format_seconds(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
