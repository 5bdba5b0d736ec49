"""Every text that a vendor sends can be encoded as UTF-8 and holds no NUL, wherever in a body it stands."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flowruns.model.calls import Response
from airflow_provider_flowruns.model.clean import clean_text, map_leaves, parse_json

#: The same examples every time, and none that fails because a machine is busy.
examples = settings(deadline=None, derandomize=True, database=None, max_examples=200)

HALF, NUL = "\ud83d", "\0"
ODD_TEXT = st.text(alphabet=[HALF, "\ude00", NUL, "a", "é", "\U0001f600", '"', "\\", "\n", "\x1f"], max_size=6)
ODD_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ODD_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_TEXT, inner, max_size=3),
    max_leaves=8,
)


def texts_in(value: object) -> list[str]:
    """Return all texts of a JSON value, keys included."""
    if isinstance(value, dict):
        return [*value, *(text for item in value.values() for text in texts_in(item))]
    if isinstance(value, list):
        return [text for item in value for text in texts_in(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("", ""),
        ("plain", "plain"),
        ("é \U0001f600 \ufffd", "é \U0001f600 \ufffd"),
        ("cut \ud83d", "cut \ufffd"),
        ("\ude00 cut", "\ufffd cut"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("a\0b", "a\ufffdb"),
    ],
)
def test_a_text_that_is_clean_stays_and_what_is_not_is_replaced(text, clean) -> None:
    assert clean_text(text) == clean


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (rb'"cut \ud83d"', "cut \ufffd"),
        (rb'"cut \uD83D!"', "cut \ufffd!"),
        (rb'"\ude00\ud83d"', "\ufffd\ufffd"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\\ud83d"', r"\ud83d"),
        (rb'{"\ud83d": {"\u0000": ["\udfff"]}}', {"\ufffd": {"\ufffd": ["\ufffd"]}}),
        (rb'"a\u0000b"', "a\ufffdb"),
        (rb'"a\\u0000b"', r"a\u0000b"),
        (b'"a\0b"', "a\ufffdb"),
        (b'"a\xffb"', "a\ufffdb"),
        (b'{"\xff": 1}', {"\ufffd": 1}),
        (b'"\xed\xa0\xbd"', "\ufffd\ufffd\ufffd"),  # half a pair written as if it were UTF-8
        (b'"\xc0\x80"', "\ufffd\ufffd"),  # NUL as Java writes it
        (b'"line\nbreak\x1f"', "line\nbreak\x1f"),
        (b'\xef\xbb\xbf{"id": 1}', {"id": 1}),
        ('{"é": 1}'.encode("utf-16"), {"é": 1}),
        ('{"é": 1}'.encode("utf-32-le"), {"é": 1}),
        (b"[Infinity, -Infinity]", [math.inf, -math.inf]),
        (b"1e999", math.inf),
        (b"9" * 5_000, math.inf),
        (b"-" + b"9" * 5_000, -math.inf),
        (b"9" * 300, int("9" * 300)),
    ],
    ids=repr,
)
def test_a_body_is_read_clean(body, value) -> None:
    assert parse_json(body) == value
    assert Response(200, {}, body).json() == value


def test_a_number_that_is_none_is_read() -> None:
    assert math.isnan(parse_json(b"NaN"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"\0",
        b"<html>",
        b"{",
        b"{'id': 1}",
        b"\xff\xfe\xfa",
        b"[" * 200_000,
        b"[" * 100_000 + b"]" * 100_000,
        rb'["\ud83d", ' + b"[" * 990 + b"]" * 990 + b"]",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_cannot_be_read_is_refused_as_a_value(body) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(body)


@examples
@given(value=ODD_JSON, ascii_only=st.booleans())
def test_whatever_json_says_is_clean_once_it_is_read(value, ascii_only) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    texts = texts_in(parse_json(body))
    assert all("\0" not in text and text.encode() for text in texts if text)


@examples
@given(value=ODD_JSON)
def test_what_is_clean_is_read_as_it_was_sent(value) -> None:
    clean = json.loads(json.dumps(map_leaves(value, lambda leaf: clean_text(leaf) if isinstance(leaf, str) else leaf)))
    assert repr(parse_json(json.dumps(clean).encode())) == repr(clean)


@examples
@given(st.binary(max_size=40))
def test_any_bytes_are_read_clean_or_refused_as_a_value(body) -> None:
    try:
        value = parse_json(body)
    except ValueError:
        return
    assert all("\0" not in text and isinstance(text.encode(), bytes) for text in texts_in(value))


def test_leaves_and_keys_are_changed_at_any_depth() -> None:
    value = {"a": [1, {"b": None}], "c": "d"}
    assert map_leaves(value, lambda leaf: f"<{leaf}>") == {"<a>": ["<1>", {"<b>": "<None>"}], "<c>": "<d>"}
