"""The steps of a run, where the service shows them. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RunStep:
    """One step of a run.

    :param name: the step's name or id.
    :param title: the name people gave it, None where the service shows none.
    :param status: the service's own word, as sent.
    :param seconds: how long it took, None while it is unknown.
    :param error: the service's error text, None without one.
    """

    name: str
    title: str | None
    status: str
    seconds: float | None = None
    error: str | None = None

    def summary(self) -> dict[str, Any]:
        """Return the step as plain JSON."""
        return {
            "name": self.name,
            "title": self.title,
            "status": self.status,
            "seconds": self.seconds,
            "error": self.error,
        }
