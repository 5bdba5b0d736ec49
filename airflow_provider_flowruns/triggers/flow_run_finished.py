"""The trigger of an asset watcher: it fires whenever a run of a flow has ended."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_flowruns.client.aio import SharedClient
from airflow_provider_flowruns.compat.state_stores import get_asset_stores
from airflow_provider_flowruns.compat.versions import get_base_event_trigger
from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.model.runs import Disposition, RunSummary
from airflow_provider_flowruns.polling import flow_watcher as following
from airflow_provider_flowruns.polling.flow_watcher import CompletedRuns, FlowWatcher
from airflow_provider_flowruns.services.registry import get_service
from airflow_provider_flowruns.tasks.arguments import parse_seconds
from airflow_provider_flowruns.tasks.outcomes import log_messages
from airflow_provider_flowruns.triggers.connection import async_settings
from airflow_provider_flowruns.triggers.cursor import CursorStore, TakenOver
from airflow_provider_flowruns.triggers.faults import describe_fault
from airflow_provider_flowruns.triggers.poll_loop import get_poll_loop

if TYPE_CHECKING:
    from airflow.triggers.base import BaseEventTrigger
else:
    BaseEventTrigger = get_base_event_trigger()

#: Shorter polling intervals are refused: Airflow takes some seconds to start a DAG anyway.
MIN_POLL_INTERVAL_SECONDS = 5.0

# The scheduler starts one DAG run for an asset at its next turn, whatever comes until then, and hands over only the
# events up to the first one; later ones wait for the next event. So each event gets a turn of the scheduler of its
# own: the two pauses below lie between two events.

#: Seconds before an event. Airflow takes up to three to end the watchers of a triggerer that stood still and was
#: replaced: they must not fire first.
_CHECK_AFTER_SECONDS = 3.0
#: Seconds after an event before it counts as delivered: Airflow takes up to two to write it down. Killed before that,
#: the watcher fires again, because a run that started no DAG is worse than one that started two.
_DELIVERED_AFTER_SECONDS = 3.0
#: A pause that took this many seconds longer than planned says that the triggerer stood still.
_STANDSTILL_SECONDS = 5.0
#: Number of groups that the ends of one poll are told in, so that any number of them is told within two minutes.
_MAX_GROUPS = 20
_OUTCOMES = tuple(str(one) for one in (Disposition.SUCCEEDED, Disposition.FAILED, Disposition.CANCELED))


class _InvalidWatcher(InvalidArgumentError, TypeError):
    """An argument of a watcher cannot be right.

    A ``TypeError``, because a triggerer passes over a trigger whose constructor raises that; anything else ends it,
    with all other triggers. It can come to that when triggerer and DAG processor have different releases installed.
    """


class FlowRunFinishedTrigger(BaseEventTrigger):
    """Fire an event for every run of a flow that ends, once a run; for an ``AssetWatcher`` (Airflow 3.0 and newer).

    The payload is the run's summary, see ``model.runs.FlowRun.summary``. What had ended before the watcher's first
    look is no news. Ends that are seen together are events at least six seconds apart, so that each starts a DAG run;
    of more than twenty, several share one.

    On Airflow 3.3 it goes on after a restart where it left off, so that it misses no run; killed within seconds of an
    event it may fire that one again. Before 3.3 it starts anew: what ended meanwhile is missed.

    It reads the flow's newest runs (Portable ``GET /v2/flows/{id}/run``, Activepieces ``GET /api/v1/flow-runs``, which
    needs the connection's ``project_id``, TableFlow ``GET /v2/flows/runs``). All watchers and waits of a connection
    share one poll loop and its pool of HTTP connections. It never ends: when the flow cannot be read it says so in the
    triggerer's log and tries again.

    :param service: ``portable``, ``activepieces`` or ``tableflow``.
    :param flow_id: the flow's id.
    :param conn_id: Airflow connection of that type; the default is the service's own default id.
    :param outcomes: the ends that count, of ``SUCCEEDED``, ``FAILED`` and ``CANCELED``; one text or several.
    :param poll_interval: seconds or timedelta between two polls; 5 seconds at least.
    :raises InvalidArgumentError: at DAG parse, for an argument that cannot be right.
    """

    def __init__(
        self,
        service: str,
        flow_id: int | str,
        conn_id: str | None = None,
        outcomes: Iterable[str] = ("SUCCEEDED",),
        poll_interval: float | timedelta = 60.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        try:
            api = get_service(service)
            self.service = service
            self.flow_id = api.validate_flow_id(flow_id)
            self.conn_id = _parse_conn_id(conn_id) or api.info.default_conn_id
            self.outcomes = _parse_outcomes(outcomes)
            self.poll_interval = _parse_poll_interval(poll_interval)
        except InvalidArgumentError as error:
            raise _InvalidWatcher(*error.args) from None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, plain JSON; equal watchers have equal ones."""
        return (
            "airflow_provider_flowruns.triggers.flow_run.FlowRunFinishedTrigger",
            {
                "service": self.service,
                "flow_id": self.flow_id,
                "conn_id": self.conn_id,
                "outcomes": self.outcomes,
                "poll_interval": self.poll_interval,
            },
        )

    @property
    def state_key(self) -> str:
        """Under which name it keeps its place in the state store of its asset, which other watchers use too."""
        return " ".join(["flowruns", self.service, self.conn_id, self.flow_id, *self.outcomes])

    def watcher(self, saved: str | None) -> FlowWatcher:
        """Return what says which runs are news.

        :param saved: where an earlier one left off, None for a first look.
        """
        wanted = map(Disposition, self.outcomes)
        return FlowWatcher(self.service, self.flow_id, self.poll_interval, wanted, saved)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll for ever; fire an event for each run that has ended."""
        store = CursorStore(get_asset_stores(self), self.state_key, self.log)
        watcher = self._follow_from(await store.load())
        sleep = random.random() * min(self.poll_interval, 10.0)  # all watchers start together
        while True:
            ended = await self._next(watcher, sleep)
            try:
                for runs in _in_groups(ended.runs):
                    await _pause(_CHECK_AFTER_SECONDS)
                    await store.check()
                    for run in runs:
                        yield TriggerEvent(run)  # type: ignore[no-untyped-call]
                    await _pause(_DELIVERED_AFTER_SECONDS)
                    watcher.mark_delivered(runs)
                    await store.save(watcher.to_json())
                if not ended.runs:
                    await store.save(watcher.to_json())
            except TakenOver as other:
                self.log.info("Watcher %r: %s; going on from where that one is", self.state_key, other)
                watcher = self._follow_from(other.text)
                sleep = self.poll_interval  # the other one goes first, for as long as both are there
            else:
                sleep = watcher.sleep

    def _follow_from(self, saved: str | None) -> FlowWatcher:
        watcher = self.watcher(saved)
        if saved is not None and watcher.to_json() is None:
            text = "what it saved cannot be read; it starts anew, and what has ended meanwhile is missed"
            self.log.warning("Watcher %r: %s", self.state_key, text)
        return watcher

    async def _next(self, watcher: FlowWatcher, sleep: float) -> CompletedRuns:
        """Return what is new; whatever goes wrong, the watcher goes on."""
        while True:
            try:
                async with SharedClient(self.service, self.conn_id, async_settings) as client:
                    poll_loop = get_poll_loop(client, self.service, self.conn_id)
                    return await poll_loop.wait_for_result(watcher, partial(log_messages, self.log), sleep)
            except Exception as error:
                sleep = max(self.poll_interval, following.PERMANENT_ERROR_INTERVAL_SECONDS)
                self._log_fault(error, sleep)
                await asyncio.sleep(sleep)

    def _log_fault(self, error: Exception, seconds: float) -> None:
        self.log.error(
            "Flow %s cannot be polled, trying again in %.0f s: %s", self.flow_id, seconds, describe_fault(error)
        )


async def _pause(seconds: float) -> None:
    """Sleep, and once more if the triggerer stood still meanwhile.

    Then another one may have taken its watchers over, and it takes seconds until they are ended here.
    """
    while True:
        clocks = time.monotonic(), time.time()  # one of them stands still in a virtual machine that is paused
        await asyncio.sleep(seconds)
        if max(time.monotonic() - clocks[0], time.time() - clocks[1]) < seconds + _STANDSTILL_SECONDS:
            return


def _in_groups(runs: Sequence[RunSummary]) -> Iterator[Sequence[RunSummary]]:
    """Divide the ends of one poll into those that are told at a time: one by one, unless they are too many.

    The last one is always alone: the DAG run that it starts gets whatever no other has been handed.
    """
    size = max(1, math.ceil((len(runs) - 1) / (_MAX_GROUPS - 1)))
    for start in range(0, len(runs) - 1, size):
        yield runs[start : min(start + size, len(runs) - 1)]
    if runs:
        yield runs[-1:]


def _parse_conn_id(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and value.strip() and "{" not in value):
        return value
    raise InvalidArgumentError(
        f"conn_id must be the id of an Airflow connection, got {value!r}; a watcher renders no templates"
    )


def _parse_outcomes(value: Any) -> list[str]:
    try:
        words = [value] if isinstance(value, str) else list(value)
    except TypeError:
        words = []
    is_known = all(isinstance(word, str) and word.upper() in _OUTCOMES for word in words)
    if not words or not is_known or isinstance(value, Mapping):
        raise InvalidArgumentError(f"outcomes must be some of {', '.join(_OUTCOMES)}, got {value!r}")
    return sorted({str(word).upper() for word in words})


def _parse_poll_interval(value: Any) -> float:
    seconds = parse_seconds(value, argument="poll_interval")  # 60 and 60.0 are the same watcher
    if seconds < MIN_POLL_INTERVAL_SECONDS:
        raise InvalidArgumentError(
            f"poll_interval must be at least {MIN_POLL_INTERVAL_SECONDS:g} seconds, got {value!r}"
        )
    return seconds
