"""What a measurement reports: tables, and bounds that must hold."""

from __future__ import annotations

import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Bound:
    """
    A claim about a figure.

    :param claim: what is claimed, in words.
    :param figure: what came out.
    :param limit: at most so much, or at least if ``at_least``.
    """

    claim: str
    figure: float
    limit: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether the figure keeps to the limit."""
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit

    def row(self) -> tuple[str, str, str, str]:
        """Return the bound as a table row."""
        sign = "at least" if self.at_least else "at most"
        return self.claim, f"{self.figure:.3g}", f"{sign} {self.limit:.3g}", "holds" if self.holds else "**fails**"


@dataclass(frozen=True)
class Section:
    """
    The answer to one question.

    :param title: the question.
    :param text: how it was measured.
    :param table: a Markdown table.
    :param bounds: what must hold.
    :param bars: for the plot: what is measured, and the figure of each candidate.
    """

    title: str
    text: str
    table: str
    bounds: Sequence[Bound] = ()
    bars: dict[str, dict[str, float]] = field(default_factory=dict)

    def to_markdown(self) -> str:
        """Return the section as Markdown."""
        checks = table(("bound", "figure", "limit", ""), [one.row() for one in self.bounds]) if self.bounds else ""
        return "\n\n".join(part for part in (f"## {self.title}", self.text, self.table, checks) if part)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def section_of_program(title: str, module: str) -> Section:
    """Run a module that prints its own table and exits with 1 if its bounds do not hold."""
    done = subprocess.run([sys.executable, "-m", module], check=False, text=True, stdout=subprocess.PIPE)
    if done.returncode not in {0, 1} or not done.stdout:
        raise RuntimeError(f"{module} failed with exit code {done.returncode}")
    return Section(title, "", done.stdout.strip(), [Bound("bounds of this table that fail", done.returncode, 0)])
