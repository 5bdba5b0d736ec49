"""The tests that the docs show to authors of DAGs: run as there, by a pytest and in an Airflow of their own."""

import os
import shutil
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SHOWN = CHECKOUT / "docs" / "examples" / "tests"
OURS = ("AIRFLOW", "PYTEST", "COV_")

pytestmark = pytest.mark.airflow


def run_them(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the tests in a folder that looks as the docs say: ``dags`` and ``tests`` side by side."""
    shutil.copytree(SHOWN, folder / "tests")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--show-capture=no", "-rA", "tests"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.nightly
def test_they_pass_with_the_example_dags(tmp_path) -> None:
    shutil.copytree(CHECKOUT / "example_dags", tmp_path / "dags")
    done = run_them(tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == len([*SHOWN.glob("test_*.py")])


@pytest.mark.nightly
def test_they_fail_with_dags_that_do_otherwise(tmp_path) -> None:
    shutil.copytree(CHECKOUT / "example_dags", tmp_path / "dags")
    replace(tmp_path / "dags" / "portable_failed_run.py", "contacts_loaded >> build_report()", "build_report()")
    replace(tmp_path / "dags" / "portable_run_flow.py", '["loaded"]', '["loaded"] + 1')
    done = run_them(tmp_path)
    assert done.returncode == 1, done.stdout
    assert "PASSED" not in done.stdout


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
