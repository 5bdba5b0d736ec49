"""The sandbox's record of the requests it received, independent of the code under test."""

from __future__ import annotations

import re
import threading
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

MAX_RECORDED_BODY_BYTES = 64 * 1024
"""Maximum number of bytes recorded per request body."""


@dataclass(frozen=True)
class RecordedRequest:
    """One request as received.

    :param time: time of arrival in epoch seconds.
    :param service: ``portable``, ``activepieces``, ``tableflow``, or ``unknown`` outside the three prefixes.
    :param method: HTTP method in upper case.
    :param path: path as sent (with the service prefix, percent-encoding unchanged), without the query string.
    :param query: decoded query parameters in the order sent.
    :param headers: headers by lower-case name; the last one if a name was repeated.
    :param body: the first 64 KiB of the body, as far as it was read.
    :param body_size: number of bytes read from the body.
    :param status: status of the response; None while it is in progress, and if none was sent.
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
    :param flow_id: id of the flow, in the type that the service uses.
    :param run_id: id of the run, in the type that the service uses.
    :param time: epoch seconds.
    """

    service: str
    flow_id: int | str
    run_id: int | str
    time: float


class Ledger:
    """All requests to the sandbox, and all runs that they started or cancelled.

    :param lock: the sandbox's lock.
    :param capacity: maximum number of requests (and starts, and cancellations); the oldest are dropped first.
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
        """The recorded requests, oldest first. A request is recorded when it arrives."""
        with self._lock:
            return list(self._requests.values())

    @property
    def started(self) -> list[RunEvent]:
        """Runs started through the APIs, retries included, oldest first. Scheduled runs are not recorded."""
        with self._lock:
            return list(self._started)

    @property
    def canceled(self) -> list[RunEvent]:
        """Runs cancelled by a cancel request, oldest first."""
        with self._lock:
            return list(self._canceled)

    @property
    def connections_opened(self) -> int:
        """Number of TCP connections accepted since the start or the last :meth:`clear`."""
        with self._lock:
            return self._connections

    def count(self, service: str | None = None, method: str | None = None, path: str | None = None) -> int:
        """Count the matching requests.

        :param service: name of the service, or None for any.
        :param method: HTTP method in upper or lower case, or None for any.
        :param path: regular expression to search for in the path, or None for any.
        """
        return sum(
            1
            for request in self.requests
            if (service is None or request.service == service)
            and (method is None or request.method == method.upper())
            and (path is None or re.search(path, request.path))
        )

    def clear(self) -> None:
        """Remove all records."""
        with self._lock:
            self._requests.clear()
            self._started.clear()
            self._canceled.clear()
            self._connections = 0

    def record_connection(self) -> None:
        """Record an accepted TCP connection."""
        with self._lock:
            self._connections += 1

    def record_started(self, service: str, flow_id: int | str, run_id: int | str, time: float) -> None:
        """Record a run that was started through an API.

        :param service: name of the service.
        :param flow_id: id of the flow, in the type that the service uses.
        :param run_id: id of the run, in the type that the service uses.
        :param time: epoch seconds.
        """
        with self._lock:
            self._started.append(RunEvent(service, flow_id, run_id, time))

    def record_canceled(self, service: str, flow_id: int | str, run_id: int | str, time: float) -> None:
        """Record a run that was cancelled through an API.

        :param service: name of the service.
        :param flow_id: id of the flow, in the type that the service uses.
        :param run_id: id of the run, in the type that the service uses.
        :param time: epoch seconds.
        """
        with self._lock:
            self._canceled.append(RunEvent(service, flow_id, run_id, time))

    def record_arrival(self, request: RecordedRequest) -> int:
        """Record a request that has just arrived.

        :param request: the request.
        :return: the key for :meth:`record_response`.
        """
        with self._lock:
            key = self._next_key
            self._next_key += 1
            self._requests[key] = request
            if len(self._requests) > self._capacity:
                del self._requests[next(iter(self._requests))]
            return key

    def record_response(self, key: int, request: RecordedRequest) -> None:
        """Replace the record of a request with its final version, unless it has been removed.

        :param key: the result of :meth:`record_arrival`.
        :param request: the request.
        """
        with self._lock:
            if key in self._requests:
                self._requests[key] = request
