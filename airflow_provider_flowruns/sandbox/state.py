"""State shared by all parts of one sandbox: the lock, the clock, the ledger and the address."""

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
_ROUNDING_TOLERANCE = 0.001


@dataclass
class SandboxState:
    """The state that the services of one sandbox share. Two sandboxes never share it.

    :param clock: returns the time in epoch seconds.
    :param ledger: records requests, starts and cancellations.
    :param lock: guards all state; both the test's thread and the server's event loop take it.
    :param address: scheme, host and port while the server is running, else None.
    """

    clock: Callable[[], float]
    ledger: Ledger
    lock: threading.RLock
    address: str | None = field(default=None)

    @property
    def url(self) -> str:
        """Scheme, host and port of the running server.

        :raises RuntimeError: the server is not running.
        """
        if self.address is None:
            raise RuntimeError("The sandbox is not running: call start() or use it in a with block.")
        return self.address


def floor_to_milliseconds(seconds: float) -> float:
    """Round an epoch time down to milliseconds, the precision in which the services store times."""
    # Without the tolerance, binary fractions would cost a time that is already whole one millisecond.
    return math.floor(seconds * 1000 + _ROUNDING_TOLERANCE) / 1000


def format_time(seconds: float) -> str:
    """Format an epoch time as ISO 8601 in UTC with milliseconds and ``Z``."""
    return datetime.fromtimestamp(round(seconds, 3), tz=UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def make_random_id(length: int) -> str:
    """Return a random id of this number of letters and digits."""
    return "".join(secrets.choice(_ALPHANUMERIC) for _ in range(length))
