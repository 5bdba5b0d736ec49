"""Wall time for the drivers of a wait."""

from __future__ import annotations

import time


class Clock:
    """Unix time that does not jump while a process lives.

    Deadlines are wall time, because they outlive a process; within one they must not move when the wall clock is set.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Return the Unix time in seconds."""
        return time.monotonic() + self._offset
