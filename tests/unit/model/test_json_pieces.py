"""JSON that is decoded piece by piece is the same as JSON that is decoded at once."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flowruns.model import json_pieces
from airflow_provider_flowruns.model.json_pieces import decode_json

numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
leaves = st.none() | st.booleans() | numbers | st.text(max_size=30)
values = st.recursive(leaves, lambda one: st.lists(one) | st.dictionaries(st.text(max_size=5), one), max_leaves=60)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_pieces, "_PIECE_BYTES", 8)


@settings(deadline=None, derandomize=True, database=None, max_examples=300)
@given(values, st.sampled_from([None, 1]), st.booleans())
def test_the_value_is_the_same(value: Any, indent: int | None, is_ascii: bool) -> None:
    original, json_pieces._PIECE_BYTES = json_pieces._PIECE_BYTES, 8
    try:
        body = json.dumps(value, indent=indent, ensure_ascii=is_ascii).encode()
        assert decode_json(body) == msgspec.json.decode(body)
    finally:
        json_pieces._PIECE_BYTES = original


@pytest.mark.parametrize(
    "body",
    [
        b'  {"a": [1, 2, 3, 4, 5]}  ',
        b'{"a": 1111111111, "a": [2222222222]}',
        b" " * 100 + b'{"a": [1, 2, 3, 4, 5]}',
        b"[" * 50 + b"1" + b"]" * 50,
        b'"a text that is longer than a piece"',
        b'{"a text that is longer": "than a piece"}',
    ],
)
def test_odd_forms_are_the_same(body: bytes) -> None:
    assert decode_json(body) == msgspec.json.decode(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"          ",
        b'{"a": [1, 2, 3, 4, 5]',
        b'{"a": [1, 2, 3, 4, 5,]}',
        b'{"a": nothing, "b": 1}',
        b"[1, 2, 3, 4, 5} ...",
        b'{"a": 1234567890} more',
        b'["half a pair: \\ud83d and more"]',
        b'["no UTF-8: \xff\xfe and more"]',
        b"\xef\xbb\xbf[1234567890]",
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    refusals = (msgspec.DecodeError, UnicodeDecodeError)
    with pytest.raises(refusals):
        msgspec.json.decode(body)
    with pytest.raises(refusals):
        decode_json(body)


def test_json_that_is_nested_too_deep_is_refused() -> None:
    with pytest.raises(RecursionError):
        decode_json(b"[" * 100_000)


def test_no_piece_of_a_large_body_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_pieces, "_PIECE_BYTES", 1_000)
    value = {"steps": {"trigger": {"output": {"rows": [{"id": number, "name": "x" * 20} for number in range(5_000)]}}}}
    body = json.dumps(value).encode()
    sizes: list[int] = []
    decode = msgspec.json.decode

    def watching(piece: Any, **arguments: Any) -> Any:
        if not arguments:
            sizes.append(len(memoryview(piece)))
        return decode(piece, **arguments)

    monkeypatch.setattr(msgspec.json, "decode", watching)
    assert decode_json(body) == value
    assert max(sizes) <= 1_000
