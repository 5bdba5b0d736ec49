"""A command as a process of its own, whose output is read line by line."""

from __future__ import annotations

import subprocess  # ruff: ignore[suspicious-subprocess-import]
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil


class Command:
    """A running command.

    :param arguments: the command.
    :param cwd: the folder in which it runs.
    :param env: its environment.
    """

    def __init__(self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            arguments, cwd=cwd, env=dict(env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []

    @property
    def text(self) -> str:
        """What it has printed so far."""
        return "\n".join(self.lines)

    def read_until(self, condition: Callable[[str], object]) -> None:
        """Read its output until a line fulfils a condition; fails if it ends before."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if condition(self.lines[-1]):
                return
        raise AssertionError(f"the command ended:\n{self.text}")

    def list_descendants(self) -> list[psutil.Process]:
        """Return everything that it has started and is running."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def send_and_wait(self, number: int) -> int:
        """Send it a signal, read the rest of its output, and return its exit status."""
        self.process.send_signal(number)
        assert self.process.stdout
        self.lines += self.process.stdout.read().splitlines()
        return self.process.wait()

    def close(self) -> None:
        """Kill it, if it is running."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()
