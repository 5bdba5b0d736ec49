"""Rows of CSV files are counted as Python's own reader counts them, wherever the file is cut into pieces."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flowruns.services.csv_rows import CsvRowCounter

#: The same examples every time, and none that fails because a machine is busy.
examples = settings(deadline=None, derandomize=True, database=None, max_examples=300)


def count(data: bytes, size: int = 7) -> CsvRowCounter:
    counter = CsvRowCounter()
    for start in range(0, len(data), size):
        counter.add(data[start : start + size])
    return counter


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"", 0),
        (b"a,b", 0),
        (b"a,b\n", 0),
        (b"a,b\n1,2", 1),
        (b"a,b\n1,2\n", 1),
        (b"a,b\r\n1,2\r\n3,4\r\n", 2),
        (b'a,b\n"x\ny",2\n', 1),
        (b'a,b\n"x ""\n"" y",2\n3,4', 2),
        (b'a,b\n"",""\n', 1),
        (b'"a\n",b\n', 0),
        (b'a,b\n1,"x\n"', 1),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_line_ends_within_values_are_no_rows(data, rows, size) -> None:
    counter = count(data, size)
    assert (counter.rows, counter.is_cut) == (rows, False)


@pytest.mark.parametrize("data", [b'a,b\n1,"x', b'a,b\n1,"x\n', b'a,b\n1,"x""', b'"'])
@pytest.mark.parametrize("size", [1, 1000])
def test_a_file_that_ends_within_a_value_is_cut(data, size) -> None:
    assert count(data, size).is_cut


def test_a_piece_may_be_empty() -> None:
    counter = count(b"a\n1\n")
    counter.add(b"")
    assert counter.rows == 1


VALUES = st.text(alphabet='ab",\n\r é', max_size=6)


@examples
@given(
    table=st.lists(st.lists(VALUES, min_size=2, max_size=2), min_size=1, max_size=8),
    end=st.sampled_from(["\n", "\r\n"]),
    size=st.integers(1, 20),
)
def test_any_table_is_counted_as_it_was_written(table, end, size) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator=end).writerows(table)
    counter = count(text.getvalue().encode(), size)
    assert (counter.rows, counter.is_cut) == (len(table) - 1, False)
