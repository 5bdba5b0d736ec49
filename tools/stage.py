"""Runs that go on only when they were seen: no demo and no test has to guess how long a busy machine takes."""

from __future__ import annotations

import time


class SteppedClock:
    """A sandbox's clock that stands still until it is moved, so that a run stays as it is until somebody saw it.

    :param behind: it starts so many seconds in the past, to be moved without leaving the present.
    """

    def __init__(self, behind: float) -> None:
        self._now = time.time() - behind

    def __call__(self) -> float:
        """Return the time as epoch seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let so much time pass."""
        self._now += seconds
