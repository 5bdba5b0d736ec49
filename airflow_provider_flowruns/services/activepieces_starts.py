"""Finding the runs of starts on Activepieces, whose webhooks name no run and whose lists do not show payloads."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

from airflow_provider_flowruns.model.calls import Call, CallSequence, Page
from airflow_provider_flowruns.model.errors import NotFoundError
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.targets import StartMarker, sent_time

#: Runs a page, and pages at most, that are listed in one search: rows carry whole flow definitions.
PAGE_SIZE, MAX_PAGES = 50, 4
#: Runs that one search reads by id: a few for one start, one a start for many, so many at most.
FEW_RUNS, MAX_READS = 4, 50
#: Seconds after a start within which its run is created: at once, after a queue, or, looked for last, after a long one.
#: Lists come newest first: what was created long after the start would hide what was created with it.
AT_ONCE_SECONDS, QUEUED_SECONDS, QUEUED_LONG_SECONDS = 10.0, 180.0, 3_600.0
#: Starts that are further apart in time are searched for one after the other.
FAR_APART_SECONDS = 300.0
#: Runs of which it is remembered what they were called with.
MAX_REMEMBERED = 5_000
#: Values of a trigger's output, characters of all its texts, and at each end of one text, that are searched.
_MAX_NODES, _MAX_CHARS, _TEXT_END_CHARS = 10_000, 1_000_000, 64 * 1024
#: The end of a start's correlation value, which no other start has, see :func:`model.targets.start_value`.
_START_VALUE = re.compile(r"/([0-9a-f]{12,32})(?![0-9a-zA-Z])", re.ASCII)

#: The runs of each start, newest first, and all runs that were listed.
Found = tuple[dict[StartMarker, tuple[FlowRun, ...]], tuple[FlowRun, ...]]


class StartFinder:
    """Finds the runs of starts and remembers what runs were called with, so that each run is read once.

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
        self._seen_among_many: StartMarker | None = None

    def find(self, flow_id: str, markers: Sequence[StartMarker]) -> CallSequence[Found]:
        """Return the steps that find the runs of some starts of one flow.

        As long as runs that may be a start's are queued or unread, it has one run without an id: ``PENDING`` when they
        are few and queued, ``UNKNOWN`` when they are more than one search reads. The first search for one start among
        many runs reads none: whoever asks may leave it to a process that looks for many starts together.

        :param flow_id: the flow's id.
        :param markers: what was noted about the starts.
        """
        found: dict[StartMarker, tuple[FlowRun, ...]] = {}
        runs: dict[str, FlowRun] = {}
        for some in _close_together(markers):
            found |= yield from self._find_some(flow_id, some, runs)
        return found, tuple(runs.values())

    def _find_some(
        self, flow_id: str, markers: Sequence[StartMarker], runs: dict[str, FlowRun]
    ) -> CallSequence[dict[StartMarker, tuple[FlowRun, ...]]]:
        spans = AT_ONCE_SECONDS, QUEUED_SECONDS
        if any(marker.can_match_by_time for marker in markers):
            spans = QUEUED_SECONDS, QUEUED_LONG_SECONDS
        found: dict[StartMarker, tuple[FlowRun, ...]] = {}
        for late_by in spans if _interval(markers) else spans[:1]:
            is_complete = yield from self._list(flow_id, markers, late_by, runs)
            yield from self._read_likeliest(runs, markers)
            listed = _Listed(tuple(runs.values()), self._values, is_complete=is_complete)
            found = {marker: listed.runs_of(marker, flow_id) for marker in markers}
            if all(found.values()):
                break
        return found

    def _list(
        self, flow_id: str, markers: Sequence[StartMarker], late_by: float, runs: dict[str, FlowRun]
    ) -> CallSequence[bool]:
        """Add the runs created around some starts; return False when there are more, and enough to read for now."""
        most = max(FEW_RUNS, min(MAX_READS, len(markers)))
        interval = _interval(markers)
        first = last = None  # when the server's clock is not known
        if interval:
            first, last = (datetime.fromtimestamp(time, UTC) for time in (interval[0], interval[1] + late_by))
        call = self._list_newest(flow_id, first, last, PAGE_SIZE)
        for _ in range(MAX_PAGES):
            page: Page[FlowRun] = yield call
            runs |= {run.run_id: replace(run, raw={}) for run in page.items if run.run_id}
            if page.next is None:
                return True
            if len(self._unread(runs.values())) > most and not self._is_known_among_many(markers):
                return False
            call = page.next
        return True  # of a flow that is started that often, no more is searched

    def _is_known_among_many(self, markers: Sequence[StartMarker]) -> bool:
        return len(markers) == 1 and markers[0] == self._seen_among_many

    def _unread(self, runs: Iterable[FlowRun]) -> list[FlowRun]:
        return [run for run in runs if _is_readable(run) and run.run_id not in self._values]

    def _read_likeliest(self, runs: Mapping[str, FlowRun], markers: Sequence[StartMarker]) -> CallSequence[None]:
        """Read runs until the values of all starts are found, those first that were created closest to the starts."""
        unread = self._unread(runs.values())
        if len(markers) == 1 and len(unread) > FEW_RUNS and not self._is_known_among_many(markers):
            self._seen_among_many = markers[0]
            return
        wanted = {_value_of(marker) for marker in markers}.difference(
            *(self._values.get(run_id) or () for run_id in runs)
        )
        interval = _interval(markers)
        likeliest_at = sum(interval) / 2 if interval else None
        for _ in range(max(FEW_RUNS, min(MAX_READS, len(markers)))):
            if not wanted or not unread:
                return
            run = min(unread, key=lambda run: _distance(run, likeliest_at))
            unread.remove(run)
            yield from self._read(str(run.run_id))
            values = self._values.get(str(run.run_id)) or ()
            wanted.difference_update(values)
            if len(markers) == 1:
                likeliest_at = _created_like(run, values, markers[0]) or likeliest_at

    def _read(self, run_id: str) -> CallSequence[None]:
        try:
            run: FlowRun = yield self._get_run(run_id)
        except NotFoundError:
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

    def runs_of(self, marker: StartMarker, flow_id: str) -> tuple[FlowRun, ...]:
        """Return the runs of a start: its own, one without an id while that is not known, those it may be, or none."""
        if own := self._by_value.get(_value_of(marker)):
            return tuple(own)
        if not self._is_complete or self._may_be_among(self._unread, marker):
            return (_possible_run(flow_id, Lifecycle.UNKNOWN),)
        if self._may_be_among(self._queued, marker):
            is_one_of_few = len(self._queued) <= FEW_RUNS
            return (_possible_run(flow_id, Lifecycle.PENDING if is_one_of_few else Lifecycle.UNKNOWN),)
        if not marker.can_match_by_time:
            return ()
        possible = self._newer_than(marker, self._without_call)
        return tuple(replace(run, kind=Kind.STARTED) for run in possible if marker.allows(run, QUEUED_SECONDS))

    def _may_be_among(self, runs: Sequence[FlowRun], marker: StartMarker) -> bool:
        return any(marker.allows(run, QUEUED_LONG_SECONDS) for run in self._newer_than(marker, runs))

    def _newer_than(self, marker: StartMarker, runs: Sequence[FlowRun]) -> Iterable[FlowRun]:
        if marker.interval:
            return runs  # times decide: runs of one instant come in any order
        newer = {run.run_id for run in takewhile(lambda run: run.run_id != marker.after_run_id, self.runs)}
        return [run for run in runs if run.run_id in newer]


def _is_readable(run: FlowRun) -> bool:
    # What a queued run was called with does not show before it begins.
    return run.lifecycle is not Lifecycle.PENDING


def _value_of(marker: StartMarker) -> str:
    return next(reversed(_START_VALUE.findall(marker.correlation)), "")


def _close_together(markers: Sequence[StartMarker]) -> list[list[StartMarker]]:
    groups: list[list[StartMarker]] = []
    for marker in sorted(markers, key=lambda marker: marker.not_before_at or 0.0):
        previous = groups[-1][-1].not_before_at if groups else None
        if not groups or (marker.not_before_at or 0.0) - (previous or 0.0) > FAR_APART_SECONDS:
            groups.append([])
        groups[-1].append(marker)
    return groups


def _interval(markers: Sequence[StartMarker]) -> tuple[float, float] | None:
    """Return the time in which all of the starts lie, None when the server's clock could not be measured."""
    intervals = [marker.interval for marker in markers if marker.interval]
    if len(intervals) < len(markers):
        return None
    return min(first for first, _ in intervals), max(last for _, last in intervals)


def _distance(run: FlowRun, time: float | None) -> float:
    return abs(run.created_at.timestamp() - time) if run.created_at and time is not None else 0.0


def _created_like(run: FlowRun, values: Collection[str], marker: StartMarker) -> float | None:
    """Return when the run of a start was created if it was as long in the queue as one that was read."""
    sent_at, other_sent_at = sent_time(_value_of(marker)), [sent_time(value) for value in values]
    if run.created_at is None or sent_at is None or len(other_sent_at) != 1 or other_sent_at[0] is None:
        return None
    return sent_at + run.created_at.timestamp() - other_sent_at[0]


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
    """Return the start values in a trigger's output, wherever it hands them on; None when it does not show its call.

    A body without a value is one of somebody else's call: each of ours holds one.
    """
    values = frozenset(value for text in _texts_in(output) for value in _START_VALUE.findall(text))
    return values if values or _shows_call(output) else None


def _shows_call(output: Any) -> bool:
    """Tell whether a trigger's output shows where a value of ours would be: in the body, or the query beside a list."""
    if not isinstance(output, Mapping):
        return False
    body = output.get("body")
    return isinstance(output.get("queryParams") if isinstance(body, list) else body, Mapping)


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
