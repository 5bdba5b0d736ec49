"""Figures with the spread of their turns, and the limits that they must keep.

A *turn* measures every candidate once, one after the other. A *figure* is computed in each turn from what this turn
measured, so that what slows the machine for a while slows both sides of a ratio; its value is the median over the
turns. Its *spread* is half the interquartile range over the turns. A figure of less than :data:`NOISE_FACTOR` spreads
is noise, and so is every negative one: what is measured here is never negative. Noise keeps no limit.

An *exact* figure is the same in every turn and on every machine: it is counted, or measured in virtual time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median, quantiles
from typing import Self

#: A figure below this number of spreads is noise.
NOISE_FACTOR = 3


@dataclass(frozen=True)
class Figure:
    """A figure with its spread.

    :param value: the median over the turns.
    :param spread: half the interquartile range over the turns, None if the figure is exact.
    """

    value: float
    spread: float | None

    @classmethod
    def exact(cls, value: float) -> Self:
        """Return a figure that is the same in every turn."""
        return cls(value, None)

    @classmethod
    def from_turns(cls, values: Sequence[float]) -> Self:
        """Return the figure that was measured once in each turn. One turn says nothing about the spread: noise."""
        if len(values) < 2:
            return cls(values[0], math.inf)
        lower, _, upper = quantiles(values, n=4, method="inclusive")
        return cls(median(values), (upper - lower) / 2)

    @classmethod
    def from_ratios(cls, ours: Sequence[float], theirs: Sequence[float]) -> Self:
        """Return the ratio of two figures that were both measured once in each turn."""
        return cls.from_turns([our / their for our, their in zip(ours, theirs, strict=True)])

    @property
    def is_noise(self) -> bool:
        """Whether the figure is too small for its spread."""
        return not self.value >= NOISE_FACTOR * (self.spread or 0.0)  # not a number is noise, too

    def format_spread(self) -> str:
        """Return the spread as text."""
        return "exact" if self.spread is None else format_value(self.spread)


def format_value(value: float) -> str:
    """Return a figure as text."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


class Verdict(StrEnum):
    """What a bound says about its figure."""

    HOLDS = "holds"
    FAILS = "**fails**"
    TOO_NOISY = "**too noisy**"


@dataclass(frozen=True)
class Bound:
    """A limit for a figure.

    :param description: what the figure is.
    :param figure: the measured figure.
    :param limit: the upper limit, or the lower one if ``at_least``.
    :param slack: the factor by which a figure that is not exact may be worse than the stored one of the last release,
        see :mod:`benchmarks.guard`.
    """

    description: str
    figure: Figure
    limit: float
    at_least: bool = False
    slack: float = 1.5

    @property
    def verdict(self) -> Verdict:
        """Whether the figure is more than noise, and within the limit."""
        if self.figure.is_noise:
            return Verdict.TOO_NOISY
        value = self.figure.value
        is_within = value >= self.limit if self.at_least else value <= self.limit
        return Verdict.HOLDS if is_within else Verdict.FAILS

    @property
    def holds(self) -> bool:
        """Whether the bound holds."""
        return self.verdict == Verdict.HOLDS

    def format_margin(self) -> str:
        """Return the distance from the limit in percent of the limit, negative beyond it."""
        distance = self.figure.value - self.limit if self.at_least else self.limit - self.figure.value
        return f"{distance / self.limit:.0%}" if self.limit else "-"

    def build_row(self) -> tuple[str, str, str, str, str, str]:
        """Return the bound as a row under :data:`COLUMNS`."""
        sign = "at least" if self.at_least else "at most"
        return (
            self.description,
            format_value(self.figure.value),
            self.figure.format_spread(),
            f"{sign} {format_value(self.limit)}",
            self.format_margin(),
            self.verdict,
        )


#: Titles of a table of bounds.
COLUMNS = ("bound", "figure", "spread", "limit", "margin", "")
