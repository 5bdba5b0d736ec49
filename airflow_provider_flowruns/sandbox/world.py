"""What all parts of one sandbox share: the lock, the clock, the ledger and the address."""

from __future__ import annotations

import math
import secrets
import string
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from airflow_provider_flowruns.sandbox.ledger import Ledger

_ALPHANUMERIC = string.ascii_letters + string.digits
_TOLERANCE = 0.001


@dataclass
class World:
    """The shared state of one sandbox. Two sandboxes never share a world.

    :param clock: gives the time as epoch seconds.
    :param ledger: where requests, starts and cancellations are written down.
    :param lock: guards all state; the test's thread and the server's loop both take it.
    :param address: scheme, host and port while the server runs, else None.
    """

    clock: Callable[[], float]
    ledger: Ledger
    lock: threading.RLock
    address: str | None = field(default=None)

    @property
    def url(self) -> str:
        """Scheme, host and port of the running server.

        :raises RuntimeError: when the server is not running.
        """
        if self.address is None:
            raise RuntimeError("The sandbox is not running: call start() or use it in a with block.")
        return self.address


def whole_milliseconds(moment: float) -> float:
    """Cut an epoch time to milliseconds, the precision in which the services store times."""
    # The tolerance keeps a time that is whole already from losing a millisecond to binary fractions.
    return math.floor(moment * 1000 + _TOLERANCE) / 1000


def iso_time(moment: float) -> str:
    """Write an epoch time as ISO 8601 in UTC with milliseconds and ``Z``."""
    return datetime.fromtimestamp(round(moment, 3), tz=UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def random_id(length: int) -> str:
    """Make an id of so many letters and digits."""
    return "".join(secrets.choice(_ALPHANUMERIC) for _ in range(length))
