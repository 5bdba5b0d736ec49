"""A step says what is happening at its start, at its end, and while it takes long."""

from __future__ import annotations

import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
import threading

import pytest

from tools import progress
from tools.progress import Step


class Output:
    """What is printed, and an event that a line with a text sets."""

    def __init__(self, awaited: str = "") -> None:
        self.lines: list[str] = []
        self.awaited = awaited
        self.seen = threading.Event()

    def print(self, subject: str, text: str) -> None:
        self.lines.append(f"{subject}: {text}")
        if self.awaited and self.awaited in text:
            self.seen.set()


def test_a_short_step_has_two_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output()
    monkeypatch.setattr(progress, "print_progress", output.print)
    with Step("Airflow", "starting") as step:
        step.finish("ready")
    first, last = output.lines
    assert first == "Airflow: starting ..."
    assert last.startswith("Airflow: ready after ")


def test_a_long_step_says_again_what_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output("waiting for the scheduler")
    monkeypatch.setattr(progress, "print_progress", output.print)
    with Step("Airflow", "starting", describe=lambda: "the scheduler", interval=0.01):
        assert output.seen.wait(60)
    assert output.lines[1].startswith("Airflow: still starting, ")
    assert output.lines[-1].startswith("Airflow: done after ")


@pytest.mark.parametrize(("error", "word"), [(ValueError, "failed"), (KeyboardInterrupt, "stopped")])
def test_a_step_that_does_not_end_says_so(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException], word: str
) -> None:
    output = Output()
    monkeypatch.setattr(progress, "print_progress", output.print)
    with pytest.raises(error), Step("Airflow", "starting"):
        raise error
    assert output.lines[-1].startswith(f"Airflow: {word} after ")


@pytest.mark.parametrize(("status", "word"), [(0, "done"), (3, "failed")])
def test_the_script_runs_a_command_and_needs_nothing_else(status: int, word: str) -> None:
    command = [sys.executable, "-c", f"raise SystemExit({status})"]
    # -S: without installed packages.
    done = subprocess.run(
        [sys.executable, "-S", progress.__file__, "venv", "making it", *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [["venv", "making"], ["venv", word]]
