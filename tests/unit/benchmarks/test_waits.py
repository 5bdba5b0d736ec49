"""The bounds on what waiting costs, beside the peers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from benchmarks.bounds import Bound, Verdict
from benchmarks.candidates import CANDIDATES
from benchmarks.measure import Load, Sample
from benchmarks.waits import METERED, _build_large_scale_section, _build_waiting_section

MEASURED = Sample(
    waits=1_000,
    cpu=0.001,
    lifetime_cpu=0.001,
    requests=1_000,
    pace=1.0,
    connections=0,
    connections_opened=20,
    stall=0.01,
    stall_without_gc=0.01,
    memory=10_000.0,
    delay=1.0,
)


def find_bound(beginning: str, memory: Mapping[str, list[float]]) -> Bound:
    """Return a bound of samples that differ in the memory of some candidates only, in the turns that measure it."""
    samples = {}
    for name in CANDIDATES:
        figures = iter(memory.get(name, [10_000.0] * METERED.count(True)))
        samples[name] = [
            replace(MEASURED, lifetime_cpu=None, memory=next(figures)) if metered else replace(MEASURED, memory=None)
            for metered in METERED
        ]
    bounds = _build_waiting_section(samples, Load(1_000)).bounds
    (bound,) = [bound for bound in bounds if bound.description.startswith(beginning)]
    return bound


def test_memory_is_compared_with_the_best_peer() -> None:
    bound = find_bound("memory", {"portable": [6_000.0] * 3, "activepieces": [3_000.0] * 3, "dbt": [8_000.0] * 3})
    assert bound.figure.value == pytest.approx(1.25)  # the one that needs most: Portable flows, 100 waits for each
    assert "dbt Cloud" in bound.description


@pytest.mark.parametrize("memory", [[-500.0] * 3, [-500.0, -600.0, 20_000.0], [100.0, 9_000.0, -500.0]])
def test_a_peer_whose_memory_came_out_negative_fails_the_bound(memory: list[float]) -> None:
    assert find_bound("memory", {"dbt": memory}).verdict is Verdict.TOO_NOISY


def test_a_peer_with_few_waits_is_not_compared() -> None:
    assert CANDIDATES["airbyte"].waits_percent < 100
    assert "Airbyte" not in find_bound("memory", {"airbyte": [1.0, 1.0, 1.0]}).description


def test_stalls_are_bounded_by_the_median_of_the_turns() -> None:
    own = [replace(MEASURED, stall_without_gc=seconds) for seconds in (0.020, 0.060, 0.024)]
    section = _build_large_scale_section({"activepieces": own, "bare": [MEASURED]})
    (bound,) = section.bounds
    assert bound.figure.value == pytest.approx(24)
    assert bound.verdict is Verdict.TOO_NOISY  # one turn was more than twice as bad
