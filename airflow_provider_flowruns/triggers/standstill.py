"""Detects that an event loop stood still: a paused machine, a stopped process, or a blocking call."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from weakref import WeakKeyDictionary

#: Seconds between two ticks.
TICK_SECONDS = 1.0
#: A tick that is late by this many seconds is a standstill. Airflow moves the triggers of a triggerer to another one
#: after 30 s without a heartbeat.
MIN_STANDSTILL_SECONDS = 10.0
#: Seconds after a standstill within which a killed trigger may have been taken over by another triggerer: at one of
#: the next heartbeats, Airflow kills triggers that were moved.
TAKEOVER_WINDOW_SECONDS = 120.0


class StandstillDetector:
    """Ticks in an event loop while it is in use as a context manager, and remembers the loop's last standstill.

    It reads both clocks, because the monotonic one may stop while a machine is paused. A wall clock that is set forward
    looks like a standstill, which is the safe error.
    """

    def __init__(self) -> None:
        self._users = 0
        self._timer: asyncio.TimerHandle | None = None
        self._ticked_at = _read_clocks()
        self._seconds = 0.0
        self._ended_at: float | None = None

    def __enter__(self) -> StandstillDetector:
        self._users += 1
        if self._users == 1:
            self._ticked_at = _read_clocks()
            self._set_timer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._measure()
        self._users -= 1
        if self._users == 0 and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def get_recent_seconds(self) -> float | None:
        """Return the length of a recent standstill in seconds, None if there was none."""
        if self._ended_at is None or time.monotonic() - self._ended_at > TAKEOVER_WINDOW_SECONDS:
            return None
        return self._seconds

    def _set_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        self._measure()
        self._set_timer()

    def _measure(self) -> None:
        now = _read_clocks()
        gap = max(after - before for before, after in zip(self._ticked_at, now, strict=True))
        self._ticked_at = now
        if gap - TICK_SECONDS >= MIN_STANDSTILL_SECONDS:
            self._seconds, self._ended_at = gap, time.monotonic()


def _read_clocks() -> tuple[float, float]:
    return time.monotonic(), time.time()


_detectors: WeakKeyDictionary[asyncio.AbstractEventLoop, StandstillDetector] = WeakKeyDictionary()


def get_standstill_detector() -> StandstillDetector:
    """Return the detector of the running event loop."""
    return _detectors.setdefault(asyncio.get_running_loop(), StandstillDetector())
