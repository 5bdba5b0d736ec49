"""Read run summaries leniently: what a judgment of a flow's history needs of each run that has ended."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from heapq import nlargest
from typing import Any

from airflow_provider_flowruns.model.limits import MAX_COUNT
from airflow_provider_flowruns.model.runs import Disposition

#: Longer durations are mistakes of the service.
_MAX_DURATION_SECONDS = 10 * 365 * 24 * 60 * 60
#: Maximum length of an id and of a time.
_MAX_ID_CHARS, _MAX_TIME_CHARS = 128, 64
#: Of two summaries of one run with the same end, the worse one counts.
_RANKS = {Disposition.NONE: 0, Disposition.SUCCEEDED: 1, Disposition.CANCELED: 2, Disposition.FAILED: 3}
_NEVER = datetime.min.replace(tzinfo=UTC)
#: Number of runs in memory, in addition to those that matter, at which the others are dropped.
_MAX_EXTRA_RUNS = 10_000
#: Number of flows that are remembered, for the message about too many.
_MAX_FLOWS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """A run that has ended.

    :param service: registry name of the service.
    :param flow_id: id of the flow.
    :param run_id: the run's id.
    :param disposition: how it ended.
    :param ended_at: when it ended; when it began or was created if its end is not known.
    :param rows: rows loaded; None if the summary has no row counts.
    :param duration_seconds: how long it took; None if unknown.
    """

    service: str | None
    flow_id: str | None
    run_id: str | None
    disposition: Disposition
    ended_at: datetime | None
    rows: int | None
    duration_seconds: float | None

    @property
    def label(self) -> str:
        """The run in a message."""
        return f"run {self.run_id}" if self.run_id else "a run without an id"

    def sort_key(self) -> tuple[Any, ...]:
        """Return what orders runs by time; one without a time is older than all others.

        Runs that ended at the same time are ordered by their ids, numbers by their size, and then by everything else
        that a judgment depends on.
        """
        run_id = self.run_id or ""
        rows = -1 if self.rows is None else self.rows
        seconds = -1.0 if self.duration_seconds is None else self.duration_seconds
        names = (self.service or "", self.flow_id or "")
        return self.ended_at or _NEVER, len(run_id), run_id, _RANKS[self.disposition], rows, seconds, names


@dataclass
class History:
    """Runs of a flow that have ended, each once, in whatever order they are added.

    Of a long history only the newest runs are kept.

    :param keep: number of runs of each disposition that matter.
    """

    keep: int
    #: Number of summaries, and of those without an end.
    total: int = 0
    not_ended: int = 0
    has_row_counts: bool = False
    services: set[str] = field(default_factory=set)
    flow_ids: set[str] = field(default_factory=set)
    _runs: dict[Any, PastRun] = field(default_factory=dict)

    def add_all(self, summaries: Iterable[Any]) -> None:
        """Add the runs of some summaries; of two summaries of one run, the one with the later end counts.

        :param summaries: run summaries; anything else counts as a run that has not ended.
        """
        for summary in summaries:
            self.total += 1
            run = read_past_run(summary)
            if run is None:
                self.not_ended += 1
            else:
                self._add(run)

    def newest_first(self) -> Iterator[PastRun]:
        """Return the runs, the one that ended last first."""
        return iter(sorted(self._runs.values(), key=PastRun.sort_key, reverse=True))

    def _add(self, run: PastRun) -> None:
        self.has_row_counts = self.has_row_counts or run.rows is not None
        _add_name(self.services, run.service)
        _add_name(self.flow_ids, run.flow_id)
        key = (run.service, run.flow_id, run.run_id) if run.run_id else run
        known = self._runs.get(key)
        if known is None or known.sort_key() < run.sort_key():
            self._runs[key] = run
        if len(self._runs) > len(Disposition) * self.keep + _MAX_EXTRA_RUNS:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        kept: dict[Any, PastRun] = {}
        for disposition in Disposition:
            entries = [entry for entry in self._runs.items() if entry[1].disposition is disposition]
            kept |= nlargest(self.keep, entries, key=lambda entry: entry[1].sort_key())
        self._runs = kept


def _add_name(names: set[str], name: str | None) -> None:
    if name is not None:
        names.add(name)
    if len(names) > _MAX_FLOWS:
        names.remove(max(names))


def read_past_run(summary: Any) -> PastRun | None:
    """Return the run that a summary describes, None if it has not ended or is no summary.

    :param summary: a run summary, or anything else.
    """
    if not isinstance(summary, Mapping):
        return None
    disposition = _read_disposition(summary.get("disposition"))
    if disposition is Disposition.NONE:
        return None
    created, started, completed = (
        _read_time(summary.get(f"{name}_at")) for name in ("created", "started", "completed")
    )
    return PastRun(
        service=_read_id(summary.get("service")),
        flow_id=_read_id(summary.get("flow_id")),
        run_id=_read_id(summary.get("run_id")),
        disposition=disposition,
        ended_at=completed or started or created,
        rows=_read_rows(summary.get("rows")),
        duration_seconds=_read_duration(summary.get("details"), started or created, completed),
    )


def _read_disposition(value: Any) -> Disposition:
    try:
        return Disposition(value.strip().upper()) if isinstance(value, str) else Disposition.NONE
    except ValueError:
        return Disposition.NONE


def _read_id(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_COUNT:
        return str(value)
    return value.strip()[:_MAX_ID_CHARS] or None if isinstance(value, str) else None


def _read_time(value: Any) -> datetime | None:
    try:
        if isinstance(value, str) and len(value) <= _MAX_TIME_CHARS:
            value = datetime.fromisoformat(value.strip())
        if not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _read_rows(value: Any) -> int | None:
    loaded = value.get("loaded") if isinstance(value, Mapping) else None
    is_count = isinstance(loaded, int) and not isinstance(loaded, bool) and 0 <= loaded <= MAX_COUNT
    return loaded if is_count else None


def _read_duration(details: Any, began: datetime | None, ended: datetime | None) -> float | None:
    seconds = details.get("duration_seconds") if isinstance(details, Mapping) else None
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        seconds = (ended - began).total_seconds() if began and ended else math.nan
    return float(seconds) if 0 <= seconds <= _MAX_DURATION_SECONDS else None
