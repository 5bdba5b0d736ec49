"""The sdist has what its tests need."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INCLUDED = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]


def imported_folders(folder: str) -> set[str]:
    """Return the folders of the checkout that the modules in one of them import from."""
    names: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(str(node.module))
    return {top for top in (name.partition(".")[0] for name in names) if (ROOT / top).is_dir()}


def test_it_has_all_that_the_tests_import() -> None:
    assert imported_folders("tests") >= {"airflow_provider_flowruns", "tests", "tools"}
    assert {f"/{name}" for name in imported_folders("tests") | imported_folders("tools")} <= {*INCLUDED}


def test_it_has_all_that_the_tests_read() -> None:
    assert {"/docs", "/example_dags", "/.github", "/README.md", "/Makefile", "/mkdocs.yml"} <= {*INCLUDED}


def test_whatever_it_is_to_have_is_there() -> None:
    assert [name for name in INCLUDED if not (ROOT / name.removeprefix("/")).exists()] == []
