"""Every recipe of the cookbook is shown on a page, and run by a test in a real Airflow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
