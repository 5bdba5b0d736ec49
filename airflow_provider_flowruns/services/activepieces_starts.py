"""Find the runs of starts on Activepieces, whose webhooks name no run and whose lists do not show payloads."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

from msgspec.structs import replace

from airflow_provider_flowruns.model.calls import Call, CallSequence, Page
from airflow_provider_flowruns.model.errors import NotFoundError
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.targets import StartMarker, sent_time
from airflow_provider_flowruns.services.base import read_page

#: Runs per page, and maximum number of pages, of one search: rows contain whole flow definitions.
PAGE_SIZE, MAX_PAGES = 50, 4
#: Runs that one search reads by id: a few for one start, one per start for many, and a maximum.
FEW_RUNS, MAX_READS = 4, 50
#: Seconds after a start within which its run is created: at once, after a queue, or, searched last, after a long queue.
#: Lists are sorted newest first: runs created long after the start would hide those created with it.
AT_ONCE_SECONDS, QUEUED_SECONDS, QUEUED_LONG_SECONDS = 10.0, 180.0, 3_600.0
#: Starts that are further apart than this are searched separately.
FAR_APART_SECONDS = 300.0
#: Maximum number of runs whose start values are remembered.
MAX_REMEMBERED_RUNS = 5_000
#: Limits of the search in a trigger's output: values, characters of all texts, and characters at each end of a text.
_MAX_NODES, _MAX_CHARS, _TEXT_END_CHARS = 10_000, 1_000_000, 64 * 1024
#: The end of a start's correlation value, which no other start has, see :func:`model.targets.start_value`.
_START_VALUE = re.compile(r"/([0-9a-f]{12,32})(?![0-9a-zA-Z])", re.ASCII)

#: The runs of each start, newest first, and all runs that were listed.
Found = tuple[dict[StartMarker, tuple[FlowRun, ...]], tuple[FlowRun, ...]]


class StartFinder:
    """Finds the runs of starts and remembers the start values of runs, so that each run is read once.

    :param list_newest: returns the call for a flow's newest runs by flow id, created after, created before, page size.
    :param get_run: returns the call for one run with the data of its steps.
    """

    def __init__(
        self,
        list_newest: Callable[[str, datetime | None, datetime | None, int], Call[Page[FlowRun]]],
        get_run: Callable[[str], Call[FlowRun]],
    ) -> None:
        self._list_newest = list_newest
        self._get_run = get_run
        #: Start values by run id; None for a run that does not show its payload.
        self._values: dict[str, frozenset[str] | None] = {}
        #: The last start that was searched alone among many runs.
        self._seen_among_many: StartMarker | None = None

    def find(self, flow_id: str, markers: Sequence[StartMarker]) -> CallSequence[Found]:
        """Return the calls that find the runs of some starts of one flow.

        While runs that may belong to a start are queued or unread, the start has one run without an id: ``PENDING`` if
        they are few and queued, ``UNKNOWN`` if they are more than one search reads. The first search for one start
        among many runs reads none: the caller may leave it to a process that searches for many starts together.

        :param flow_id: the flow's id.
        :param markers: what identifies the runs of the starts.
        """
        found: dict[StartMarker, tuple[FlowRun, ...]] = {}
        runs: dict[str, FlowRun] = {}
        for some in _group_by_time(markers):
            found |= yield from self._find_some(flow_id, some, runs)
        return found, tuple(runs.values())

    def _find_some(
        self, flow_id: str, markers: Sequence[StartMarker], runs: dict[str, FlowRun]
    ) -> CallSequence[dict[StartMarker, tuple[FlowRun, ...]]]:
        spans = AT_ONCE_SECONDS, QUEUED_SECONDS
        if any(marker.can_match_by_time for marker in markers):
            spans = QUEUED_SECONDS, QUEUED_LONG_SECONDS
        found: dict[StartMarker, tuple[FlowRun, ...]] = {}
        for late_by in spans if _join_intervals(markers) else spans[:1]:
            is_complete = yield from self._list(flow_id, markers, late_by, runs)
            yield from self._read_likeliest(runs, markers)
            index = _RunIndex(tuple(runs.values()), self._values, is_complete=is_complete)
            found = {marker: index.select_runs(marker, flow_id) for marker in markers}
            if all(found.values()):
                break
        return found

    def _list(
        self, flow_id: str, markers: Sequence[StartMarker], late_by: float, runs: dict[str, FlowRun]
    ) -> CallSequence[bool]:
        """Add the runs created around some starts; return False when there are more, and enough to read for now."""
        most = max(FEW_RUNS, min(MAX_READS, len(markers)))
        interval = _join_intervals(markers)
        first = last = None  # if the server's clock is not known
        if interval:
            first, last = (datetime.fromtimestamp(time, UTC) for time in (interval[0], interval[1] + late_by))
        call = self._list_newest(flow_id, first, last, PAGE_SIZE)
        for number in range(MAX_PAGES):
            page = yield from read_page(call, is_first=number == 0)
            runs |= {run.run_id: replace(run, record=None) for run in page.items if run.run_id}
            if page.next is None:
                return True
            if len(self._unread(runs.values())) > most and not self._is_known_among_many(markers):
                return False
            call = page.next
        return True  # a flow that is started that often is not searched any further

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
        wanted = {_get_start_value(marker) for marker in markers}.difference(
            *(self._values.get(run_id) or () for run_id in runs)
        )
        interval = _join_intervals(markers)
        likeliest_at = sum(interval) / 2 if interval else None
        for _ in range(max(FEW_RUNS, min(MAX_READS, len(markers)))):
            if not wanted or not unread:
                return
            run = min(unread, key=lambda run: _get_distance(run, likeliest_at))
            unread.remove(run)
            yield from self._read(str(run.run_id))
            values = self._values.get(str(run.run_id)) or ()
            wanted.difference_update(values)
            if len(markers) == 1:
                likeliest_at = _estimate_creation(run, values, markers[0]) or likeliest_at

    def _read(self, run_id: str) -> CallSequence[None]:
        try:
            run: FlowRun = yield self._get_run(run_id)
        except NotFoundError:
            return
        output = _get_trigger_output(run)
        if output is None and run.lifecycle is not Lifecycle.NOT_RUNNING:
            return  # it has only just started
        self._values[run_id] = _find_start_values(output)
        if len(self._values) > MAX_REMEMBERED_RUNS:
            del self._values[next(iter(self._values))]


class _RunIndex:
    """The runs of one search, indexed by their start values, so that 1,000 starts can be looked up at once."""

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

    def select_runs(self, marker: StartMarker, flow_id: str) -> tuple[FlowRun, ...]:
        """Return the runs of a start: its own, one without an id while that is not known, those it may be, or none."""
        if own := self._by_value.get(_get_start_value(marker)):
            return tuple(own)
        if not self._is_complete or self._may_be_among(self._unread, marker):
            return (_build_possible_run(flow_id, Lifecycle.UNKNOWN),)
        if self._may_be_among(self._queued, marker):
            is_one_of_few = len(self._queued) <= FEW_RUNS
            return (_build_possible_run(flow_id, Lifecycle.PENDING if is_one_of_few else Lifecycle.UNKNOWN),)
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


def shows_start(run: FlowRun, marker: StartMarker) -> bool:
    """Return whether a run shows that it is the one of a start.

    :param run: a run with the data of its steps.
    :param marker: what identifies the run of the start.
    """
    return _get_start_value(marker) in (_find_start_values(_get_trigger_output(run)) or ())


def _is_readable(run: FlowRun) -> bool:
    # What a queued run was called with does not show before it begins.
    return run.lifecycle is not Lifecycle.PENDING


def _get_start_value(marker: StartMarker) -> str:
    return next(reversed(_START_VALUE.findall(marker.correlation)), "")


def _group_by_time(markers: Sequence[StartMarker]) -> list[list[StartMarker]]:
    groups: list[list[StartMarker]] = []
    for marker in sorted(markers, key=lambda marker: marker.not_before_at or 0.0):
        previous = groups[-1][-1].not_before_at if groups else None
        if not groups or (marker.not_before_at or 0.0) - (previous or 0.0) > FAR_APART_SECONDS:
            groups.append([])
        groups[-1].append(marker)
    return groups


def _join_intervals(markers: Sequence[StartMarker]) -> tuple[float, float] | None:
    """Return the time in which all of the starts lie, None when the server's clock could not be measured."""
    intervals = [marker.interval for marker in markers if marker.interval]
    if len(intervals) < len(markers):
        return None
    return min(first for first, _ in intervals), max(last for _, last in intervals)


def _get_distance(run: FlowRun, time: float | None) -> float:
    return abs(run.created_at.timestamp() - time) if run.created_at and time is not None else 0.0


def _estimate_creation(run: FlowRun, values: Collection[str], marker: StartMarker) -> float | None:
    """Return when the run of a start was created if it was as long in the queue as one that was read."""
    sent_at, other_sent_at = sent_time(_get_start_value(marker)), [sent_time(value) for value in values]
    if run.created_at is None or sent_at is None or len(other_sent_at) != 1 or other_sent_at[0] is None:
        return None
    return sent_at + run.created_at.timestamp() - other_sent_at[0]


def _build_possible_run(flow_id: str, lifecycle: Lifecycle) -> FlowRun:
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


def _get_trigger_output(run: FlowRun) -> Any:
    found: Any = run.raw
    for key in ("steps", "trigger", "output"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _find_start_values(output: Any) -> frozenset[str] | None:
    """Return the start values in a trigger's output, wherever it hands them on; None when it does not show its call.

    A body without a value belongs to a start by someone else: each of ours has one.
    """
    values = frozenset(value for text in _iterate_texts(output) for value in _START_VALUE.findall(text))
    return values if values or _shows_payload(output) else None


def _shows_payload(output: Any) -> bool:
    """Tell whether a trigger's output shows where a value of ours would be: in the body, or the query beside a list."""
    if not isinstance(output, Mapping):
        return False
    body = output.get("body")
    return isinstance(output.get("queryParams") if isinstance(body, list) else body, Mapping)


def _iterate_texts(value: Any) -> Iterator[str]:
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
