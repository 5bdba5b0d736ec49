"""Python on the pages is never typed there: it comes from files that the tests run."""

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
DOCS = CHECKOUT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
RUN_BY_TESTS = (
    "example_dags/",
    *(f"docs/examples/{folder}/" for folder in ("tests", "cookbook", "coming_from", "hooks")),
    "examples/acme/",
)


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)\n```$", text, flags=re.MULTILINE | re.DOTALL)


def included(text: str) -> list[str]:
    return re.findall(r'^--8<-- "([^":]+)(?::\w+)?"$', text, flags=re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_python_is_included_from_files_that_the_tests_run(page) -> None:
    for block in blocks("python", (DOCS / page).read_text()):
        (path,) = included(block)
        assert path.startswith(RUN_BY_TESTS)
        assert block.count("\n") == 0
        assert (CHECKOUT / path).is_file()


def test_pages_show_every_test_for_users() -> None:
    shown = included((DOCS / "testing.md").read_text())
    assert sorted(shown) == sorted(
        f"docs/examples/tests/{path.name}" for path in (DOCS / "examples/tests").glob("*.py")
    )


@pytest.mark.parametrize("image", sorted(path.name for path in (DOCS / "images").iterdir()))
def test_every_image_is_used(image) -> None:
    texts = [(CHECKOUT / "mkdocs.yml").read_text(), *((DOCS / page).read_text() for page in PAGES)]
    assert any(f"images/{image}" in text for text in texts)
