"""Say what is going on, and for how long: a line at the start of a step, at its end, and every few seconds between.

Run as a script, it does so for a command: ``python tools/progress.py SUBJECT TEXT COMMAND...``. It needs nothing but
Python, because ``make`` uses it before anything is installed.
"""

from __future__ import annotations

import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

#: Nobody waits longer than this for a sign of life.
INTERVAL_SECONDS = 15.0
SUBJECT_WIDTH = 10


def print_progress(subject: str, text: str) -> None:
    """Print one line of progress.

    :param subject: what it is about, as the first column.
    :param text: what is happening.
    """
    print(f"{subject:<{SUBJECT_WIDTH}} {text}", flush=True)


class Step:
    """Something that takes time, as a ``with`` block.

    :param subject: what it is about, as the first column.
    :param text: what is happening.
    :param describe: returns what the step is waiting for at the moment, "" for nothing in particular.
    :param interval: seconds between two lines.
    """

    def __init__(
        self,
        subject: str,
        text: str,
        *,
        describe: Callable[[], str] = lambda: "",
        interval: float = INTERVAL_SECONDS,
    ) -> None:
        self._subject = subject
        self._text = text
        self._describe = describe
        self._interval = interval
        self._result = "done"
        self._started_at = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._report, name="progress", daemon=True)

    def __enter__(self) -> Self:
        print_progress(self._subject, f"{self._text} ...")
        self._started_at = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        result = self._result if kind is None else "stopped" if not issubclass(kind, Exception) else "failed"
        print_progress(self._subject, f"{result} after {self._measure()}")

    def finish(self, result: str) -> None:
        """Set what the line at the end says in place of "done"."""
        self._result = result

    def _report(self) -> None:
        while not self._ended.wait(self._interval):
            awaited = self._describe()
            detail = f"; waiting for {awaited}" if awaited else ""
            print_progress(self._subject, f"still {self._text}, {self._measure()}{detail}")

    def _measure(self) -> str:
        return f"{time.monotonic() - self._started_at:.0f} s"


def run(subject: str, text: str, command: Sequence[str]) -> int:
    """Run a command as a step and return its exit status."""
    with Step(subject, text) as step:
        status = subprocess.run(command, check=False).returncode
        if status:
            step.finish("failed")
    return status


if __name__ == "__main__":
    try:
        sys.exit(run(sys.argv[1], sys.argv[2], sys.argv[3:]))
    except KeyboardInterrupt:
        sys.exit(130)
