"""``examples`` copies the example DAGs, and overwrites nothing."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from airflow_provider_flowruns.cli import examples

CHECKOUT = Path(__file__).resolve().parents[3]
SOURCES = {path.name: path.read_bytes() for path in (CHECKOUT / "example_dags").glob("*.py")}


def read_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_it_copies_every_example_into_a_new_folder(run, tmp_path) -> None:
    folder = tmp_path / "new" / "dags"
    result = run("examples", str(folder))
    assert result.code == 0
    assert read_folder(folder) == SOURCES
    assert result.out.splitlines() == [str(folder / name) for name in sorted(SOURCES)]


def test_it_can_be_repeated(run, tmp_path) -> None:
    (tmp_path / "mine.py").write_text("# mine")
    assert run("examples", str(tmp_path)).code == run("examples", str(tmp_path)).code == 0
    assert read_folder(tmp_path) == {**SOURCES, "mine.py": b"# mine"}


def test_a_file_that_was_changed_is_kept(run, tmp_path) -> None:
    changed = tmp_path / "three_services.py"
    changed.write_text("# mine")
    result = run("examples", str(tmp_path))
    assert result.code == 1
    assert f"nothing was copied: {tmp_path} already has three_services.py" in result.err
    assert read_folder(tmp_path) == {"three_services.py": b"# mine"}


def test_a_folder_that_cannot_be_written_is_an_error(run, tmp_path) -> None:
    (tmp_path / "file").write_text("no folder")
    result = run("examples", str(tmp_path / "file"))
    assert result.code == 1
    assert result.err.startswith(f"error: cannot write to {tmp_path / 'file'}: ")


def test_those_within_the_package_come_first(tmp_path, monkeypatch) -> None:
    package = tmp_path / "airflow_provider_flowruns"
    (package / "example_dags").mkdir(parents=True)
    (package / "example_dags" / "within.py").write_text("")
    monkeypatch.setattr("airflow_provider_flowruns.__file__", str(package / "__init__.py"))
    assert [path.name for path in examples.find_examples()] == ["within.py"]


def test_the_wheel_has_them_within_the_package() -> None:
    build = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert build["targets"]["wheel"]["force-include"]["example_dags"] == "airflow_provider_flowruns/example_dags"
    assert "/example_dags" in build["targets"]["sdist"]["include"]


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_an_example_is_a_dag_that_needs_only_the_package(name) -> None:
    text = SOURCES[name].decode()
    assert "from airflow_provider_flowruns" in text
    assert "from tests" not in text
