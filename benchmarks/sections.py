"""The report of a measurement: a text, a table, and the bounds on its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.bounds import COLUMNS, Bound


@dataclass(frozen=True)
class Section:
    """One section of the report.

    :param title: the question that the section answers.
    :param text: how the figures were measured.
    :param table: a Markdown table.
    :param bounds: the bounds to check.
    :param bars: for the plot: the quantities, each with the figure of every candidate.
    """

    title: str
    text: str
    table: str
    bounds: Sequence[Bound] = ()
    bars: dict[str, dict[str, float]] = field(default_factory=dict)

    def to_markdown(self) -> str:
        """Return the section as Markdown."""
        checks = build_table(COLUMNS, [bound.build_row() for bound in self.bounds]) if self.bounds else ""
        return "\n\n".join(part for part in (f"## {self.title}", self.text, self.table, checks) if part)


def build_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
