"""Time in a worker that passes only while a task sleeps, so that tests of long waits take none."""

from __future__ import annotations

import pytest

from airflow_provider_flowruns.client import clock, sync
from airflow_provider_flowruns.operators import portable_runs
from airflow_provider_flowruns.tasks import polling, starting

START = 1_800_000_000.0


class TaskKilled(BaseException):
    """The worker process is killed."""


class WorkerTime:
    """Replaces the module ``time`` where tasks sleep and read the time; also the clock of a sandbox."""

    def __init__(self) -> None:
        self.now = START
        self.kill_at: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds that have passed."""
        return self.now - START

    def time(self) -> float:
        return self.now

    monotonic = time

    def sleep(self, seconds: float) -> None:
        if self.kill_at is not None and self.now + seconds >= self.kill_at:
            self.now, self.kill_at = self.kill_at, None
            raise TaskKilled
        self.now += seconds

    def kill_after(self, seconds: float) -> None:
        """Interrupt the sleep that reaches this time."""
        self.kill_at = self.now + seconds

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (clock, sync, polling, portable_runs, starting):
            monkeypatch.setattr(module, "time", self)
