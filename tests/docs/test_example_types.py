"""What the pages show as code has no type errors in a user's strictest settings."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.type_checkers import run_mypy, run_pyright

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"


@pytest.fixture(params=["coming_from", "cookbook", "hooks"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a user's folder with the modules of a part of the docs."""
    for path in (EXAMPLES / request.param).glob("*.py"):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.mark.nightly
def test_mypy_finds_no_error(folder: Path) -> None:
    assert run_mypy(folder) == []


def test_pyright_finds_no_error(folder: Path) -> None:
    pytest.importorskip("pyright")
    assert run_pyright(folder) == []


def test_a_mistake_is_found(tmp_path: Path) -> None:
    pytest.importorskip("pyright")
    source = (EXAMPLES / "cookbook" / "alert.py").read_text("utf-8")
    (tmp_path / "recipe.py").write_text(f"{source}\nseconds: int = str(DAG)\n")
    assert [one["rule"] for one in run_pyright(tmp_path)] == ["reportAssignmentType"]
