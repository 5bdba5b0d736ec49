"""Wall-clock time for whatever drives a wait."""

from __future__ import annotations

import time


class Clock:
    """Unix time that does not jump during the life of a process.

    Deadlines are wall-clock times, since they outlive a process; setting the clock must not move them within one.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Return the Unix time in seconds."""
        return time.monotonic() + self._offset
