"""What a user's type checker says about their files, with its strictest settings and not those of this repository."""

from __future__ import annotations

import json
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from pathlib import Path
from typing import Any

CACHE = Path(__file__).resolve().parents[1] / ".cache" / "mypy-of-users"

PYRIGHT_SETTINGS = {
    "typeCheckingMode": "strict",
    "reportMissingTypeStubs": False,  # Airflow's providers ship no type information
    "reportUnusedExpression": False,  # "one >> other" is how Airflow puts tasks in order
}


def run_mypy(folder: Path) -> list[str]:
    """Return what mypy says about the modules of a folder."""
    options = ["--strict", "--config-file=", "--no-error-summary", f"--cache-dir={CACHE}"]
    command = [sys.executable, "-m", "mypy", *options, *list_modules(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()


def run_pyright(folder: Path) -> list[dict[str, Any]]:
    """Return the errors that pyright finds in the modules of a folder. It runs on Node, and needs no network."""
    (folder / "pyrightconfig.json").write_text(json.dumps(PYRIGHT_SETTINGS))
    options = ["--outputjson", "--pythonpath", sys.executable]
    command = [sys.executable, "-m", "pyright", *options, *list_modules(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found: list[dict[str, Any]] = json.loads(done.stdout)["generalDiagnostics"]
    return [one for one in found if one["severity"] == "error"]


def list_modules(folder: Path) -> list[str]:
    """Return the names of the modules of a folder."""
    return sorted(path.name for path in folder.glob("*.py"))
