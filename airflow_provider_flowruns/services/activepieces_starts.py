"""Finding the runs of starts on Activepieces, whose webhooks name no run and whose lists do not show payloads."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

from airflow_provider_flowruns.services.errors import NotFound
from airflow_provider_flowruns.services.model import (
    Call,
    Disposition,
    FlowRun,
    Kind,
    Lifecycle,
    Page,
    StartMark,
    Steps,
)

#: Runs a page, and pages at most, that are listed in one search: rows carry whole flow definitions.
PAGE_SIZE, MAX_PAGES = 50, 4
#: Runs that one search reads by id: a few for one start, one a start for many, so many at most.
FEW_RUNS, MAX_READS = 4, 50
#: Seconds after a start within which its run is created; the last searches look further, for a queue that was busy.
CREATED_WITHIN_SECONDS, CREATED_LATE_WITHIN_SECONDS = 180.0, 3_600.0
#: Runs of which it is remembered what they were called with.
MAX_REMEMBERED = 5_000
#: Values of a trigger's output, characters of all its texts, and at each end of one text, that are searched.
_MAX_NODES, _MAX_CHARS, _TEXT_END_CHARS = 10_000, 1_000_000, 64 * 1024
#: The end of a start's correlation value, which no other start has.
_START_VALUE = re.compile(r"/([0-9a-f]{12})(?![0-9a-zA-Z])", re.ASCII)

#: The runs of each start, newest first, and all runs that were listed.
Found = tuple[dict[StartMark, tuple[FlowRun, ...]], tuple[FlowRun, ...]]


class StartFinder:
    """
    Finds the runs of starts and remembers what runs were called with, so that each is read once whoever looks for one.

    :param list_newest: returns the call for a flow's newest runs: flow id, created after, created before, runs a page.
    :param get_run: returns the call for one run with the data of its steps.
    """

    def __init__(
        self,
        list_newest: Callable[[str, datetime | None, datetime | None, int], Call[Page[FlowRun]]],
        get_run: Callable[[str], Call[FlowRun]],
    ) -> None:
        self._list_newest = list_newest
        self._get_run = get_run
        #: What runs were called with, by run id; None for a run that does not show it.
        self._values: dict[str, frozenset[str] | None] = {}
        #: The last start that was looked for alone among many runs.
        self._seen_among_many: StartMark | None = None

    def find(self, flow_id: str, marks: Sequence[StartMark]) -> Steps[Found]:
        """
        Return the steps that find the runs of some starts of one flow.

        As long as runs that may be a start's are queued or unread, it has one run without an id: ``PENDING`` when they
        are few and queued, ``UNKNOWN`` when they are more than one search reads. The first search for one start among
        many runs reads none: whoever asks may leave it to a process that looks for many starts together.

        :param flow_id: the flow's id.
        :param marks: what was noted about the starts.
        """
        runs: dict[str, FlowRun] = {}
        most = max(FEW_RUNS, min(MAX_READS, len(marks)))
        following: Call[Page[FlowRun]] | None = self._list_around(flow_id, marks)
        for _ in range(MAX_PAGES):
            if following is None or len(self._unread(runs.values())) > most:
                break
            page: Page[FlowRun] = yield following
            runs |= {run.run_id: replace(run, raw={}) for run in page.items if run.run_id}
            following = page.next
        yield from self._read_likeliest(runs, marks)
        listed = _Listed(tuple(runs.values()), self._values, is_complete=following is None)
        return {mark: listed.runs_of(mark, flow_id) for mark in marks}, listed.runs

    def _list_around(self, flow_id: str, marks: Sequence[StartMark]) -> Call[Page[FlowRun]]:
        late_by = CREATED_LATE_WITHIN_SECONDS if any(mark.by_interval for mark in marks) else CREATED_WITHIN_SECONDS
        interval = _interval(marks)
        if interval is None:  # the server's clock is not known
            return self._list_newest(flow_id, None, None, PAGE_SIZE)
        first, last = (datetime.fromtimestamp(time, UTC) for time in (interval[0], interval[1] + late_by))
        return self._list_newest(flow_id, first, last, PAGE_SIZE)

    def _unread(self, runs: Iterable[FlowRun]) -> list[FlowRun]:
        return [run for run in runs if _is_readable(run) and run.run_id not in self._values]

    def _read_likeliest(self, runs: Mapping[str, FlowRun], marks: Sequence[StartMark]) -> Steps[None]:
        """Read runs until the values of all starts are found, those first that were created closest to the starts."""
        interval = _interval(marks)
        middle = sum(interval) / 2 if interval else None
        unread = sorted(self._unread(runs.values()), key=lambda run: _distance(run, middle))
        if len(marks) == 1 and len(unread) > FEW_RUNS and self._seen_among_many != marks[0]:
            self._seen_among_many = marks[0]
            return
        del unread[max(FEW_RUNS, min(MAX_READS, len(marks))) :]
        wanted = {_value_of(mark) for mark in marks}.difference(*(self._values.get(run_id) or () for run_id in runs))
        for run in unread:
            if not wanted:
                return
            yield from self._read(str(run.run_id))
            wanted.difference_update(self._values.get(str(run.run_id)) or ())

    def _read(self, run_id: str) -> Steps[None]:
        try:
            run: FlowRun = yield self._get_run(run_id)
        except NotFound:
            return
        output = _trigger_output(run)
        if output is None and run.lifecycle is not Lifecycle.NOT_RUNNING:
            return  # it has only just begun
        self._values[run_id] = _start_values(output)
        if len(self._values) > MAX_REMEMBERED:
            del self._values[next(iter(self._values))]


class _Listed:
    """The runs of one search, sorted by what is known of them: 1,000 starts are looked up among them in one go."""

    def __init__(
        self, runs: tuple[FlowRun, ...], values: Mapping[str, frozenset[str] | None], *, is_complete: bool
    ) -> None:
        self.runs = runs
        self._is_complete = is_complete
        self._by_value: dict[str, list[FlowRun]] = {}
        self._queued = [run for run in runs if not _is_readable(run)]
        self._unread = [run for run in runs if _is_readable(run) and run.run_id not in values]
        self._without_call = [run for run in runs if str(run.run_id) in values and values[str(run.run_id)] is None]
        for run in runs:
            for value in values.get(str(run.run_id)) or ():
                self._by_value.setdefault(value, []).append(run)

    def runs_of(self, mark: StartMark, flow_id: str) -> tuple[FlowRun, ...]:
        """Return the runs of a start: its own, one without an id while that is not known, those it may be, or none."""
        if own := self._by_value.get(_value_of(mark)):
            return tuple(own)
        if not self._is_complete or self._may_be_among(self._unread, mark):
            return (_possible_run(flow_id, Lifecycle.UNKNOWN),)
        if self._may_be_among(self._queued, mark):
            is_one_of_few = len(self._queued) <= FEW_RUNS
            return (_possible_run(flow_id, Lifecycle.PENDING if is_one_of_few else Lifecycle.UNKNOWN),)
        if not mark.by_interval:
            return ()
        possible = self._newer_than(mark, self._without_call)
        return tuple(replace(run, kind=Kind.STARTED) for run in possible if mark.allows(run, CREATED_WITHIN_SECONDS))

    def _may_be_among(self, runs: Sequence[FlowRun], mark: StartMark) -> bool:
        return any(mark.allows(run, CREATED_LATE_WITHIN_SECONDS) for run in self._newer_than(mark, runs))

    def _newer_than(self, mark: StartMark, runs: Sequence[FlowRun]) -> Iterable[FlowRun]:
        if mark.interval:
            return runs  # times decide: runs of one instant come in any order
        newer = {run.run_id for run in takewhile(lambda run: run.run_id != mark.after_run_id, self.runs)}
        return [run for run in runs if run.run_id in newer]


def _is_readable(run: FlowRun) -> bool:
    # What a queued run was called with does not show before it begins.
    return run.lifecycle is not Lifecycle.PENDING


def _value_of(mark: StartMark) -> str:
    return next(reversed(_START_VALUE.findall(mark.correlation)), "")


def _interval(marks: Sequence[StartMark]) -> tuple[float, float] | None:
    """Return the time in which all of the starts lie, None when the server's clock could not be measured."""
    intervals = [mark.interval for mark in marks if mark.interval]
    if len(intervals) < len(marks):
        return None
    return min(first for first, _ in intervals), max(last for _, last in intervals)


def _distance(run: FlowRun, middle: float | None) -> float:
    return abs(run.created_at.timestamp() - middle) if run.created_at and middle is not None else 0.0


def _possible_run(flow_id: str, lifecycle: Lifecycle) -> FlowRun:
    """Return a run without an id: one of the flow's runs may be the one, and nothing shows yet which."""
    return FlowRun(
        service="activepieces",
        kind=Kind.STARTED,
        run_id=None,
        flow_id=flow_id,
        lifecycle=lifecycle,
        disposition=Disposition.NONE,
        vendor_status="QUEUED" if lifecycle is Lifecycle.PENDING else "",
    )


def _trigger_output(run: FlowRun) -> Any:
    found: Any = run.raw
    for key in ("steps", "trigger", "output"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _start_values(output: Any) -> frozenset[str] | None:
    """
    Return the start values in a trigger's output, wherever it hands them on; None when it does not show its call.

    A body without a value is one of somebody else's call: each of ours holds one.
    """
    values = frozenset(value for text in _texts_in(output) for value in _START_VALUE.findall(text))
    shows_body = isinstance(output, Mapping) and isinstance(output.get("body"), Mapping)
    return values if values or shows_body else None


def _texts_in(value: Any) -> Iterator[str]:
    """Yield the texts in a JSON value, outer ones first, of long ones both ends, as far as the bounds allow."""
    left, chars_left = deque([value]), _MAX_CHARS
    for _ in range(_MAX_NODES):
        if not left or chars_left <= 0:
            return
        item = left.popleft()
        if isinstance(item, str):
            text = item if len(item) <= 2 * _TEXT_END_CHARS else f"{item[:_TEXT_END_CHARS]}\n{item[-_TEXT_END_CHARS:]}"
            chars_left -= len(text)
            yield text
        elif isinstance(item, Mapping | list):
            left.extend(item.values() if isinstance(item, Mapping) else item)
