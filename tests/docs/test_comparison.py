"""The page that compares this package with others has the figures of the benchmarks."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def read_table(page: str, first_column: str) -> list[dict[str, str]]:
    """Return the rows of the first table of a page whose first column has this title, by the titles of the columns."""
    lines = (DOCS / page).read_text("utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first_column} |"))
    titles, _, *rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in "\n".join(lines[start:]).split("\n\n")[0].splitlines()
    ]
    return [dict(zip(titles, row, strict=True)) for row in rows]


def test_the_figures_are_those_of_the_benchmarks() -> None:
    measured = {row["candidate"]: row for row in read_table("benchmarks.md", "candidate")}
    shown = read_table("comparison.md", "candidate")
    assert {row["candidate"] for row in shown} == {
        name for name in measured if "poll" not in name and "loop" not in name
    }
    for row in shown:
        assert row == {title: measured[row["candidate"]][title] for title in row}, (
            f"'make bench' wrote other figures: {row}"
        )


def test_the_versions_are_those_of_the_benchmarks() -> None:
    text = (DOCS / "comparison.md").read_text("utf-8").partition("\n## ")[0]
    versions = {row["package"]: row["version"] for row in read_table("benchmarks.md", "package")}
    peers = [name for name in versions if "providers-" in name or "provider-" in name]
    assert len(peers) == 6
    assert [name for name in peers if versions[name] not in text] == []
