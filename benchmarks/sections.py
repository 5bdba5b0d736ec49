"""The report of a measurement: tables, and bounds on the figures."""

from __future__ import annotations

import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Bound:
    """A limit for a figure.

    :param description: what the figure is.
    :param figure: the measured value.
    :param limit: the upper limit, or the lower one if ``at_least``.
    """

    description: str
    figure: float
    limit: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether the figure is within the limit."""
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit

    def build_row(self) -> tuple[str, str, str, str]:
        """Return the bound as a table row."""
        sign = "at least" if self.at_least else "at most"
        return (
            self.description,
            f"{self.figure:.3g}",
            f"{sign} {self.limit:.3g}",
            "holds" if self.holds else "**fails**",
        )


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
        checks = (
            build_table(("bound", "figure", "limit", ""), [bound.build_row() for bound in self.bounds])
            if self.bounds
            else ""
        )
        return "\n\n".join(part for part in (f"## {self.title}", self.text, self.table, checks) if part)


def build_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def run_program(title: str, module: str) -> Section:
    """Run a module that prints its own table and exits with 1 if a bound is exceeded, and return its section."""
    result = subprocess.run([sys.executable, "-m", module], check=False, text=True, stdout=subprocess.PIPE)
    if result.returncode not in {0, 1} or not result.stdout:
        raise RuntimeError(f"{module} failed with exit code {result.returncode}")
    return Section(
        title, "", result.stdout.strip(), [Bound("number of failed bounds of this table", result.returncode, 0)]
    )
