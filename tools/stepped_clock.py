"""A clock that moves only on request, so that neither the demo nor a test depends on how fast the machine is."""

from __future__ import annotations

import time


class SteppedClock:
    """A clock for the sandbox that stands still until it is advanced. Runs keep their status until then.

    :param behind_seconds: how far in the past it starts. It can be advanced by this much without leaving the present.
    """

    def __init__(self, behind_seconds: float) -> None:
        self._now = time.time() - behind_seconds
        self._is_released = False

    def __call__(self) -> float:
        """Return the time in epoch seconds."""
        return time.time() if self._is_released else self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self._now += seconds

    def release(self) -> None:
        """Jump to the present, and go on like any clock."""
        self._is_released = True
