"""The guard fails on a figure that is worse than the stored one of the last release."""

from __future__ import annotations

import json
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from pathlib import Path

import pytest

from benchmarks import guard
from benchmarks.bounds import Bound, Figure
from benchmarks.guard import find_regressions, load_figures, store_figures
from benchmarks.sections import Section

ROOT = Path(__file__).resolve().parents[3]
COST = "CPU time, relative to the bare loop"
SPEED = "throughput, relative to the bare loop"
COUNT = "requests per round"

STORED = {COST: Figure(1.0, 0.1), SPEED: Figure(0.9, 0.0), COUNT: Figure.exact(12.2)}


def build_bounds(cost: Figure | None = None, speed: float = 0.9, count: float = 12.2) -> list[Bound]:
    """Return bounds whose limits play no part here."""
    return [
        Bound(COST, cost or Figure(1.0, 0.1), 0.0),
        Bound(SPEED, Figure(speed, 0.0), 2.0, at_least=True),
        Bound(COUNT, Figure.exact(count), 0.0),
    ]


def compare(bounds: list[Bound]) -> list[str]:
    return [*find_regressions(bounds, STORED)]


def test_the_same_figures_pass() -> None:
    assert compare(build_bounds()) == []


def test_better_figures_pass() -> None:
    assert compare(build_bounds(Figure(0.2, 0.05), speed=3.0, count=5)) == []


def test_what_is_measured_may_be_worse_by_the_slack_and_the_stored_spread() -> None:
    assert compare(build_bounds(Figure(1.64, 0.1), speed=0.61)) == []
    assert compare(build_bounds(Figure(1.66, 0.1))) == [f"{COST}: 1.66, and was 1"]
    assert compare(build_bounds(speed=0.59)) == [f"{SPEED}: 0.59, and was 0.9"]


def test_a_bound_may_have_less_slack() -> None:
    bound = Bound(COST, Figure(1.3, 0.1), 0.0, slack=1.1)
    assert compare([bound, *build_bounds()[1:]]) == [f"{COST}: 1.3, and was 1"]


def test_what_is_exact_must_not_be_worse_at_all() -> None:
    assert compare(build_bounds(count=12.2 + 1e-12)) == []
    assert compare(build_bounds(count=12.25)) == [f"{COUNT}: 12.25, and was 12.2"]


@pytest.mark.parametrize("figure", [Figure(-18.8, 0.1), Figure(0.2, 0.1), Figure.from_turns([0.2])])
def test_noise_is_not_taken_for_an_improvement(figure: Figure) -> None:
    assert compare(build_bounds(figure)) == [f"{COST}: too noisy to compare"]


def test_every_figure_is_compared() -> None:
    bounds = [*build_bounds()[:-1], Bound("a new figure", Figure.exact(1), 0.0)]
    assert compare(bounds) == ["a new figure: there is no stored figure", f"{COUNT}: was stored, but not measured"]


def test_stored_figures_are_read_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    store_figures(build_bounds(), path)
    assert load_figures(path) == STORED


def test_noise_is_not_stored(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    with pytest.raises(ValueError, match=COST):
        store_figures(build_bounds(Figure(-1, 0)), path)
    assert not path.exists()


@pytest.mark.parametrize(("count", "status"), [(12.2, 0), (13, 1)])
def test_the_command_fails_on_a_worse_figure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], count: float, status: int
) -> None:
    store_figures(build_bounds(), tmp_path / "figures.json")
    section = Section("A question?", "", "", build_bounds(count=count))
    monkeypatch.setattr(guard, "STORED_FIGURES", tmp_path / "figures.json")
    monkeypatch.setattr(guard, "measure_sections", lambda *, quick: [section])
    monkeypatch.setattr("sys.argv", ["guard"])
    with pytest.raises(SystemExit) as exit_info:
        guard.main()
    assert exit_info.value.code == status
    assert (f"WORSE: {COUNT}" in capsys.readouterr().out) is bool(status)


def test_the_measured_processes_configure_airflow_before_they_import_it() -> None:
    """Each imports the main module first."""
    program = "import sys, benchmarks.guard, benchmarks.__main__; print({'airflow', 'aiohttp'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_stored_figures_are_no_noise() -> None:
    stored = json.loads(guard.STORED_FIGURES.read_text())
    assert len(stored) > 10
    assert [description for description, figure in stored.items() if Figure(**figure).is_noise] == []
