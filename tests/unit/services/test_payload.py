"""What goes with a start: taken as authors of DAGs write it, sent as plain JSON, refused where JSON cannot hold it."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.services.payload import parse_object, parse_payload

MOMENT = datetime(2026, 1, 31, 12, 30, tzinfo=timezone(timedelta(hours=1)))


class Rows(Sequence[Any]):
    """A sequence of its own, as Airflow gives the results of a mapped task."""

    def __init__(self, *rows: Any) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        return self._rows[place]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, {}),
        ({}, {}),
        ([], []),
        ({"a": [1, 2.5, True, None, "x"]}, {"a": [1, 2.5, True, None, "x"]}),
        ([{"a": 1}], [{"a": 1}]),
        (({"a": (1, 2)},), [{"a": [1, 2]}]),
        ({"a": {1}}, {"a": [1]}),
        ({"rows": Rows({"id": 1}, {"id": 2})}, {"rows": [{"id": 1}, {"id": 2}]}),
        (MappingProxyType({"a": MappingProxyType({"b": 1})}), {"a": {"b": 1}}),
        ('{"a": [1, null, true]}', {"a": [1, None, True]}),
        ('\n[{"a": 1}]\n', [{"a": 1}]),
        ({"text": '{"is": "kept"}'}, {"text": '{"is": "kept"}'}),
        ({"at": MOMENT}, {"at": "2026-01-31T12:30:00+01:00"}),
        ({"at": datetime(2026, 1, 31, 12, tzinfo=UTC)}, {"at": "2026-01-31T12:00:00+00:00"}),
        ({"at": datetime(2026, 1, 31, 12)}, {"at": "2026-01-31T12:00:00"}),
        ([date(2026, 1, 31), time(12, 30)], ["2026-01-31", "12:30:00"]),
        ({"id": UUID(int=5)}, {"id": "00000000-0000-0000-0000-000000000005"}),
        ({"large": 10**100}, {"large": 10**100}),
    ],
)
def test_a_payload_becomes_plain_json(value, plain) -> None:
    assert parse_payload(value) == plain
    assert json.loads(json.dumps(parse_payload(value))) == plain


def test_a_pendulum_datetime_is_sent_as_iso_8601() -> None:
    pendulum = pytest.importorskip("pendulum")
    assert parse_payload({"at": pendulum.datetime(2026, 1, 31)}) == {"at": "2026-01-31T00:00:00+00:00"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", r"^FR301: payload is text that is not JSON"),
        ("{{ rendered badly", r"^FR301: payload is text that is not JSON"),
        ("None", r"^FR301: payload is text that is not JSON"),
        (f"[{'1' * 5000}]", r"^FR301: payload is text that is not JSON"),
        ('"only a text"', r"^FR301: payload must be a JSON object or list, got"),
        ("5", r"^FR301: payload must be a JSON object or list, got '5'"),
        (5, r"^FR301: payload must be a JSON object or list, got 5"),
        (True, r"^FR301: payload must be a JSON object or list, got True"),
        (MOMENT, r"^FR301: payload must be a JSON object or list, got datetime"),
        (b'{"a": 1}', r"^FR301: payload is of type bytes, which JSON cannot represent"),
        ({"a": {"file": b"x"}}, r"^FR301: payload\['a'\]\['file'\] is of type bytes, which JSON cannot represent"),
        ({"a": [0, bytearray(b"x")]}, r"^FR301: payload\['a'\]\[1\] is of type bytearray"),
        ({"sum": Decimal("1.5")}, r"^FR301: payload\['sum'\] is of type Decimal, which JSON cannot represent"),
        ({"took": timedelta(seconds=1)}, r"^FR301: payload\['took'\] is of type timedelta"),
        ([object()], r"^FR301: payload\[0\] is of type object"),
        ({"rate": float("nan")}, r"^FR301: payload\['rate'\] is nan, which JSON cannot represent"),
        ('{"rate": NaN}', r"^FR301: payload\['rate'\] is nan"),
        ('{"rate": 1e999}', r"^FR301: payload\['rate'\] is inf"),
        ([float("-inf")], r"^FR301: payload\[0\] is -inf"),
        ({"n": 10**5000}, r"^FR301: payload\['n'\] is a huge int, which JSON cannot represent"),
        ({1: "x"}, r"^FR301: payload has the key 1; the keys of a JSON object must be text"),
        ({"a": {None: "x"}}, r"^FR301: payload\['a'\] has the key None"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_place(value, said) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        parse_payload(value)


def test_a_payload_that_contains_itself_is_refused() -> None:
    payload: dict[str, Any] = {}
    payload["self"] = [payload]
    for value in (payload, "[" * 100_000):
        with pytest.raises(
            InvalidArgumentError, match=r"^FR301: payload is nested too deeply for JSON, or contains itself"
        ):
            parse_payload(value)


@pytest.mark.parametrize("value", [{"airflow_run": 1}, '{"airflow_run": null}'])
def test_the_key_that_is_added_is_not_taken_from_the_author(value) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^FR301: metadata must not contain 'airflow_run'.*correlation_key"):
        parse_object(value, argument="metadata", reserved="airflow_run")


def test_the_key_that_is_added_may_stand_deeper() -> None:
    assert parse_payload({"a": {"airflow_run": 1}}, reserved="airflow_run") == {"a": {"airflow_run": 1}}


@pytest.mark.parametrize("value", [[], "[1]", (1, 2)])
def test_where_only_an_object_will_do_a_list_is_refused(value) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^FR301: metadata must be a JSON object, got a list"):
        parse_object(value, argument="metadata")


def test_what_was_parsed_can_be_parsed_again() -> None:
    once = parse_payload({"at": MOMENT, "rows": ({"n": 1},)})
    assert parse_payload(once) == once


def test_the_authors_value_is_left_as_it_is() -> None:
    payload = {"rows": [(1, 2)], "at": MOMENT}
    parse_payload(payload)
    assert payload == {"rows": [(1, 2)], "at": MOMENT}
