"""Records that are decoded from their bytes give what their JSON values give, whatever was sent."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flowruns.client.responses import read_result
from airflow_provider_flowruns.client.settings import parse_settings
from airflow_provider_flowruns.model.calls import Call, Page, Response
from airflow_provider_flowruns.model.limits import MAX_COUNT
from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.services.activepieces import ActivepiecesApi
from airflow_provider_flowruns.services.portable import PortableApi
from tests.fuzz.answers import CONSTANTS, NUMBERS, RAW, TEXTS, TIMES, TOKEN, WORDS
from tests.fuzz.decoding import check_decoding
from tests.fuzz.documented import ATTEMPT, CAPTURES, FLOW_ID, PROJECT_ID, RESOURCES, RUN, SCHEMA_ATTEMPT

#: The same examples every time, and none that fails because a machine is busy.
examples = settings(deadline=None, derandomize=True, database=None, max_examples=400)

DOCUMENTED_ATTEMPT = {**ATTEMPT, "errors": None, "completedAt": "2023-06-12T20:08:34.25Z"}
ATTEMPTS = PortableApi().get_run_attempts(568971, limit=3).first
RUNS = ActivepiecesApi(PROJECT_ID).list_flow_runs(flow_id=FLOW_ID, limit=3).first
CALLS: dict[str, tuple[Call[Page[FlowRun]], dict[str, Any]]] = {
    "activepieces": (RUNS, RUN),
    "activepieces failed": (RUNS, {**RUN, "status": "FAILED", "flowVersion": {"displayName": "Sync", "trigger": {}}}),
    "portable": (ATTEMPTS, DOCUMENTED_ATTEMPT),
    "portable without outcome": (ATTEMPTS, {**DOCUMENTED_ATTEMPT, "disposition": "none"}),
}
OTHER_NAMES = ('"details"', '"status"', '"i\\u0064"', '"another"', '"flowVersion"', '"tags"')
OTHER_MEMBERS = ("", ', "next": null', ', "another": "\\ud83d"', ', "data": {}', ', "data": []')
ODD_RESOURCES: list[dict[str, Any]] = [
    *({"name": name} for name in (None, 7, "", "x" * 200, "x" * 201)),
    *({"extracted": count} for count in (None, -1, 2.0, "7", MAX_COUNT, MAX_COUNT + 1, 10**30)),
    *({"errors": errors} for errors in (None, "late", ["late"], ["late", ""], [None], {"message": "late"}, ["x"] * 21)),
    {"another": "field"},
]
#: JSON texts of all kinds of values.
ODD = [json.dumps(value) for value in (*WORDS, *TIMES, *TEXTS, *NUMBERS, *CONSTANTS)] + [
    *(raw for raw in RAW if len(raw) < 10_000),
    *(json.dumps(text, ensure_ascii=False) for text in TEXTS),
    *('"2026-01-31T12:00:00.1234567Z"', '"2026-01-31T24:00:00Z"', '"2026-01-31T12:00:00+02:00"', '"2026-01-31T12:00"'),
    *(f'"{"x" * 64}"', f'"{"x" * 65}"', f'"{"x" * 200}"', f'"{"x" * 201}"', '"\\u0069d"', str(2**63 - 1), "1" * 401),
    *(
        json.dumps(texts)
        for texts in (["late", ""], ["late", None], [{"message": "late"}], ["late"] * 21, ["x" * 2_001])
    ),
    *(json.dumps([*RESOURCES, {**RESOURCES[0], **change}]) for change in ODD_RESOURCES),
    json.dumps({"orders": {"extracted": 3}}),
]


def build_list(*rows: str, others: str = "") -> bytes:
    return f'{{"data": [{", ".join(rows)}]{others}}}'.encode("utf-8", "surrogatepass")


def build_record(fields: Iterable[tuple[str, str]]) -> str:
    return f"{{{', '.join(f'{name}: {value}' for name, value in fields)}}}"


@pytest.mark.parametrize("name", CALLS)
def test_every_odd_value_of_every_field_is_read_as_from_its_json_value(name: str) -> None:
    call, record = CALLS[name]
    fields = {json.dumps(field): json.dumps(value) for field, value in record.items()}
    for field in (*fields, *OTHER_NAMES):
        for odd in ODD:
            whole, odder = build_record(fields.items()), build_record({**fields, field: odd}.items())
            check_decoding(call, build_list(whole, odder, whole))


@st.composite
def records(draw: st.DrawFn, record: dict[str, Any]) -> str:
    """Return the JSON text of a record some of whose fields are missing, odd, or there twice."""
    fields = [(json.dumps(name), json.dumps(value)) for name, value in record.items()]
    names = st.sampled_from([*(name for name, _ in fields), *OTHER_NAMES])
    changes = draw(st.lists(st.tuples(names, st.sampled_from(ODD)), max_size=3))
    missing = draw(st.sets(st.sampled_from(fields), max_size=1))
    return build_record(field for field in [*fields, *changes] if field not in missing)


@pytest.mark.parametrize("name", CALLS)
@examples
@given(data=st.data())
def test_a_list_is_the_same_as_read_from_its_json_value(name: str, data: st.DataObject) -> None:
    call, record = CALLS[name]
    rows = data.draw(st.lists(records(record) | st.sampled_from(ODD), max_size=4))
    body = build_list(*rows, others=data.draw(st.sampled_from(OTHER_MEMBERS)))
    check_decoding(call, data.draw(st.sampled_from([body, body, b"\xef\xbb\xbf" + body, body[:-1], body + b" \n"])))


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("odd", ['{"id": null}', "7", '{"id": 7, "status": ["x"]}'])
def test_one_odd_record_changes_nothing_for_the_others(name: str, odd: str) -> None:
    call, record = CALLS[name]
    sent = json.dumps(record)
    body = build_list(sent, odd, sent)
    assert [type(row) for row in call.decode(body)["data"]] == [FlowRun, type(json.loads(odd)), FlowRun]
    check_decoding(call, body)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"flow": None, "trigger": None, "resources": None, "errors": ["late"], "completedAt": None},
        {"another": {"deep": [1, "caf\u00e9", None]}, "resources": []},
        {"completedAt": "2023\u201006\u201012T20:03:00Z"},
        {"disposition": None, "status": "SUCCEEDED"},
        {"disposition": "a new one"},
        {"resources": RESOURCES * 300},
    ],
)
def test_an_attempt_of_the_documented_form_is_decoded_from_its_bytes(changes: dict[str, Any]) -> None:
    call, record = CALLS["portable"]
    body = json.dumps({"data": [{**record, **changes}]}, ensure_ascii=False).encode()
    assert [type(row) for row in call.decode(body)["data"]] == [FlowRun]
    check_decoding(call, body)


@pytest.mark.parametrize("path", sorted(CAPTURES.glob("runs-*.json")), ids=lambda path: path.stem)
def test_captured_lists_are_the_same_as_read_from_their_json_values(path: Path) -> None:
    body = json.dumps(json.loads(path.read_text(encoding="utf-8"))["response"]["body"]).encode()
    check_decoding(ActivepiecesApi(PROJECT_ID).list_flow_runs(limit=3).first, body)


def test_captured_runs_are_decoded_from_their_bytes() -> None:
    found = json.loads((CAPTURES / "runs-page-1.json").read_text(encoding="utf-8"))["response"]["body"]
    decoded = RUNS.decode(json.dumps(found).encode())["data"]
    assert decoded
    assert {type(row) for row in decoded} == {FlowRun}


def test_an_attempt_in_the_words_of_the_schema_is_read_from_its_json_value() -> None:
    call, _ = CALLS["portable"]
    body = json.dumps({"data": [SCHEMA_ATTEMPT]}).encode()
    assert call.decode(body) == {"data": [SCHEMA_ATTEMPT]}
    check_decoding(call, body)


@pytest.mark.parametrize("place", ["errors", "another", "trigger"])
def test_secrets_are_masked_before_records_are_decoded(place: str) -> None:
    found = parse_settings("portable", "c", host=None, schema=None, port=None, password=TOKEN, extra={})
    call, record = CALLS["portable"]
    body = json.dumps({"data": [{**record, place: [f"Bearer {TOKEN}"]}, record]}).encode()
    page = read_result(found, call, Response(200, {}, body))
    assert page == call.read({"data": [{**record, place: ["Bearer ***"]}, record]})
    assert TOKEN not in repr([(run, run.raw) for run in page.items])
