"""Measurements that need a process of their own: for its memory, its settings or a fresh start."""

from __future__ import annotations

import json
import os
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
import tempfile
from typing import Any


def run_in_new_process(module: str, *arguments: str) -> Any:
    """Run a module with an empty ``AIRFLOW_HOME``, and return what it printed last, as JSON.

    :param module: the module to run.
    :param arguments: its command line.
    """
    with tempfile.TemporaryDirectory(prefix="flowruns-bench-") as home:
        environment = {**os.environ, "AIRFLOW_HOME": home, "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}
        command = [sys.executable, "-m", module, *arguments]
        result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(result.stdout.splitlines()[-1])
