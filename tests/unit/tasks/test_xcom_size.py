"""What goes to XCom is bounded, and the error names the way out."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from airflow_provider_flowruns.exceptions import ResultTooLarge
from airflow_provider_flowruns.tasks.xcom_size import check_xcom_size, collect_for_xcom


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWRUNS__MAX_XCOM_BYTES", "100")


def test_items_that_fit_are_collected() -> None:
    items = [{"n": number} for number in range(10)]
    assert len(json.dumps(items)) == 100
    assert collect_for_xcom(iter(items), "row") == items


def test_no_item_beyond_the_first_too_many_is_read() -> None:
    read: list[int] = []

    def items() -> Iterator[dict[str, int]]:
        for number in range(1_000):
            read.append(number)
            yield {"n": number}

    with pytest.raises(ResultTooLarge, match=r"the first 11 rows take 111 bytes.*at most 100 .*output_path"):
        collect_for_xcom(items(), "row")
    assert len(read) == 11


def test_a_value_is_checked_as_a_whole() -> None:
    check_xcom_size("x" * 98, "the output")
    with pytest.raises(ResultTooLarge, match=r"the output takes 101 bytes.*set output_path"):
        check_xcom_size("x" * 99, "the output")
    with pytest.raises(ResultTooLarge, match="narrow it with path"):
        check_xcom_size("x" * 99, "the output", "narrow it with path")
