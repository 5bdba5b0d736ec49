"""What the page about a real triggerer says of its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.bounds import Bound, Verdict
from benchmarks.saved_waits import DATETIME
from benchmarks.triggerer_report import LIMITS, Figures, Results, build_section, read_results, write_results

FLOOR = Figures(
    seconds=600.0,
    cpu=[3.0, 3.1, 2.9, 3.0, 3.0],
    supervisor_cpu=2.0,
    memory=[260 * 2**20] * 5,
    supervisor_memory=100 * 2**20,
    requests=0.0,
    connections=0,
    stalls_at_start=1,
    stalls=20,
    stalls_at_end=0,
    loading=90.0,
    delay=1.0,
    longest_delay=2.0,
)


def build_results(count: int, **changes: object) -> Results:
    return {(DATETIME, count): FLOOR} | {(kind, count): replace(FLOOR, **changes) for kind in LIMITS}  # type: ignore[arg-type]


def get_bounds(kind: str, results: Results) -> Sequence[Bound]:
    """Return a kind's bounds: CPU time, memory, stalls."""
    first = 3 * list(LIMITS).index(kind)
    return build_section(results).bounds[first : first + 3]


def test_waits_that_cost_less_than_the_floor_keep_their_limits() -> None:
    results = build_results(10_000, cpu=[2.6, 2.7, 2.5, 2.6, 2.6], memory=[259 * 2**20] * 5)
    assert all(bound.holds for bound in build_section(results).bounds)


def test_a_difference_counts_with_what_its_spread_hides() -> None:
    """The median is 1.7 % of a core above the floor, within the limit of 2 %; but it may as well be 5 %."""
    cpu, *_ = get_bounds("activepieces", build_results(10_000, cpu=[4.0, 6.1, 2.9, 2.0, 6.0]))
    assert cpu.verdict is Verdict.FAILS


@pytest.mark.parametrize(("more_bytes", "verdict"), [(6_000, Verdict.HOLDS), (6_200, Verdict.FAILS)])
def test_memory_is_that_of_one_wait(more_bytes: int, verdict: Verdict) -> None:
    results = build_results(10_000, memory=[memory + 10_000 * more_bytes for memory in FLOOR.memory])
    assert get_bounds("portable", results)[1].verdict is verdict


@pytest.mark.parametrize(("stalls", "verdict"), [(15, Verdict.HOLDS), (25, Verdict.HOLDS), (60, Verdict.FAILS)])
def test_stalls_may_be_as_many_as_chance_explains(stalls: int, verdict: Verdict) -> None:
    assert get_bounds("portable", build_results(10_000, stalls=stalls))[2].verdict is verdict


def test_what_was_measured_with_other_numbers_of_waits_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    assert read_results(file) == {}
    write_results(file, {**build_results(10_000), **build_results(1_000, requests=7.0)})
    stored = read_results(file)
    assert list(stored) == [*build_results(1_000), *build_results(10_000)]
    assert stored["portable", 1_000].requests == pytest.approx(7.0)
    assert "| 1,000 |" in build_section(stored).to_markdown()
