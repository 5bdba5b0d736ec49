"""What no service should send: the run it is about is neither a success nor in the way of the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from airflow_provider_flowruns.model.errors import FlowRunsError, UnexpectedResponseError
from airflow_provider_flowruns.model.runs import MAX_ERROR_CHARS, Disposition, FlowRun, Lifecycle
from airflow_provider_flowruns.model.targets import NewestRunsTarget
from airflow_provider_flowruns.testing.adapter import RecordForm, ServiceAdapter
from airflow_provider_flowruns.testing.base import KitPart, for_each

#: Values that are there and are no status.
UNREADABLE_WORDS: tuple[Any, ...] = (0, 1, False, True, 1.5, [], ["SUCCEEDED"], {"a": 1}, "(unreadable)", "x" * 10_000)
_HUGE_TEXT = "x" * 1_000_000


def _list_forms(adapter: ServiceAdapter) -> Iterator[Any]:
    for form in adapter.forms:
        yield pytest.param(form, id=f"{adapter.info.name} {form.name}".strip())


def _list_contradictions(adapter: ServiceAdapter) -> Iterator[Any]:
    for form in adapter.forms:
        for fields in form.contradictions:
            yield pytest.param(form, fields, id=f"{form.name} {fields}".strip())


def drive(steps: Any, *bodies: Any) -> Any:
    """Take a sequence of calls with the bodies as the responses to them, and return its result.

    :param steps: the sequence.
    """
    left = list(bodies)
    try:
        call = next(steps)
        while True:
            call = steps.send(call.read(left.pop(0)))
    except StopIteration as end:
        return end.value


def read_newest(form: RecordForm, rows: list[Any]) -> tuple[FlowRun, ...]:
    """Return the newest runs of a flow, as a wait polls them.

    :param form: how the service writes runs.
    :param rows: the records, in the order of the response.
    """
    runs: tuple[FlowRun, ...] = drive(form.api.poll(form.target), *form.build_bodies(rows))
    return runs


class ReadingTests(KitPart):
    """Reading alone: needs no fake and no installed entry point."""

    @for_each("form", _list_forms)
    def test_a_record_is_read(self, form: RecordForm) -> None:
        """The record that the other tests change is one of a run that has succeeded."""
        (run,) = read_newest(form, [form.build_row(1)])
        assert (run.lifecycle, run.disposition) == (Lifecycle.NOT_RUNNING, Disposition.SUCCEEDED)
        assert (run.service, run.flow_id) == (form.target.service, form.target.flow_id)
        assert run.run_id == form.api.validate_run_id(run.run_id)
        assert run.created_at is not None

    @for_each("form", _list_forms)
    def test_a_status_that_cannot_be_read_is_unknown(self, form: RecordForm) -> None:
        """Neither a success nor a failure: the wait continues, and warns."""
        for word in UNREADABLE_WORDS:
            (run,) = read_newest(form, [form.build_row(1, **dict.fromkeys(form.status_fields, word))])
            assert (run.lifecycle, run.disposition) == (Lifecycle.UNKNOWN, Disposition.NONE), word
            assert len(run.vendor_status) <= 420

    @for_each("form, fields", _list_contradictions)
    def test_a_record_that_says_two_things_at_a_time_is_no_success(
        self, form: RecordForm, fields: Mapping[str, Any]
    ) -> None:
        """Which of the two is true is not known."""
        (run,) = read_newest(form, [form.build_row(1, **fields)])
        assert run.disposition is not Disposition.SUCCEEDED

    @for_each("form", _list_forms)
    def test_the_newest_run_comes_first_in_whatever_order_the_list_came(self, form: RecordForm) -> None:
        """The order of a list may differ from what is documented."""
        newest_first = [form.build_row(number) for number in (9, 8, 7, 6)]
        expected = read_newest(form, newest_first)
        assert len(expected) == 4
        assert read_newest(form, newest_first[::-1]) == expected
        assert read_newest(form, [newest_first[one] for one in (2, 0, 3, 1)]) == expected

    @for_each("form", _list_forms)
    def test_an_older_run_does_not_pass_for_the_newest_one_that_cannot_be_read(self, form: RecordForm) -> None:
        """Else a stale success would count."""
        row = form.build_row
        lists = [[row(9, id={}), row(8), row(7)], [row(7), row(8), row(9, id={})], [row(8), row(9, id={}), row(7)]]
        for rows in (*lists, [row(8), row(9, id={})]):
            with pytest.raises(UnexpectedResponseError, match="the newest run in the list cannot be read"):
                read_newest(form, rows)
        assert len(read_newest(form, [row(9), row(8, id={}), row(7)])) == 2

    @for_each("form", _list_forms)
    def test_the_newest_run_is_not_on_the_first_page_of_a_list_that_comes_oldest_first(self, form: RecordForm) -> None:
        """A page that is full and sorted the other way does not show it."""
        target = NewestRunsTarget(form.target.service, form.target.flow_id, 3)
        first, *others = form.build_bodies([form.build_row(number) for number in (1, 2, 3)])
        first = {**first, **form.more} if isinstance(first, dict) else first
        if getattr(next(form.api.poll(target)).read(first), "next", None) is None:
            pytest.skip("its lists have no pages, or RecordForm.more does not say so")
        with pytest.raises(UnexpectedResponseError, match="the list is sorted oldest first and has more pages"):
            drive(form.api.poll(target), first, *others)

    @for_each("form", _list_forms)
    def test_a_malformed_row_is_left_out_and_the_others_are_read(self, form: RecordForm) -> None:
        """One that is no object, or has no id."""
        good = [form.build_row(9), form.build_row(7)]
        malformed: list[Any] = [None, 7, "text", [], [{}], form.build_row(8, id={}), form.build_row(8, id=None)]
        for odd in malformed:
            assert read_newest(form, [good[0], odd, good[1]]) == read_newest(form, good)

    @for_each("form", _list_forms)
    def test_a_list_of_which_no_row_can_be_read_is_refused(self, form: RecordForm) -> None:
        """An empty list would mean that the flow has never run."""
        with pytest.raises(ValueError, match="none can be read"):
            read_newest(form, [form.build_row(1, id={}), None])

    @for_each("form", _list_forms)
    def test_no_text_of_a_summary_is_longer_than_an_error_may_be(self, form: RecordForm) -> None:
        """Whatever the service puts into a field."""
        for name in form.build_row(1):
            try:
                runs = read_newest(form, [form.build_row(1, **{name: _HUGE_TEXT})])
            except (FlowRunsError, ValueError):
                continue  # the id, or the flow's
            for run in runs:
                assert measure_longest_text(run.summary()) <= MAX_ERROR_CHARS, name


def measure_longest_text(value: Any) -> int:
    """Return the length of the longest text in a JSON value.

    :param value: the value.
    """
    if isinstance(value, Mapping):
        return max(map(measure_longest_text, [*value, *value.values()]), default=0)
    if isinstance(value, list):
        return max(map(measure_longest_text, value), default=0)
    return len(value) if isinstance(value, str) else 0
