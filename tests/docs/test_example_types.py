"""What the pages show as code has no type errors in a user's strictest settings."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.type_checkers import run_mypy, run_pyright

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
PARTS = ("coming_from", "cookbook", "hooks")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a user's folder with the modules of the docs, a folder for each part."""
    for part in PARTS:
        (tmp_path / part).mkdir()
        for path in (EXAMPLES / part).glob("*.py"):
            shutil.copy(path, tmp_path / part)
    return tmp_path


@pytest.mark.nightly
@pytest.mark.parametrize("part", PARTS)
def test_mypy_finds_no_error(folder: Path, part: str) -> None:
    assert run_mypy(folder / part) == []


def test_pyright_finds_no_error(folder: Path) -> None:
    pytest.importorskip("pyright")
    assert run_pyright(folder) == []


def test_a_mistake_is_found(tmp_path: Path) -> None:
    pytest.importorskip("pyright")
    source = (EXAMPLES / "cookbook" / "alert.py").read_text("utf-8")
    (tmp_path / "recipe.py").write_text(f"{source}\nseconds: int = str(DAG)\n")
    assert [one["rule"] for one in run_pyright(tmp_path)] == ["reportAssignmentType"]
