"""A wait in the event loop: what the poll loop asks of a waiter, and how the wait's owner is woken up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar, cast

from airflow_provider_flowruns.model.errors import FlowRunsError
from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.model.targets import Target
from airflow_provider_flowruns.polling.messages import LogMessage
from airflow_provider_flowruns.polling.polled_targets import ScheduledWait

R_co = TypeVar("R_co", covariant=True)


class Step(Protocol[R_co]):
    """What a waiter says after a poll; see ``polling.run_waiter.NextAction``."""

    @property
    def wait(self) -> float:
        """Seconds until the next poll."""

    @property
    def result(self) -> R_co | None:
        """The result of the wait, None if it is not over."""

    @property
    def messages(self) -> tuple[LogMessage, ...]:
        """Lines for the log."""


class Waiter(Protocol[R_co]):
    """A state machine that waits; see ``polling.run_waiter.RunWaiter`` and ``polling.flow_watcher.FlowWatcher``."""

    @property
    def target(self) -> Target:
        """What to poll next."""

    @property
    def deadline(self) -> float:
        """Unix time of its last poll, even while the poll loop backs off."""

    @property
    def error_budget(self) -> float:
        """Seconds for which backing off may keep it from polling."""

    #: Seconds by which the service's clock is ahead of ours; set before each step.
    vendor_offset: float

    def step(self, seen: Sequence[FlowRun] | FlowRunsError, now: float) -> Step[R_co]:
        """Take the result of a poll.

        :param seen: the runs that were read, newest first, or the error that came instead.
        :param now: Unix time of the poll.
        """

    def measure_delays(self, now: float) -> Iterable[float]:
        """Return the seconds since the end of each run that the last step reported.

        :param now: Unix time of that step.
        """


class PendingWait(ScheduledWait, Generic[R_co]):
    """A waiter, when it is polled, and what its owner has not been told yet.

    One object for all of it: there are thousands of waits, and the garbage collector visits every object.

    :param waiter: the waiter.
    """

    __slots__ = ("_error", "_messages", "_result", "waiter", "wake_up")

    def __init__(self, waiter: Waiter[R_co]) -> None:
        super().__init__(waiter.deadline, waiter.error_budget)
        self.waiter = waiter
        self._messages: tuple[LogMessage, ...] = ()
        self._result: R_co | None = None
        self._error: Exception | None = None
        #: Done when there is something to tell the owner.
        self.wake_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_over(self) -> bool:
        """Whether it takes no more steps: it has a result or an error, or its owner was cancelled."""
        return self._result is not None or self._error is not None or self.wake_up.cancelled()

    def on_news(self, step: Step[R_co]) -> None:
        """Wake up the owner, because a step has messages or a result."""
        self._result = step.result
        self._messages += step.messages
        self._wake_up()

    def warn(self, text: str) -> None:
        """Let the owner log a warning."""
        self._messages += (LogMessage(text, is_warning=True),)
        self._wake_up()

    def fail(self, error: Exception) -> None:
        """End with an error, unless it is over."""
        if not self.is_over:
            self._error = error
            self._wake_up()

    def _wake_up(self) -> None:
        if not self.wake_up.done():
            self.wake_up.set_result(None)

    def take_messages(self) -> tuple[LogMessage, ...]:
        """Return the messages since the last call, and prepare the next wake-up."""
        messages, self._messages = self._messages, ()
        if not self.is_over:
            self.wake_up = asyncio.get_running_loop().create_future()
        return messages

    def get_result(self) -> R_co:
        """Return the result, or raise the error."""
        if self._error is not None:
            raise self._error
        return cast("R_co", self._result)
