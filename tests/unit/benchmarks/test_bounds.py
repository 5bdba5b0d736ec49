"""A figure that is noise keeps no limit."""

from __future__ import annotations

import math

import pytest

from benchmarks.bounds import COLUMNS, NOISE_FACTOR, Bound, Figure, Verdict
from benchmarks.sections import Section


def judge(figure: Figure, limit: float = 1.0, at_least: bool = False) -> Verdict:
    return Bound("a figure", figure, limit, at_least).verdict


def test_a_figure_is_the_median_of_its_turns_and_its_spread_half_the_interquartile_range() -> None:
    assert Figure.from_turns([5, 1, 3, 2, 4]) == Figure(3, 1)


def test_a_ratio_is_computed_in_each_turn() -> None:
    """Both sides are three times as slow in the second turn."""
    assert Figure.from_ratios([1, 3, 1], [2, 6, 2]) == Figure(0.5, 0)


def test_sides_that_were_not_measured_in_the_same_turns_have_no_ratio() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Figure.from_ratios([1, 2, 3], [1, 2])


@pytest.mark.parametrize("at_least", [False, True])
@pytest.mark.parametrize(
    "values",
    [
        pytest.param([-18.8, -18.8, -18.8], id="negative"),
        pytest.param([0.5, -18.8, 0.5], id="negative in one turn"),
        pytest.param([0.1, 0.4, 2.0], id="spread"),
        pytest.param([0.5], id="one turn"),
        pytest.param([0.5, math.inf, 0.5], id="infinite in one turn"),
        pytest.param([math.nan, math.nan, math.nan], id="not a number"),
    ],
)
def test_noise_fails(values: list[float], at_least: bool) -> None:
    """Whatever the limit."""
    for limit in (-100.0, 0.0, 1.0, 100.0):
        assert judge(Figure.from_turns(values), limit, at_least) is Verdict.TOO_NOISY


def test_a_figure_of_as_many_spreads_as_it_needs_is_no_noise() -> None:
    assert judge(Figure(0.5, 0.5 / NOISE_FACTOR)) is Verdict.HOLDS
    assert judge(Figure(0.5, 0.51 / NOISE_FACTOR)) is Verdict.TOO_NOISY


@pytest.mark.parametrize("figure", [Figure.exact(0.4), Figure.from_turns([0.4, 0.4]), Figure.from_turns([0.3, 0.5])])
def test_a_figure_is_compared_with_its_limit(figure: Figure) -> None:
    assert judge(figure, 0.5) is judge(figure, 0.4) is Verdict.HOLDS
    assert judge(figure, 0.39) is Verdict.FAILS
    assert judge(figure, 0.39, at_least=True) is judge(figure, 0.4, at_least=True) is Verdict.HOLDS
    assert judge(figure, 0.5, at_least=True) is Verdict.FAILS


def test_an_exact_figure_may_be_zero() -> None:
    assert judge(Figure.exact(0), 0) is Verdict.HOLDS


@pytest.mark.parametrize(
    ("bound", "row"),
    [
        (
            Bound("CPU time", Figure.from_turns([0.3, 0.4, 0.5]), 0.5),
            ("CPU time", "0.4", "0.05", "at most 0.5", "20%", "holds"),
        ),
        (
            Bound("throughput", Figure.from_turns([0.7, 0.76, 0.8]), 0.95, at_least=True),
            ("throughput", "0.76", "0.025", "at least 0.95", "-20%", "**fails**"),
        ),
        (Bound("requests", Figure.exact(10), 10), ("requests", "10", "exact", "at most 10", "0%", "holds")),
        (Bound("stalls", Figure.exact(1), 0), ("stalls", "1", "exact", "at most 0", "-", "**fails**")),
        (
            Bound("memory", Figure.from_turns([0.5, -18.8]), 1),
            ("memory", "-9.15", "4.83", "at most 1", "1015%", "**too noisy**"),
        ),
    ],
)
def test_a_row_says_how_far_the_figure_is_from_its_limit(bound: Bound, row: tuple[str, ...]) -> None:
    assert bound.build_row() == row
    assert len(row) == len(COLUMNS)


def test_a_section_shows_its_bounds_with_their_spread() -> None:
    section = Section("A question?", "How it was measured.", "", [Bound("memory", Figure.from_turns([-1, 1]), 1)])
    assert "| memory | 0 | 0.5 | at most 1 | 100% | **too noisy** |" in section.to_markdown()
