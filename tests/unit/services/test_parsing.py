"""What the services send is read leniently; what they are sent is written strictly."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flowruns.model.calls import Call, Response
from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.model.limits import MAX_COUNT, MAX_NAME_CHARS
from airflow_provider_flowruns.model.rows import Rows
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.services.activepieces import ActivepiecesApi
from airflow_provider_flowruns.services.parsing import (
    UNREADABLE,
    describe_shape,
    estimate_size,
    format_time,
    parse_count,
    parse_id,
    parse_status,
    parse_text,
    parse_texts,
    parse_time,
    parse_word,
    read_rows,
    sort_newest_first,
    unwrap_object,
)
from airflow_provider_flowruns.services.portable import PortableApi
from airflow_provider_flowruns.services.tableflow import TableFlowApi
from airflow_provider_flowruns.services.validation import validate_id, validate_limit, validate_range, validate_time

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
UNIX_NOON = int(NOON.timestamp())
NEW_YORK = timezone(timedelta(hours=-5))
HUGE = 10**5_000  # too long for Python to write out
DIGITS = re.compile(r"[0-9]{1,19}")

#: The same examples every time, and none that fails because a machine is busy.
examples = settings(deadline=None, derandomize=True, database=None, max_examples=40)


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31T12:00:00.000Z",
        "2026-01-31T12:00:00+00:00",
        "2026-01-31T07:00:00-05:00",
        "2026-01-31 12:00:00",
        " 2026-01-31T12:00:00Z\n",
        "2026\u201001\u201031T07:00:00\u221205:00",
        UNIX_NOON,
        float(UNIX_NOON),
        UNIX_NOON * 1_000,
    ],
)
def test_one_moment_in_every_form_the_services_use(value) -> None:
    assert parse_time(value) == NOON
    assert parse_time(value).tzinfo is UTC


@pytest.mark.parametrize("value", [None, "", " ", "soon", "2026-13-01", "None", True, False, {}, [], ["2026-01-31"]])
def test_what_is_no_time_reads_as_none(value) -> None:
    assert parse_time(value) is None


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), float("-inf"), 1e300, -1e300, pytest.param(HUGE, id="huge")]
)
def test_a_number_beyond_the_calendar_reads_as_no_time(value) -> None:
    assert parse_time(value) is None


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        -62_135_596_800,
        -1e11,
        "0001-01-01T00:00:00Z",
        "0001-01-01T23:59:59.999999+14:00",
        "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59.999999-14:00",
        "nan",
        "x" * 100_000,
    ],
)
def test_the_ends_of_the_calendar_and_of_unix_time_stand_for_never(value) -> None:
    assert parse_time(value) is None


@pytest.mark.parametrize("value", ["0001-01-02T00:00:00Z", "9999-12-30T00:00:00Z", 1, "2026-01-31T12:00:00.123456789Z"])
def test_a_time_that_is_read_can_be_reckoned_with(value) -> None:
    moment = parse_time(value)
    for hours in (-14, 14):
        moment.astimezone(timezone(timedelta(hours=hours)))
    assert isinstance(moment.timestamp(), float)
    assert moment - timedelta(days=1) < moment < moment + timedelta(days=1)


@examples
@given(st.floats() | st.integers() | st.integers(-(10**30), 10**30) | st.text() | st.booleans() | st.none())
def test_any_value_is_a_time_to_reckon_with_or_none(value) -> None:
    moment = parse_time(value)
    assert moment is None or moment - timedelta(days=1) < moment < moment + timedelta(days=1)


@pytest.mark.parametrize("value", ["NOT_RUNNING", "not_running", " Not_Running\n"])
def test_a_word_in_any_case(value) -> None:
    assert parse_word(value) == "NOT_RUNNING"


@pytest.mark.parametrize("value", [None, "", "  ", {}])
def test_a_missing_word_is_empty(value) -> None:
    assert parse_word(value) == ""


@pytest.mark.parametrize(
    "value",
    [0, 1, False, True, 1.5, [], ["RUNNING"], {"lifecycle": "RUNNING"}, "x" * 100, "\u017fucceeded", "SUCCEEDED\ufffd"],
)
def test_what_is_there_but_no_word_is_not_missing(value) -> None:
    assert parse_word(value) == UNREADABLE


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("", ""),
        ({}, ""),
        ("not_running", "not_running"),
        (1, "1"),
        (True, "True"),
        (["RUNNING"], "(a list (str))"),
        ({"a": 1}, "(an object with the keys ['a'])"),
    ],
)
def test_a_status_as_people_see_it(value, text) -> None:
    assert parse_status(value) == text


def test_a_status_that_people_see_is_short() -> None:
    assert len(parse_status("x" * 100_000)) == MAX_NAME_CHARS
    assert len(parse_status({"x" * 100_000: 1})) <= MAX_NAME_CHARS


@pytest.mark.parametrize(("value", "text"), [("abc", "abc"), (568971, "568971"), (0, "0"), ("x" * 128, "x" * 128)])
def test_an_id_is_a_text_or_a_whole_number(value, text) -> None:
    assert parse_id(value) == text


@pytest.mark.parametrize(
    "value",
    [None, "", " ", True, 1.0, float("nan"), {}, [], {"id": 1}, ["abc"], "x" * 129, pytest.param(HUGE, id="huge")],
)
def test_what_is_no_id(value) -> None:
    assert parse_id(value) is None


@pytest.mark.parametrize(("value", "text"), [("abc", "abc"), (568971, "568971"), (0, "0")])
def test_an_id_or_name_as_text(value, text) -> None:
    assert parse_text(value) == text


@pytest.mark.parametrize("value", [None, "", True, False, {}, [], {"id": 1}, ["abc"]])
def test_what_stands_for_no_value_is_no_text(value) -> None:
    assert parse_text(value) is None


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (None, ()),
        ("", ()),
        ([], ()),
        ({}, ()),
        ([None, "", {}], ()),
        ("Timeout", ("Timeout",)),
        (["Timeout", "Gone"], ("Timeout", "Gone")),
        ([{"message": "Timeout"}, {"error": "Gone"}], ("Timeout", "Gone")),
        ({"message": "Timeout", "code": 7}, ("Timeout",)),
        ([{"code": 7}], ("{'code': 7}",)),
        ([7], ("7",)),
    ],
)
def test_errors_in_every_form(value, texts) -> None:
    assert parse_texts(value) == texts


@pytest.mark.parametrize(("value", "count"), [(7, 7), ("7", 7), (7.0, 7), (None, 0), ("", 0), ("many", 0), ([], 0)])
def test_a_row_count(value, count) -> None:
    assert parse_count(value) == count


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_row_count_that_is_no_number_is_zero(value) -> None:
    assert parse_count(value) == 0


@pytest.mark.parametrize(
    ("value", "count"), [(MAX_COUNT, MAX_COUNT), (MAX_COUNT + 1, 0), (-1, 0), (10**40, 0), (True, 0)]
)
def test_a_row_count_that_json_cannot_carry_is_zero(value, count) -> None:
    assert parse_count(value) == count


@pytest.mark.parametrize("body", [{"id": 1}, {"data": {"id": 1}}])
def test_a_record_bare_and_wrapped(body) -> None:
    assert unwrap_object(body) == {"id": 1}


@pytest.mark.parametrize("body", [{"id": 1, "data": None}, {"id": 1, "data": "text"}, {"id": 1, "data": []}])
def test_a_record_with_a_field_named_data_is_not_unwrapped(body) -> None:
    assert unwrap_object(body) == body


@pytest.mark.parametrize("body", [None, [], [{"id": 1}], "text", 7, True])
def test_what_is_no_record_is_refused(body) -> None:
    with pytest.raises(ValueError, match="expected a JSON object"):
        unwrap_object(body)


@pytest.mark.parametrize("body", [[{"id": 1}], {"data": [{"id": 1}]}, {"flow_runs": [{"id": 1}], "data": None}])
def test_a_list_bare_and_under_its_names(body) -> None:
    assert read_rows(body, dict, "flow_runs", "data") == ({"id": 1},)


@pytest.mark.parametrize("body", [None, "text", 7, {}, {"data": {}}, {"other": []}, [1], [None, {"id": {}}]])
def test_what_is_no_list_of_records_is_refused(body) -> None:
    with pytest.raises(ValueError, match="expected a list of JSON objects"):
        read_rows(body, lambda record: record["id"] + 1, "data")


@pytest.mark.parametrize("odd", [None, 7, "text", [], {}, {"id": {}}, {"id": []}, {"id": None}, {"id": "1"}])
def test_a_row_that_cannot_be_read_does_not_hide_the_others(odd) -> None:
    rows = read_rows([{"id": 1}, odd, {"id": 2}], lambda record: record["id"] + 1)
    assert [*rows] == [2, 3]
    assert (rows.total, rows.unread, rows.is_first_unread) == (3, 1, False)


def test_a_row_that_cannot_be_read_is_told_when_it_comes_first() -> None:
    assert read_rows([{}, {"id": 1}], lambda record: record["id"]).is_first_unread
    assert not read_rows([], dict).is_first_unread


def run_at(run_id: str, created_at: datetime | None) -> FlowRun:
    return FlowRun(
        service="tableflow",
        kind=Kind.RUN,
        run_id=run_id,
        flow_id="f",
        lifecycle=Lifecycle.RUNNING,
        disposition=Disposition.NONE,
        vendor_status="processing",
        created_at=created_at,
    )


def after_noon(seconds: int | None) -> datetime | None:
    return None if seconds is None else NOON + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "order", "is_oldest_first"),
    [
        ([], "", False),
        ([1], "a", False),
        ([3, 2, 1], "abc", False),
        ([1, 1, 1], "abc", False),
        ([None, None], "ab", False),
        ([3, None, 1], "abc", False),
        ([1, 2, 3], "cba", True),
        ([1, 1, 2], "cab", True),
        ([2, 1, 3, 0], "cabd", False),
        ([None, 1, 2], "acb", True),
        ([1, None, 2, None], "cbad", True),
    ],
)
def test_a_list_is_put_newest_first_where_its_times_contradict_that(seconds, order, is_oldest_first) -> None:
    rows = Rows([run_at(name, after_noon(at)) for name, at in zip("abcd", seconds, strict=False)], total=9, unread=2)
    found = sort_newest_first(rows)
    assert "".join(str(run.run_id) for run in found) == order
    assert found.is_oldest_first is is_oldest_first
    assert (found.total, found.unread) == (9, 2)


def test_the_size_of_a_value_is_that_of_its_json() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert estimate_size({"a": "x" * 1_000}) == 1_008
    assert [estimate_size(odd) for odd in ("\ud83d", object(), deep)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (None, "NoneType"),
        ("x", "str"),
        ([], "list"),
        ([1], "a list (int)"),
        ({"b": 1, "a": 2}, "an object with the keys ['a', 'b']"),
    ],
)
def test_the_shape_of_a_value_in_a_few_words(value, shape) -> None:
    assert describe_shape(value) == shape


def test_the_shape_of_a_large_value_is_as_short() -> None:
    assert len(describe_shape({f"{number}{'x' * 10_000}": number for number in range(1_000)})) < 500


@pytest.mark.parametrize("value", [5, "5", " 5 ", "\t5\n"])
def test_an_id_is_returned_trimmed(value) -> None:
    assert validate_id(value, argument="flow_id", pattern=DIGITS, example="7") == "5"


@pytest.mark.parametrize(
    "value",
    ["", " ", "x", "5 5", "٣", "1.0", 1.0, True, None, -5, b"5", ["5"], pytest.param(HUGE, id="huge"), "5" * 9_999],
)
def test_what_is_no_id_is_refused_by_the_name_of_its_argument(value) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^FR301: flow_id must look like 7, got ") as raised:
        validate_id(value, argument="flow_id", pattern=DIGITS, example="7")
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize("value", [1, 1_000, "1", " 1000 "])
def test_a_limit_within_bounds(value) -> None:
    assert validate_limit(value, maximum=1_000) == int(value)


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        1_001,
        5_000,
        "5000",
        "0",
        "",
        " ",
        "ten",
        "1e2",
        "٣",
        10.0,
        True,
        None,
        [],
        pytest.param(HUGE, id="huge"),
        "9" * 9_999,
    ],
)
def test_a_limit_out_of_bounds_is_refused(value) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^FR301: limit must be a whole number from 1 to 1000, got "):
        validate_limit(value, maximum=1_000)


@pytest.mark.parametrize(
    "value", [NOON, NOON.replace(tzinfo=None), NOON.astimezone(NEW_YORK), "2026-01-31T12:00", "2026-01-31T07:00-05:00"]
)
def test_a_time_argument_in_every_form_is_utc(value) -> None:
    moment = validate_time(value, argument="start_time")
    assert (moment, moment.tzinfo) == (NOON, UTC)


@pytest.mark.parametrize("value", [None, ""])
def test_a_time_argument_that_is_not_given(value) -> None:
    assert validate_time(value, argument="start_time") is None


@pytest.mark.parametrize(
    "value",
    [" ", "soon", "None", UNIX_NOON, True, NOON.date(), [], datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))],
)
def test_a_time_argument_that_is_no_point_in_time_is_refused(value) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^FR301: start_time must be a datetime or ISO-8601 text"):
        validate_time(value, argument="start_time")


def test_a_template_that_found_nothing_is_told_apart() -> None:
    with pytest.raises(InvalidArgumentError, match="the template found no value"):
        validate_time("None", argument="start_time")


@pytest.mark.parametrize(
    ("start", "end"), [(None, None), (NOON, None), (None, NOON), (NOON, NOON + timedelta(seconds=1))]
)
def test_a_range_with_open_and_closed_ends(start, end) -> None:
    assert validate_range(start, end, start_argument="a", end_argument="b") == (start, end)


@pytest.mark.parametrize("end", [NOON, NOON - timedelta(seconds=1), "2026-01-31T06:59:59-05:00"])
def test_an_empty_range_is_refused_by_the_names_of_both_ends(end) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^FR301: end_time \(.*\) must be later than start_time \(.*\)"):
        validate_range(NOON, end, start_argument="start_time", end_argument="end_time")


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOON, "2026-01-31T12:00:00Z"),
        (NOON.astimezone(NEW_YORK), "2026-01-31T12:00:00Z"),
        (NOON.replace(tzinfo=None), "2026-01-31T12:00:00Z"),
        (NOON.replace(microsecond=800_000), "2026-01-31T12:00:00.800000Z"),
    ],
)
def test_a_time_is_written_in_utc(moment, text) -> None:
    assert format_time(moment) == text


OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@examples
@given(st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31), timezones=OFFSETS))
def test_a_time_that_was_written_reads_as_itself(moment) -> None:
    assert validate_time(format_time(moment), argument="start_time") == moment


TEXT = st.text(alphabet="a1-:TZ ٣é", max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted(
    {"id", "status", "lifecycle", "disposition", "errors", "error", "resources", "details", "completedAt", "createdAt"}
    | {"trigger", "created", "startTime", "finishTime", "failedStep", "status_history", "current_attempt", "version"}
    | {"start_time", "end_time", "pagination", "next", "flow", "name", "extracted", "flowId", "projectId"}
)
RECORDS = st.dictionaries(
    st.sampled_from(FIELDS), JSON | st.sampled_from(["FAILED", "completed", "RUNNING"]), max_size=8
)
BODIES = (
    JSON
    | RECORDS
    | RECORDS.map(lambda one: {"data": one})
    | st.lists(RECORDS, max_size=3).map(lambda many: {"data": many, "flow_runs": many, "next": "x"})
)
RUN_CALLS = [
    PortableApi().get_flow_status(1),
    PortableApi().get_workflow_status(1),
    ActivepiecesApi().get_flow_run("A" * 21),
    TableFlowApi().get_flow_run("A"),
]
PAGE_CALLS = [
    PortableApi().get_run_attempts(1, limit=1).first,
    ActivepiecesApi("A" * 21).list_flow_runs(limit=1).first,
    TableFlowApi().list_flow_runs(limit=1).first,
]
FLOW_CALLS = [
    PortableApi().list_flows(),
    ActivepiecesApi("A" * 21).list_flows(limit=1).first,
    TableFlowApi().list_flows(),
]


def parse_name(call: Call) -> str:
    return f"{call.service} {call.request.path}"


def read(call: Call, body: object):
    try:
        return call.read(body)
    except ValueError:
        return None


@pytest.mark.parametrize("call", RUN_CALLS, ids=parse_name)
@examples
@given(body=BODIES)
def test_any_json_is_read_as_a_run_or_refused_as_a_value(call, body) -> None:
    run = read(call, body)
    if run is not None:
        assert json.loads(json.dumps(run.summary(), allow_nan=False)) == run.summary()


@pytest.mark.parametrize("call", PAGE_CALLS, ids=parse_name)
@examples
@given(body=BODIES)
def test_any_json_is_read_as_a_page_of_runs_or_refused_as_a_value(call, body) -> None:
    page = read(call, body)
    for run in page.items if page else ():
        assert json.loads(json.dumps(run.summary(), allow_nan=False)) == run.summary()


@pytest.mark.parametrize("call", FLOW_CALLS, ids=parse_name)
@examples
@given(body=BODIES)
def test_any_json_is_read_as_flows_or_refused_as_a_value(call, body) -> None:
    found = read(call, body)
    for flow in getattr(found, "items", found) or ():
        assert json.loads(json.dumps(flow.summary())) == flow.summary()


@pytest.mark.parametrize("api", [PortableApi(), ActivepiecesApi(), TableFlowApi()], ids=lambda api: api.info.name)
@examples
@given(body=JSON | st.fixed_dictionaries({}, optional={"message": JSON, "error": JSON, "code": JSON, "params": JSON}))
def test_any_json_of_an_error_gives_words_or_none(api, body) -> None:
    words = api.error_message(body)
    assert words is None or (isinstance(words, str) and words)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"\xff\xfe\xfa", b"[" * 200_000])
def test_a_body_that_is_no_json_is_refused_as_a_value(body) -> None:
    with pytest.raises(ValueError, match=r"."):
        Response(200, {}, body).json()


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (PortableApi().get_flow_status(5), {"id": 6, "lifecycle": "NOT_RUNNING", "disposition": "SUCCEEDED"}),
        (PortableApi().get_workflow_status("05"), {"lifecycle": "NOT_RUNNING", "disposition": "SUCCEEDED"}),
        (ActivepiecesApi().get_flow_run("A" * 21), {"id": "B" * 21, "status": "SUCCEEDED"}),
        (TableFlowApi().get_flow_run("A"), {"status": "completed"}),
    ],
)
def test_a_response_about_another_id_is_unexpected(call, body) -> None:
    with pytest.raises(ValueError, match=r"requested .*, got a response about"):
        call.read(body)
