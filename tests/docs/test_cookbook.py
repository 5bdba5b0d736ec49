"""Every recipe of the cookbook is shown on a page, run by a test in a real Airflow, and has no type errors."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.type_checkers import run_mypy, run_pyright

CHECKOUT = Path(__file__).resolve().parents[2]
RECIPES = sorted((CHECKOUT / "docs" / "examples" / "cookbook").glob("*.py"))
PAGES = CHECKOUT / "docs" / "cookbook"
INDEX = (PAGES / "index.md").read_text()
TESTS = "\n".join(path.read_text() for path in (CHECKOUT / "tests" / "cookbook").glob("test_*.py"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_shown_whole_and_run(recipe: Path) -> None:
    page = f"{recipe.stem.replace('_', '-')}.md"
    assert f'\n--8<-- "{recipe.relative_to(CHECKOUT).as_posix()}"\n' in (PAGES / page).read_text()
    assert f"]({page})" in INDEX
    assert f'"{recipe.stem}"' in TESTS, "no test in tests/cookbook names its DAG"


def test_the_index_lists_every_page_and_no_other() -> None:
    listed = re.findall(r"^\| \[[^]]+\]\(([\w-]+\.md)\)", INDEX, flags=re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in PAGES.glob("*.md") if path.name != "index.md")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a user's folder with all recipes."""
    folder = tmp_path_factory.mktemp("recipes")
    for recipe in RECIPES:
        shutil.copy(recipe, folder)
    return folder


@pytest.mark.nightly
def test_mypy_finds_no_error(folder: Path) -> None:
    assert run_mypy(folder) == []


def test_pyright_finds_no_error(folder: Path) -> None:
    pytest.importorskip("pyright")
    assert run_pyright(folder) == []


def test_the_type_checks_find_a_mistake(tmp_path: Path) -> None:
    pytest.importorskip("pyright")
    (tmp_path / "recipe.py").write_text(f"{RECIPES[0].read_text()}\nseconds: int = str(DAG)\n")
    assert [one["rule"] for one in run_pyright(tmp_path)] == ["reportAssignmentType"]
