"""Keep what was read of a connection for a while, and read it once however many ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from airflow_provider_flowruns.client.sync_transport import run_in_thread

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass
class _Entry(Generic[V]):
    """A reading: its result, and when it will be out of date, None while it is in progress."""

    future: Future[V] = field(default_factory=Future)
    expires_at: float | None = None


class ReadingCache(Generic[K, V]):
    """Reads values in threads and keeps each for a while. Threads may share it.

    :param read: reads the value of a key. An exception is kept like a value.
    :param keep_seconds: how long a value is kept after it was read.
    :param max_readings: maximum number of readings at a time.
    :param clock: returns monotonic seconds.
    """

    def __init__(
        self,
        read: Callable[[K], V],
        *,
        keep_seconds: float,
        max_readings: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._slots = threading.Semaphore(max_readings)
        self._entries: dict[K, _Entry[V]] = {}

    def get(self, key: K) -> Future[V]:
        """Return a value that is kept, or the reading that is in progress, or that of a new reading.

        :param key: the key of the value.
        """
        with self._lock:
            self._remove_expired()
            if entry := self._entries.get(key):
                return entry.future
            entry = self._entries[key] = _Entry()
        run_in_thread("flowruns-page", self._fill, key, entry)
        return entry.future

    def _fill(self, key: K, entry: _Entry[V]) -> None:
        try:
            with self._slots:
                value = self._read(key)
        except BaseException as error:
            self._set_expiry(entry)
            entry.future.set_exception(error)
        else:
            self._set_expiry(entry)
            entry.future.set_result(value)

    def _set_expiry(self, entry: _Entry[V]) -> None:
        with self._lock:
            entry.expires_at = self._clock() + self._keep_seconds

    def _remove_expired(self) -> None:
        now = self._clock()
        for key in [key for key, entry in self._entries.items() if entry.expires_at is not None]:
            expires_at = self._entries[key].expires_at
            if expires_at is not None and expires_at <= now:
                del self._entries[key]
