"""The skeleton of a package for another service is the example under another name, and tests itself as written."""

from __future__ import annotations

import filecmp
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from pathlib import Path

import pytest

from airflow_provider_flowruns.new_service import SkeletonError, main, write_skeleton

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "acme"


def run(folder: Path, *command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_skeleton_of_acme_is_the_example(tmp_path: Path) -> None:
    """Which ``make lint types`` checks as all other code."""
    written = [path.relative_to(tmp_path / "new") for path in write_skeleton("acme", tmp_path / "new")]
    same, differing, missing = filecmp.cmpfiles(tmp_path / "new", EXAMPLE, map(str, written), shallow=False)
    assert (differing, missing) == ([], [])
    assert {"pyproject.toml", "README.md", "tests/test_acme.py", "acme_flowruns/service.py"} <= set(same)


@pytest.mark.parametrize("name", ["acme", "big_orbit"])
def test_the_skeleton_passes_lint_and_the_tests_of_reading_as_written(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "new"
    write_skeleton(name, folder)
    run(folder, "ruff", "check", "--no-cache")
    run(folder, "ruff", "format", "--check", "--no-cache")
    assert "8 passed, 1 skipped" in run(folder, "pytest", "-p", "no:cacheprovider", "-k", "Reading")
    everything = "".join(path.read_text() for path in folder.rglob("*.*"))
    assert name == "acme" or "acme" not in everything.lower()


@pytest.mark.nightly
def test_the_skeleton_passes_the_type_checker_and_the_whole_kit_as_written(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    write_skeleton("acme", folder)
    run(folder, "mypy", ".")
    site = tmp_path / "site"
    run(ROOT, "uv", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(folder))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "4"],
        cwd=folder,
        env={"PATH": "", "PYTHONPATH": str(site), "AIRFLOW_HOME": str(tmp_path / "airflow")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["", "Acme", "my-service", "1st", "a__b", "x" * 17, "../acme", "None "])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SkeletonError, match="the name must be words of lower-case letters"):
        write_skeleton(name, tmp_path / "new")


def test_the_command_says_what_it_wrote_or_why_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["my_service"]) == 0
    assert (tmp_path / "my-service-flowruns" / "my_service_flowruns" / "service.py").exists()
    assert capsys.readouterr().out.endswith("Next: read my-service-flowruns/README.md\n")
    for arguments, reason in (
        (["my_service"], "exists; name another folder"),
        (["portable"], "is a service 'portable'"),
    ):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 2
        assert reason in capsys.readouterr().err
