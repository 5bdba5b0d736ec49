"""The trigger that waits for a run in place of a deferred task."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import nullcontext, suppress
from typing import Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_flowruns.client.aio import SharedClient
from airflow_provider_flowruns.client.clock import Clock
from airflow_provider_flowruns.compat.versions import get_task_state
from airflow_provider_flowruns.metrics import ConnectionMetrics, Metric
from airflow_provider_flowruns.model.errors import FlowRunsError
from airflow_provider_flowruns.polling.messages import LogMessage
from airflow_provider_flowruns.polling.opening_lines import describe_takeover
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import Outcome, WaitResult
from airflow_provider_flowruns.services.registry import get_service
from airflow_provider_flowruns.tasks.outcomes import log_messages
from airflow_provider_flowruns.triggers.connection import async_settings
from airflow_provider_flowruns.triggers.events import build_event
from airflow_provider_flowruns.triggers.faults import describe_fault
from airflow_provider_flowruns.triggers.flow_run_finished import FlowRunFinishedTrigger
from airflow_provider_flowruns.triggers.log_lines import log_in_thread
from airflow_provider_flowruns.triggers.poll_loop import get_poll_loop
from airflow_provider_flowruns.triggers.standstill import get_standstill_detector

__all__ = ["FlowRunFinishedTrigger", "FlowRunTrigger"]

#: Timeout for cancelling the run, in seconds. Airflow allows 30.
_CANCEL_TIMEOUT_SECONDS = 20.0
#: For all waits that need no standstill detector.
_NO_DETECTOR = nullcontext()
#: Task states in which no other trigger or worker will wait for the run.
_FINISHED_TASK_STATES = frozenset({"failed", "success", "skipped", "upstream_failed", "removed"})


async def _await_despite_cancellation(work: Coroutine[Any, Any, None]) -> None:
    """Await a coroutine of bounded duration to its end: Airflow repeats its cancellation about once a second."""
    task = asyncio.create_task(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    task.result()


class FlowRunTrigger(BaseTrigger):
    """Wait for a run and fire one event with the result, see ``polling.wait_state.WaitResult``.

    The deadline and the freshness guards are absolute times, so a restart of the triggerer does not change them.

    :param conn_id: Airflow connection of the service. The trigger stores no secrets.
    :param waiter: the configuration and state of the wait as JSON, see ``polling.run_waiter.RunWaiter.to_json``.
    :param cancel_on_kill: cancel the run when the waiting task is marked failed or succeeded. Only for a run that the
        task itself started.
    """

    #: Range of the random delay before the first poll, in seconds. All waits start together after a restart of the
    #: triggerer, and an event before the scheduler has noticed the deferral, within 5 s, can fail the task.
    first_wait: ClassVar[tuple[float, float]] = (5.5, 8.0)

    def __init__(self, conn_id: str, waiter: str, cancel_on_kill: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.conn_id = conn_id
        self.cancel_on_kill = cancel_on_kill
        # The JSON until it is read, then the waiter: the text would be a quarter of the memory of a wait. Not read
        # here, because an exception here ends the triggerer, with all other triggers.
        self._waiter: str | RunWaiter = waiter

    def _read_waiter(self) -> RunWaiter:
        if isinstance(self._waiter, str):
            self._waiter = RunWaiter.from_json(self._waiter)
        return self._waiter

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments as plain JSON, with the wait as it is now."""
        waiter = self._waiter if isinstance(self._waiter, str) else self._waiter.to_json()
        return (
            "airflow_provider_flowruns.triggers.flow_run.FlowRunTrigger",
            {"conn_id": self.conn_id, "waiter": waiter, "cancel_on_kill": self.cancel_on_kill},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until the wait is over, then fire one event. After an unexpected exception, the event describes it."""
        try:
            result = await self._wait_for_result()
        except Exception as error:
            result = WaitResult(Outcome.UNOBSERVABLE, self._describe_failure(error))
            await asyncio.sleep(self.first_wait[0])
        # Nothing may follow: Airflow treats a trigger that continues after its event as killed.
        yield build_event(result.to_dict(), f"{result.outcome}: {result.reason}")

    async def _wait_for_result(self) -> WaitResult:
        waiter = self._read_waiter()
        service = waiter.config.target.service
        # Only a trigger that may cancel the run needs to know whether the event loop stood still.
        with get_standstill_detector() if self.cancel_on_kill else _NO_DETECTOR:
            async with SharedClient(service, self.conn_id, async_settings) as client:
                poll_loop = get_poll_loop(client, service, self.conn_id)
                waiter.share_durations(poll_loop.durations)
                first = self._draw_first_delay(waiter, Clock().now())
                text = describe_takeover(waiter.config, get_service(service).info.title, first)
                await log_in_thread(self.logger().info, "%s", text)
                return await poll_loop.wait_for_result(waiter, _log_messages, first)

    def _describe_failure(self, error: Exception) -> str:
        if isinstance(self._waiter, str):
            return (
                "the triggerer cannot read the saved wait, so the run is not monitored: install the same release of "
                "airflow-provider-flowruns on workers and triggerers, then clear the task"
            )
        return f"the wait failed, so the run is not monitored; {describe_fault(error)}"

    async def on_kill(self) -> None:
        """Cancel the run if the task started it and is finished, and log what was done."""
        if self.cancel_on_kill:
            await _await_despite_cancellation(self._cancel_run())
        else:
            text = "The run is left as it is: this task did not start it, or has cancel_on_kill=False"
            await _await_despite_cancellation(log_in_thread(self.log.info, text))

    async def _cancel_run(self) -> None:
        state = await get_task_state(self.task_instance)
        if state not in _FINISHED_TASK_STATES:
            # Cleared, or moved to another triggerer.
            text = "The task is not finished (%s), so its run keeps running for it"
            await log_in_thread(self.log.info, text, state or "cleared")
            return
        try:
            target = self._read_waiter().target
        except Exception as error:
            text = "The task's run is not cancelled and may keep running: %s"
            await log_in_thread(self.log.warning, text, self._describe_failure(error))
            return
        if reason := self._get_reason_not_to_cancel():
            text = "The task is finished (%s), but its %s is not cancelled: %s. If it is not needed, cancel it by hand"
            await log_in_thread(self.log.warning, text, state, target, reason)
            return
        try:
            async with (
                asyncio.timeout(_CANCEL_TIMEOUT_SECONDS),
                SharedClient(target.service, self.conn_id, async_settings) as client,
            ):
                answer = await client.cancel(target)
                if metrics := ConnectionMetrics.create(target.service, self.conn_id):
                    await asyncio.to_thread(metrics.increment, Metric.CANCELS)
        except (FlowRunsError, TimeoutError) as error:
            await log_in_thread(self.log.warning, "Could not cancel %s, it may keep running: %s", target, error)
        else:
            await log_in_thread(self.log.info, "%s", answer)

    def _get_reason_not_to_cancel(self) -> str | None:
        """Return why the task may have finished without being killed, None if it must have been killed.

        A triggerer that took the trigger over from one that stood still may have ended the wait, and with it the task.
        """
        if Clock().now() >= self._read_waiter().config.deadline_at:
            return "the deadline of the wait has passed, so the task may have timed out"
        if (seconds := get_standstill_detector().get_recent_seconds()) is not None:
            return f"this triggerer stood still for {seconds:.0f} s, so another one may have ended the wait"
        return None

    def _draw_first_delay(self, waiter: RunWaiter, now: float) -> float:
        earliest, latest = self.first_wait
        # An old wait was moved here from another triggerer, together with many others.
        spread = max(latest - earliest, waiter.next_poll(now))
        return min(max(0.0, waiter.deadline - now), earliest + random.random() * spread)


def _log_messages(messages: tuple[LogMessage, ...]) -> None:
    # One logger for all triggers: the objects of an own logger would be a quarter of the memory of a wait.
    log_messages(FlowRunTrigger.logger(), messages)
