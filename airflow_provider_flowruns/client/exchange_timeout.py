"""Limit the time of the exchanges of one event loop, with one timer for all of them."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import cast


class ExchangeTimeout:
    """How long each exchange may take; the same for all, so that they time out in the order in which they began.

    One timer for the first of them is enough. A timer for each would take a tenth of the processor time of an exchange.

    :param seconds: maximum for one exchange.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.loop = asyncio.get_running_loop()
        #: In the order in which they time out.
        self.running: dict[TimedExchange, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def set_timer(self) -> None:
        """Set the timer for the first exchange, unless it is set for an earlier one."""
        if self._timer is None:
            first = next(iter(self.running))
            self._timer = self.loop.call_at(first.ends_at, self._on_timer)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _on_timer(self) -> None:
        self._timer = None
        now = self.loop.time()
        for exchange in [*self.running]:
            if exchange.ends_at > now:
                self.set_timer()
                return
            del self.running[exchange]
            exchange.cancel()


class TimedExchange:
    """Raises :class:`TimeoutError` in the block of a ``with`` that takes too long, as ``asyncio.timeout`` does.

    :param timeout: how long it may take.
    """

    __slots__ = ("_cancelling_count", "_is_late", "_task", "_timeout", "ends_at")

    def __init__(self, timeout: ExchangeTimeout) -> None:
        self._timeout = timeout
        self._is_late = False

    def __enter__(self) -> None:
        timeout = self._timeout
        self._task = cast("asyncio.Task[object]", asyncio.current_task())
        self._cancelling_count = self._task.cancelling()
        self.ends_at = timeout.loop.time() + timeout.seconds
        timeout.running[self] = None
        timeout.set_timer()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timeout.running.pop(self, None)
        # The task may have been cancelled by someone else as well.
        if self._is_late and self._task.uncancel() <= self._cancelling_count and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def cancel(self) -> None:
        """Cancel it, because it takes too long."""
        self._is_late = True
        self._task.cancel()
