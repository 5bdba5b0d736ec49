"""Notices that an event loop stood still: a paused machine, a stopped process, a call that blocked it."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from weakref import WeakKeyDictionary

#: Seconds between two ticks.
TICK_SECONDS = 1.0
#: A tick that is later than this many seconds is a standstill: after 30 s of silence Airflow gives a triggerer's
#: triggers to another one.
MIN_STANDSTILL_SECONDS = 10.0
#: For this many seconds after a standstill a trigger may be one that another triggerer has taken over. Airflow tells
#: its first owner so by killing it, at one of its next heartbeats.
DOUBTFUL_SECONDS = 120.0


class StandstillDetector:
    """Ticks in an event loop while somebody is in its ``with`` block, and remembers when the loop last stood still.

    Both clocks count: a monotonic one may not go on while a machine is paused. A wall clock that is set forward looks
    like a standstill, which errs on the careful side.
    """

    def __init__(self) -> None:
        self._users = 0
        self._timer: asyncio.TimerHandle | None = None
        self._ticked_at = _clocks()
        self._length = 0.0
        self._over_at: float | None = None

    def __enter__(self) -> StandstillDetector:
        self._users += 1
        if self._users == 1:
            self._ticked_at = _clocks()
            self._arm()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._measure()
        self._users -= 1
        if self._users == 0 and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def recent_seconds(self) -> float | None:
        """Return for how many seconds the loop stood still lately; None when it did not."""
        if self._over_at is None or time.monotonic() - self._over_at > DOUBTFUL_SECONDS:
            return None
        return self._length

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        self._measure()
        self._arm()

    def _measure(self) -> None:
        now = _clocks()
        gap = max(after - before for before, after in zip(self._ticked_at, now, strict=True))
        self._ticked_at = now
        if gap - TICK_SECONDS >= MIN_STANDSTILL_SECONDS:
            self._length, self._over_at = gap, time.monotonic()


def _clocks() -> tuple[float, float]:
    return time.monotonic(), time.time()


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, StandstillDetector] = WeakKeyDictionary()


def standstill_detector() -> StandstillDetector:
    """Return the watch of the running event loop."""
    return _watches.setdefault(asyncio.get_running_loop(), StandstillDetector())
