"""Measure with few waits and turns, and fail if a figure is worse than the stored one of the last release.

Run by ``make bench-quick``, which needs no other provider: everything is compared with bare loops. ``--store`` stores
the figures instead, as ``make bench`` does.

A figure that is not exact depends on the machine and on what else runs there, so it may be worse by the slack of its
bound and by the stored spread. Half as much again is more than ratios of CPU time and of throughput differ between two
runs and between two kinds of machines, and less than what a careless loop costs. An exact figure must not be worse.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.bounds import Bound, Figure, format_value
from benchmarks.measurements import measure_sections
from benchmarks.sections import build_table

STORED_FIGURES = Path(__file__).with_name("figures.json")
#: What two machines may differ by where they compute the same.
ROUNDING = 1e-9


def compute_allowed(bound: Bound, stored: Figure) -> float:
    """Return the worst value that the figure of a bound may have.

    :param bound: the bound with the measured figure.
    :param stored: the figure of the last release.
    """
    is_exact = stored.spread is None
    factor, spread = (1 + ROUNDING, 0.0) if is_exact else (bound.slack, stored.spread or 0.0)
    return (stored.value - spread) / factor if bound.at_least else (stored.value + spread) * factor


def find_regressions(bounds: Sequence[Bound], stored: Mapping[str, Figure]) -> Iterator[str]:
    """Yield what is worse than it was, or cannot be compared.

    :param bounds: the measured bounds.
    :param stored: the figures of the last release, by the descriptions of their bounds.
    """
    for bound in bounds:
        if bound.figure.is_noise:
            yield f"{bound.description}: too noisy to compare"
        elif bound.description not in stored:
            yield f"{bound.description}: there is no stored figure"
        elif not _is_allowed(bound, compute_allowed(bound, stored[bound.description])):
            was = f"{stored[bound.description].value:.5g}"
            yield f"{bound.description}: {bound.figure.value:.5g}, and was {was}"
    measured = {bound.description for bound in bounds}
    yield from (f"{description}: was stored, but not measured" for description in stored if description not in measured)


def _is_allowed(bound: Bound, allowed: float) -> bool:
    value = bound.figure.value
    return value >= allowed if bound.at_least else value <= allowed


def load_figures(path: Path) -> dict[str, Figure]:
    """Return the stored figures by the descriptions of their bounds."""
    figures = json.loads(path.read_text(encoding="utf-8"))
    return {description: Figure(**figure) for description, figure in figures.items()}


def store_figures(bounds: Sequence[Bound], path: Path) -> None:
    """Store the figures of these bounds in place of those that were stored."""
    if noisy := [bound.description for bound in bounds if bound.figure.is_noise]:
        raise ValueError(f"too noisy to be stored: {', '.join(noisy)}")
    figures = {bound.description: asdict(bound.figure) for bound in bounds}
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Measure, and compare or store the figures."""
    parser = argparse.ArgumentParser(prog="make bench-quick", description=__doc__)
    parser.add_argument("--store", action="store_true", help="store the figures, to compare later ones with them")
    is_storing = parser.parse_args().store
    bounds = [bound for section in measure_sections(quick=True) for bound in section.bounds]
    if is_storing:
        store_figures(bounds, STORED_FIGURES)
        return
    stored = load_figures(STORED_FIGURES)
    print(_build_table(bounds, stored))
    regressions = [*find_regressions(bounds, stored)]
    print("\n".join(["", *(f"WORSE: {regression}" for regression in regressions)]))
    sys.exit(1 if regressions else 0)


def _build_table(bounds: Sequence[Bound], stored: Mapping[str, Figure]) -> str:
    rows = [
        (
            bound.description,
            format_value(bound.figure.value),
            bound.figure.format_spread(),
            format_value(before.value),
            before.format_spread(),
            format_value(compute_allowed(bound, before)),
        )
        for bound in bounds
        if (before := stored.get(bound.description))
    ]
    return build_table(("figure", "now", "spread", "stored", "its spread", "allowed"), rows)


if __name__ == "__main__":
    main()
