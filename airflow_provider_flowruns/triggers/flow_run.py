"""The triggers: one waits for a run in a task's place, one tells an asset of every run that has ended."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import nullcontext, suppress
from functools import cached_property
from typing import Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_flowruns.client.aio import SharedClient
from airflow_provider_flowruns.client.clock import Clock
from airflow_provider_flowruns.compat.versions import get_task_state
from airflow_provider_flowruns.model.errors import FlowRunsError
from airflow_provider_flowruns.polling.messages import LogMessage
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import Outcome, WaitResult
from airflow_provider_flowruns.tasks.outcomes import log_messages
from airflow_provider_flowruns.triggers.connection import async_settings
from airflow_provider_flowruns.triggers.faults import describe_fault
from airflow_provider_flowruns.triggers.flow_run_finished import FlowRunFinishedTrigger
from airflow_provider_flowruns.triggers.poll_loop import get_poll_loop
from airflow_provider_flowruns.triggers.standstill import get_standstill_detector

__all__ = ["FlowRunFinishedTrigger", "FlowRunTrigger"]

#: Seconds for cancelling; Airflow allows 30.
_KILL_SECONDS = 20.0
#: States in which nobody will wait for the run any more.
_ENDED = frozenset({"failed", "success", "skipped", "upstream_failed", "removed"})


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Await a piece of work of bounded length through cancellations: core repeats its own at every turn, about 1 s."""
    task = asyncio.create_task(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    task.result()


class FlowRunTrigger(BaseTrigger):
    """Wait for a run and fire one event: the wait's verdict, see ``polling.run_waiter.WaitResult.to_dict``.

    It observes only. Its deadline and freshness guards are absolute, so a triggerer restart changes neither.

    :param conn_id: Airflow connection of the watched service; never its secrets.
    :param waiter: the wait so far, as JSON text (``polling.run_waiter.Watch.to_json``).
    :param cancel_on_kill: cancel the run when the waiting task is marked failed or succeeded; only for a run that the
        task itself started.
    """

    #: Seconds before the first look, at random: all waits start together after a triggerer restart, and an event that
    #: comes before the scheduler has noticed the deferral, which takes up to 5 s, can fail the task.
    first_wait: ClassVar[tuple[float, float]] = (5.5, 8.0)

    def __init__(self, conn_id: str, waiter: str, cancel_on_kill: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.conn_id = conn_id
        self.waiter = waiter
        self.cancel_on_kill = cancel_on_kill

    @cached_property
    def _wait_so_far(self) -> RunWaiter:
        # Not in the constructor: one that raises ends the whole triggerer, and with it all other triggers.
        return RunWaiter.from_json(self.waiter)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, which are plain texts."""
        return (
            "airflow_provider_flowruns.triggers.flow_run.FlowRunTrigger",
            {"conn_id": self.conn_id, "waiter": self.waiter, "cancel_on_kill": self.cancel_on_kill},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until the wait is over, then fire its verdict, once; whatever goes wrong, the task learns of it."""
        try:
            result = await self._until_over()
        except Exception as error:
            result = WaitResult(Outcome.UNOBSERVABLE, self._describe_failure(error))
            await asyncio.sleep(self.first_wait[0])
        # Nothing may follow: core takes a trigger that goes on after its event for a killed one.
        yield TriggerEvent(result.to_dict())  # type: ignore[no-untyped-call]

    async def _until_over(self) -> WaitResult:
        waiter = self._wait_so_far
        service = waiter.config.target.service
        # Only a trigger that may cancel has to know whether its loop stood still.
        with get_standstill_detector() if self.cancel_on_kill else nullcontext():
            async with SharedClient(service, self.conn_id, async_settings) as client:
                poll_loop = get_poll_loop(client, service, self.conn_id)
                waiter.durations = poll_loop.durations
                first_wait = self._first_wait(waiter, Clock().now())
                return await poll_loop.wait_for_result(waiter, _tell, first_wait)

    def _describe_failure(self, error: Exception) -> str:
        if "_wait_so_far" not in self.__dict__:
            return (
                "the triggerer cannot read the saved wait, so nobody watches the run: install one release of "
                "airflow-provider-flowruns on workers and triggerers alike, then clear the task"
            )
        return f"the wait broke off, so nobody watches the run; {describe_fault(error)}"

    async def on_kill(self) -> None:
        """Cancel the run if the task started it and is over; says what was done."""
        if self.cancel_on_kill:
            await _to_its_end(self._cancel_run())

    async def _cancel_run(self) -> None:
        state = await get_task_state(self.task_instance)
        if state not in _ENDED:
            # Cleared, or moved to another triggerer: whoever goes on with the task goes on with its run.
            self.log.info("The task is not over (%s); its run is left to whoever goes on with it", state or "cleared")
            return
        try:
            target = self._wait_so_far.target
        except Exception as error:
            self.log.warning("The task's run is not cancelled and may go on: %s", self._describe_failure(error))
            return
        if doubt := self._why_it_may_have_ended_elsewhere():
            self.log.warning(
                "The task is over (%s), but its %s is left alone: %s. If nobody needs the run, cancel it by hand",
                state,
                target,
                doubt,
            )
            return
        try:
            async with (
                asyncio.timeout(_KILL_SECONDS),
                SharedClient(target.service, self.conn_id, async_settings) as client,
            ):
                self.log.info("%s", await client.cancel(target))
        except (FlowRunsError, TimeoutError) as error:
            self.log.warning("%s could not be cancelled and may go on: %s", target, error)

    def _why_it_may_have_ended_elsewhere(self) -> str | None:
        """Return why a task that is over need not have been killed; None when it must have been.

        Whoever took the trigger over from a triggerer that stood still may have ended the wait, and with it the task.
        """
        if Clock().now() >= self._wait_so_far.config.deadline_at:
            return "its wait's time was over, so that it may have ended by itself"
        if (seconds := get_standstill_detector().get_recent_seconds()) is not None:
            return f"this triggerer stood still for {seconds:.0f} s, so that another one may have ended the wait"
        return None

    def _first_wait(self, waiter: RunWaiter, now: float) -> float:
        earliest, latest = self.first_wait
        # A wait that is old by now was taken over from another triggerer, with many others.
        spread = max(latest - earliest, waiter.next_poll(now))
        return min(max(0.0, waiter.deadline - now), earliest + random.random() * spread)


def _tell(messages: tuple[LogMessage, ...]) -> None:
    # One logger for all: with one for each wait, its objects would be a quarter of what a wait holds.
    log_messages(FlowRunTrigger.logger(), messages)
