"""Cutting JSON to a size: the bound holds for any value, and costs no more than what is left."""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flowruns.model.clip import MAX_LEVELS, MIN_BYTES, clip_json, clip_text

examples = settings(deadline=None, derandomize=True, database=None, max_examples=100)

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=12), inner, max_size=8),
    max_leaves=60,
)


@examples
@given(value=VALUES, max_bytes=st.integers(MIN_BYTES, 400))
def test_any_value_fits(value: Any, max_bytes: int) -> None:
    clipped, _ = clip_json(value, max_bytes)
    assert len(json.dumps(clipped, allow_nan=False)) <= max_bytes
    assert clip_json(clipped, max_bytes + 2 * MIN_BYTES) == (clipped, False)
    assert msgspec.json.decode(msgspec.json.encode(clipped)) == clipped


@examples
@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63) + 1, 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
        lambda inner: (
            st.lists(inner, max_size=5)
            | st.dictionaries(
                st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9), inner
            )
        ),
        max_leaves=20,
    )
)
def test_what_fits_stays_as_it_is(value: Any) -> None:
    assert clip_json(value, 100_000) == (value, False)


@examples
@given(text=st.text(), max_bytes=st.integers(MIN_BYTES, 60))
def test_a_text_fits_and_says_that_it_was_cut(text: str, max_bytes: int) -> None:
    clipped, is_cut = clip_text(text, max_bytes)
    assert len(json.dumps(clipped)) <= max_bytes
    assert is_cut == (len(json.dumps(text)) > max_bytes) or "\ufffd" in clipped
    assert clipped.endswith("...") or not is_cut


@pytest.mark.parametrize(
    ("value", "max_bytes", "expected"),
    [
        ("x" * 50, 10, "xxxxx..."),
        ([1, 2, 3, 4, 5, 6, 7, 8], 20, [1, 2, 3, 4, 5]),
        # The large member leaves room for the ones behind it.
        ({"rows": ["x" * 100] * 100, "total": 100}, 100, {"rows": ["x" * 38 + "..."], "total": 100}),
        ([[["deep"]]], 100, [[["deep"]]]),
    ],
)
def test_what_is_cut(value: Any, max_bytes: int, expected: Any) -> None:
    assert clip_json(value, max_bytes)[0] == expected


def test_what_json_cannot_hold_is_replaced() -> None:
    value = {"nan": float("nan"), "large": 2**64, "huge": 10**5_000, "set": {1}, "half": "\ud800"}
    assert clip_json(value, 1_000) == (
        {"nan": None, "large": "18446744073709551616", "huge": None, "set": None, "half": "\ufffd"},
        True,
    )


def test_omitted_members_are_left_out_on_every_level() -> None:
    value = {"input": 1, "inner": [{"input": 2, "kept": 3}]}
    assert clip_json(value, 1_000, {"input"}) == ({"inner": [{"kept": 3}]}, False)


def test_deep_nesting_is_cut() -> None:
    value: Any = "bottom"
    for _ in range(sys.getrecursionlimit() - 100):
        value = [value]
    clipped, is_cut = clip_json(value, 10_000)
    assert is_cut
    assert json.dumps(clipped) == "[" * MAX_LEVELS + "null" + "]" * MAX_LEVELS


class CountingDict(dict[str, Any]):
    """Counts the members that are looked at."""

    looked_at = 0

    def items(self) -> Any:
        for item in super().items():
            self.looked_at += 1
            yield item


@pytest.mark.parametrize("key", ["{}", "input{}" + "x" * 1_000], ids=["short keys", "keys that do not fit"])
def test_the_cost_does_not_depend_on_the_size(key: str) -> None:
    value = CountingDict({key.format(number): None for number in range(10_000)})
    clip_json(value, 500)
    assert value.looked_at <= 2 * 500 / MIN_BYTES
