"""The poll loop: timers, tasks and futures around the scheduler, one for each event loop and connection."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextvars import Context
from itertools import chain
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

from airflow_provider_flowruns.client.aio import AsyncClient
from airflow_provider_flowruns.client.clock import Clock
from airflow_provider_flowruns.metrics import ConnectionMetrics
from airflow_provider_flowruns.model.errors import FlowRunsError
from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.model.targets import BatchResult, RunTarget, Target
from airflow_provider_flowruns.polling.durations import RunDurations
from airflow_provider_flowruns.polling.messages import LogMessage
from airflow_provider_flowruns.polling.polled_targets import BatchRule, PolledTarget
from airflow_provider_flowruns.polling.scheduler import Poll, PollScheduler, Seen
from airflow_provider_flowruns.services.registry import get_service
from airflow_provider_flowruns.triggers.history_reader import HistoryReader
from airflow_provider_flowruns.triggers.log_lines import log_in_thread
from airflow_provider_flowruns.triggers.loop_metrics import LoopMetrics
from airflow_provider_flowruns.triggers.waiter import PendingWait, Waiter

log = logging.getLogger(__name__)
R = TypeVar("R")

#: Maximum number of waits that take a response before control returns to the event loop.
MAX_STEPS_IN_A_ROW = 50


class PollLoop:
    """Polls for all waits that share a client.

    :param client: sends the requests.
    :param durations: learns from the polled runs how long runs take.
    :param metrics: reports what the loop does, None where Airflow's metrics are off.
    :param history: reads the durations of runs that polls do not show, None where they show them.
    """

    def __init__(
        self,
        client: AsyncClient,
        durations: RunDurations,
        metrics: ConnectionMetrics | None = None,
        history: HistoryReader | None = None,
    ) -> None:
        self.durations = durations
        self._client = client
        self._history = history
        self._clock = Clock()
        self._scheduler = PollScheduler(get_batch_rule, random.random)
        self._metrics = LoopMetrics(metrics, self._scheduler) if metrics else None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._tasks: set[asyncio.Task[None]] = set()
        # One response at a time: the steps of twenty responses in a row would block the event loop.
        self._delivery_lock = asyncio.Lock()
        # Lines about requests belong to no trigger. Without a trigger's context they go to the triggerer's own log.
        self._log_context = Context()

    async def wait_for_result(
        self, waiter: Waiter[R], log_messages: Callable[[tuple[LogMessage, ...]], None], first: float
    ) -> R:
        """Poll for a waiter until it has a result, and return the result.

        :param waiter: the waiter; only this loop may step it meanwhile.
        :param log_messages: logs the waiter's messages. It is called in a thread, with the caller's context, by which
            the triggerer finds the log of a trigger.
        :param first: seconds until the first poll; the waiter gets no response to a request sent before.
        """
        wait = PendingWait(waiter)
        self._scheduler.add(wait, waiter.target, first, self._clock.now())
        self._set_timer()
        if self._metrics:
            self._metrics.on_waits_changed()
        try:
            while True:
                await wait.wake_up
                await _log(log_messages, wait.take_messages())  # in no variable, which would live as long as the wait
                if wait.is_over:
                    return wait.get_result()
        finally:
            self._scheduler.remove(wait)
            if not len(self._scheduler):
                self._cancel_all()
            if self._metrics:
                self._metrics.on_waits_changed()

    def _cancel_all(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        self._scheduler.clear()
        self._set_timer()

    def _set_timer(self) -> None:
        wakeup = self._scheduler.next_wakeup()
        if self._timer is not None:
            if self._timer_at <= wakeup < math.inf:
                return  # an early call of _send_due does no harm
            self._timer.cancel()
        self._timer, self._timer_at = None, wakeup
        if wakeup < math.inf:
            delay = max(0.0, wakeup - self._clock.now())
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._send_due()

    def _send_due(self) -> None:
        self._send_all(self._scheduler.due(self._clock.now()))

    def _send_all(self, polls: Iterable[Poll]) -> None:
        for poll in polls:
            self._start_task(self._send(poll))
        self._set_timer()

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, poll: Poll) -> None:
        """Send a poll, and after it the next one that its result makes room for: a task for each takes time."""
        following: Poll | None = poll
        while following is not None:
            poll, following = following, None
            try:
                result = await self._request(poll)
                now = self._clock.now()
                seen = self._scheduler.on_result(poll, result, now)
            except Exception as error:  # a bug; without this its waits would never end
                self._fail(poll, error)
                now, seen = self._clock.now(), {}
            # Targets that became due meanwhile wait for the timer: they may share a request with those just polled.
            polls = self._scheduler.take_queued(now)
            vendor_offset = self._client.vendor_clock.offset_seconds
            if poll.is_batch or self._delivery_lock.locked() or poll.wait_count > MAX_STEPS_IN_A_ROW:
                self._send_all(polls)
                await self._deliver_in_pieces(poll, seen, vendor_offset)
                return
            following = polls.pop(0) if polls else None
            self._deliver(self._take_recipients(poll, seen, vendor_offset, now), seen, vendor_offset, now)
            self._send_all(polls)

    async def _request(self, poll: Poll) -> Seen | BatchResult:
        if log.isEnabledFor(logging.DEBUG):
            self._log_context.run(log.debug, "Polling %s", str(poll))
        result: Seen | BatchResult
        if self._metrics:
            self._metrics.on_sent(poll)
        if poll.is_batch:
            targets = [polled_target.target for polled_target in poll.targets]
            result = await self._client.poll_batch(targets, poll.required_count, self._scheduler.max_batch_size)
        else:
            result = await self._client.poll(poll.targets[0].target)
        if self._metrics:
            self._metrics.on_result(result, self._clock.now() - poll.sent_at)
        if not isinstance(result, FlowRunsError):
            self._learn(result)
        return result

    def _fail(self, poll: Poll, error: Exception) -> None:
        if self._metrics:
            self._metrics.on_error(error)
        for wait in poll.waits:
            cast("PendingWait[Any]", wait).fail(error)
        self._scheduler.on_failure(poll)

    def _learn(self, result: tuple[FlowRun, ...] | BatchResult) -> None:
        if isinstance(result, BatchResult):
            read, found = result.runs, tuple(chain.from_iterable(result.found.values()))
        else:
            read = found = result
        self.durations.learn(read)
        service_now = self._clock.now() + self._client.vendor_clock.offset_seconds
        if self._history and self._history.add(found, service_now):
            self._start_task(self._history.read_all())

    async def _deliver_in_pieces(self, poll: Poll, seen: dict[PolledTarget, Seen], vendor_offset: float) -> None:
        async with self._delivery_lock:
            waits = self._take_recipients(poll, seen, vendor_offset, self._clock.now())
            for start in range(0, len(waits), MAX_STEPS_IN_A_ROW):
                self._deliver(waits[start : start + MAX_STEPS_IN_A_ROW], seen, vendor_offset, self._clock.now())
                await asyncio.sleep(0)
        self._set_timer()

    def _take_recipients(
        self, poll: Poll, seen: dict[PolledTarget, Seen], vendor_offset: float, now: float
    ) -> Sequence[PendingWait[Any]]:
        waits = cast("list[PendingWait[Any]]", self._scheduler.take_recipients(poll, seen, now))
        if vendor_offset:
            self._warn_about_clock(waits)
        return waits

    def _deliver(
        self, waits: Sequence[PendingWait[Any]], seen: dict[PolledTarget, Seen], vendor_offset: float, now: float
    ) -> None:
        for wait in waits:
            if wait.is_over or not wait.is_scheduled:
                continue
            waiter = wait.waiter
            waiter.vendor_offset = vendor_offset
            try:
                step = waiter.step(seen[wait.polled_target], now)
                if step.result is None:
                    wait.deadline = waiter.deadline
                    self._scheduler.reschedule(wait, waiter.target, step.wait, now)
                elif self._metrics:
                    self._metrics.on_runs_ended(waiter.measure_delays(now))
                if step.messages or step.result is not None:
                    wait.on_news(step)
            except Exception as error:
                wait.fail(error)

    def _warn_about_clock(self, waits: Sequence[PendingWait[Any]]) -> None:
        """Let one of the waits warn if the service's clock is wrong."""
        wait = next((wait for wait in waits if not wait.is_over), None)
        if wait and (text := self._client.vendor_clock.warning()):
            wait.warn(text)


async def _log(log_messages: Callable[[tuple[LogMessage, ...]], None], messages: tuple[LogMessage, ...]) -> None:
    if messages:
        await log_in_thread(log_messages, messages)


def get_batch_rule(target: Target) -> BatchRule:
    """Return how a target's service polls it together with others."""
    service = get_service(target.service)
    # The runs of starts have no ids yet, so they are always found in a list.
    by_id = service.info.batches_by_id and isinstance(target, RunTarget)
    return BatchRule(service.batch_key(target), service.info.min_batch_size, by_id)


#: By client. A poll loop refers to its client, so the client must not refer to its poll loop.
_poll_loops: WeakValueDictionary[AsyncClient, PollLoop] = WeakValueDictionary()
#: By service and connection. It outlives the clients, so that later waits profit from what earlier ones learned.
_durations: dict[tuple[str, str], RunDurations] = {}


def get_poll_loop(client: AsyncClient, service: str, conn_id: str) -> PollLoop:
    """Return the poll loop that all waits with a client share.

    :param client: the client that all users of a connection share in this event loop.
    :param service: registry name of the connection's service.
    :param conn_id: the connection's id.
    """
    poll_loop = _poll_loops.get(client)
    if poll_loop is None:
        # A service that reads each run from its flow's list shows the flow's other runs with every poll.
        is_batched = get_service(service).info.min_batch_size > 1
        durations = _durations.get((service, conn_id))
        if durations is None:
            durations = _durations[service, conn_id] = RunDurations(is_batched=is_batched)
        history = HistoryReader(service, client, durations) if is_batched else None
        metrics = ConnectionMetrics.create(service, conn_id)
        poll_loop = _poll_loops[client] = PollLoop(client, durations, metrics, history)
    return poll_loop
