"""The sandbox's own record of what was sent to it: an independent witness for tests."""

from __future__ import annotations

import re
import threading
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

BODY_KEPT = 64 * 1024
"""So many bytes of a request's body are kept."""


@dataclass(frozen=True)
class RecordedRequest:
    """One request as it arrived.

    :param time: epoch seconds of its arrival.
    :param service: ``portable``, ``activepieces``, ``tableflow``, or ``unknown`` outside the three prefixes.
    :param method: HTTP method in upper case.
    :param path: path as it was sent (service prefix included, percent-encoding untouched), without the query.
    :param query: decoded query parameters in the order sent.
    :param headers: headers by lower-case name; the last one wins where a name was repeated.
    :param body: the first 64 KiB of the body, as far as it was read.
    :param body_size: bytes of the body that were read.
    :param status: status of the answer; None while it is being made, and when none was given.
    :param connection: number of the TCP connection; equal numbers mean the same connection.
    :param fault: kind of the fault that was applied, or None.
    """

    time: float
    service: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    body: bytes
    body_size: int
    status: int | None
    connection: int
    fault: str | None


class RunEvent(NamedTuple):
    """A run that was started or cancelled through the API.

    :param service: name of the service.
    :param flow_id: id of the flow, in the service's own type.
    :param run_id: id of the run, in the service's own type.
    :param time: epoch seconds.
    """

    service: str
    flow_id: int | str
    run_id: int | str
    time: float


class Ledger:
    """What was sent to the sandbox, and what it really started and cancelled.

    :param lock: the sandbox's lock.
    :param capacity: so many requests (and starts, and cancellations) are kept; the oldest are dropped first.
    """

    def __init__(self, lock: threading.RLock, capacity: int) -> None:
        self._lock = lock
        self._capacity = capacity
        self._requests: dict[int, RecordedRequest] = {}
        self._started: deque[RunEvent] = deque(maxlen=capacity)
        self._canceled: deque[RunEvent] = deque(maxlen=capacity)
        self._next_key = 0
        self._connections = 0

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests kept, oldest first. A request is here from its arrival on."""
        with self._lock:
            return list(self._requests.values())

    @property
    def started(self) -> list[RunEvent]:
        """Runs that the APIs accepted (retries included), oldest first. Scheduled runs are not among them."""
        with self._lock:
            return list(self._started)

    @property
    def canceled(self) -> list[RunEvent]:
        """Runs that a cancel request really cancelled, oldest first."""
        with self._lock:
            return list(self._canceled)

    @property
    def connections_opened(self) -> int:
        """Number of TCP connections accepted since the start or the last :meth:`clear`."""
        with self._lock:
            return self._connections

    def count(self, service: str | None = None, method: str | None = None, path: str | None = None) -> int:
        """Count the requests that match.

        :param service: name of the service, or None for any.
        :param method: HTTP method in any case, or None for any.
        :param path: regular expression searched in the path, or None for any.
        """
        return sum(
            1
            for request in self.requests
            if (service is None or request.service == service)
            and (method is None or request.method == method.upper())
            and (path is None or re.search(path, request.path))
        )

    def clear(self) -> None:
        """Forget everything recorded so far."""
        with self._lock:
            self._requests.clear()
            self._started.clear()
            self._canceled.clear()
            self._connections = 0

    def note_connection(self) -> None:
        """Write down that a TCP connection was accepted."""
        with self._lock:
            self._connections += 1

    def note_started(self, service: str, flow_id: int | str, run_id: int | str, time: float) -> None:
        """Write down a run that an API accepted.

        :param service: name of the service.
        :param flow_id: id of the flow, in the service's own type.
        :param run_id: id of the run, in the service's own type.
        :param time: epoch seconds.
        """
        with self._lock:
            self._started.append(RunEvent(service, flow_id, run_id, time))

    def note_canceled(self, service: str, flow_id: int | str, run_id: int | str, time: float) -> None:
        """Write down a run that was really cancelled.

        :param service: name of the service.
        :param flow_id: id of the flow, in the service's own type.
        :param run_id: id of the run, in the service's own type.
        :param time: epoch seconds.
        """
        with self._lock:
            self._canceled.append(RunEvent(service, flow_id, run_id, time))

    def note_arrival(self, request: RecordedRequest) -> int:
        """Write down a request that has just arrived.

        :return: the key with which :meth:`note_answer` completes the record.
        """
        with self._lock:
            key = self._next_key
            self._next_key += 1
            self._requests[key] = request
            if len(self._requests) > self._capacity:
                del self._requests[next(iter(self._requests))]
            return key

    def note_answer(self, key: int, request: RecordedRequest) -> None:
        """Replace the record of a request by its final form, unless it was cleared or dropped meanwhile.

        :param key: what :meth:`note_arrival` gave.
        """
        with self._lock:
            if key in self._requests:
                self._requests[key] = request
