"""What is called exact is the same whenever it is counted."""

from __future__ import annotations

import os
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from pathlib import Path

from benchmarks.requests_per_round import CASES, count_requests

SHARED = next(case for case in CASES if case.targets < 100)
PROGRAM = """
from benchmarks.requests_per_round import CASES, count_requests
print(*(count_requests(case) for case in CASES if case.targets < 100))
"""


def test_waits_for_one_flow_share_its_requests() -> None:
    """The interval and the latency are a little more than a round."""
    assert SHARED.targets * 0.9 < count_requests(SHARED) <= SHARED.targets


def test_the_count_does_not_depend_on_the_process() -> None:
    """The order of a set of texts does."""
    counts = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).resolve().parents[3],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert counts == {f"{count_requests(SHARED)}\n"}
