"""The trigger of an asset watcher: it fires an event for each completed run of a flow."""

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
from airflow_provider_flowruns.polling import flow_watcher
from airflow_provider_flowruns.polling.flow_watcher import CompletedRuns, FlowWatcher
from airflow_provider_flowruns.services.registry import get_service
from airflow_provider_flowruns.tasks.arguments import parse_seconds
from airflow_provider_flowruns.tasks.outcomes import log_messages
from airflow_provider_flowruns.triggers.connection import async_settings
from airflow_provider_flowruns.triggers.cursor import CursorStore, TakenOver
from airflow_provider_flowruns.triggers.events import build_event
from airflow_provider_flowruns.triggers.faults import describe_fault
from airflow_provider_flowruns.triggers.log_lines import log_in_thread
from airflow_provider_flowruns.triggers.poll_loop import get_poll_loop

if TYPE_CHECKING:
    from airflow.triggers.base import BaseEventTrigger
else:
    BaseEventTrigger = get_base_event_trigger()

#: Minimum polling interval: Airflow takes some seconds to start a DAG anyway.
MIN_POLL_INTERVAL_SECONDS = 5.0

# In each iteration, Airflow's scheduler starts at most one DAG run for an asset, however many events arrived, and
# passes it only the events up to the first one. Later events wait for the next event. Therefore two pauses separate two
# events, so that each has an iteration of its own.

#: Pause before an event, in seconds. Airflow takes up to 3 s to stop the watchers of a triggerer that stood still and
#: was replaced, and they must not fire first.
_CHECK_AFTER_SECONDS = 3.0
#: Pause after an event until it counts as delivered, in seconds. Airflow takes up to 2 s to store it. If the watcher is
#: killed before, it fires the event again: a missed DAG run is worse than a second one.
_DELIVERED_AFTER_SECONDS = 3.0
#: A pause that was longer than planned by this many seconds means that the triggerer stood still.
_STANDSTILL_SECONDS = 5.0
#: Maximum number of groups in which the runs of one poll are reported, so that all are reported within two minutes.
_MAX_GROUPS = 20
_OUTCOMES = tuple(str(one) for one in (Disposition.SUCCEEDED, Disposition.FAILED, Disposition.CANCELED))


class _InvalidWatcher(InvalidArgumentError, TypeError):
    """Raised for an invalid argument of a watcher.

    It is a ``TypeError``, because a triggerer skips a trigger whose constructor raises that. Any other exception ends
    the triggerer with all its triggers. This can happen if triggerer and DAG processor have different releases.
    """


class FlowRunFinishedTrigger(BaseEventTrigger):
    """Fire one event for each completed run of a flow; for an ``AssetWatcher`` (Airflow 3.0 and newer).

    The payload is the run's summary with empty details, see ``model.runs.FlowRun.brief_summary``. Runs that completed
    before the watcher's first poll are not reported. The events of runs found by the same poll are at least six seconds
    apart, so that each starts a DAG run. If there are more than twenty, several runs share one DAG run.

    On Airflow 3.3, the watcher continues after a restart and misses no run. If it is killed within seconds of an event,
    it may fire that event again. Before 3.3, runs that complete during a restart are missed.

    It polls the flow's newest runs (Portable ``GET /v2/flows/{id}/run``, Activepieces ``GET /api/v1/flow-runs``, which
    needs the connection's ``project_id``, TableFlow ``GET /v2/flows/runs``). All watchers and waits of a connection
    share one poll loop and its pool of HTTP connections. The watcher never ends: if the flow cannot be polled, it logs
    the error in the triggerer's log and tries again.

    :param service: ``portable``, ``activepieces``, ``tableflow``, or a service of another package.
    :param flow_id: the flow's id.
    :param conn_id: Airflow connection of that type; by default the service's default connection id.
    :param outcomes: outcomes to report, of ``SUCCEEDED``, ``FAILED`` and ``CANCELED``; one string or several.
    :param poll_interval: interval between two polls as seconds or timedelta, at least 5 seconds.
    :raises InvalidArgumentError: at DAG parse time, for an invalid argument.
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
        """Return the class path and the arguments as plain JSON. Equal watchers have equal arguments."""
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
        """Name of its cursor in the asset's state store, which other watchers use too."""
        return " ".join(["flowruns", self.service, self.conn_id, self.flow_id, *self.outcomes])

    def watcher(self, saved: str | None) -> FlowWatcher:
        """Return the state machine that decides which runs to report.

        :param saved: the cursor of an earlier watcher, None to start with a first poll.
        """
        dispositions = map(Disposition, self.outcomes)
        return FlowWatcher(self.service, self.flow_id, self.poll_interval, dispositions, saved)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until cancelled, and fire an event for each completed run."""
        store = CursorStore(get_asset_stores(self), self.state_key, self.log)
        watcher = await self._continue_from(await store.load())
        sleep = random.random() * min(self.poll_interval, 10.0)  # all watchers start together
        while True:
            completed = await self._wait_for_runs(watcher, sleep)
            try:
                for runs in _split_into_groups(completed.runs):
                    await _pause(_CHECK_AFTER_SECONDS)
                    await store.check()
                    for run in runs:
                        text = f"run {run['run_id']} of flow {run['flow_id']} {run['disposition']}"
                        yield build_event(run, text)
                    await _pause(_DELIVERED_AFTER_SECONDS)
                    watcher.mark_delivered(runs)
                    await store.save(watcher.to_json())
                if not completed.runs:
                    await store.save(watcher.to_json())
            except TakenOver as other:
                text = "Watcher %r: %s; continuing from its cursor"
                await log_in_thread(self.log.info, text, self.state_key, other)
                watcher = await self._continue_from(other.text)
                sleep = self.poll_interval  # the other one polls first, while both exist
            else:
                sleep = watcher.sleep

    async def _continue_from(self, saved: str | None) -> FlowWatcher:
        watcher = self.watcher(saved)
        if saved is not None and watcher.to_json() is None:
            text = "the saved cursor cannot be read, so runs that completed since it was saved are missed"
            await log_in_thread(self.log.warning, "Watcher %r: %s", self.state_key, text)
        return watcher

    async def _wait_for_runs(self, watcher: FlowWatcher, sleep: float) -> CompletedRuns:
        """Return the next runs to report. After an unexpected exception, log it and try again."""
        while True:
            try:
                async with SharedClient(self.service, self.conn_id, async_settings) as client:
                    poll_loop = get_poll_loop(client, self.service, self.conn_id)
                    return await poll_loop.wait_for_result(watcher, partial(log_messages, self.log), sleep)
            except Exception as error:
                sleep = max(self.poll_interval, flow_watcher.PERMANENT_ERROR_INTERVAL_SECONDS)
                await log_in_thread(self._log_fault, error, sleep)
                await asyncio.sleep(sleep)

    def _log_fault(self, error: Exception, seconds: float) -> None:
        self.log.error(
            "Flow %s cannot be polled, trying again in %.0f s: %s", self.flow_id, seconds, describe_fault(error)
        )


async def _pause(seconds: float) -> None:
    """Sleep, and repeat it if the triggerer stood still.

    Another triggerer may have taken over its watchers then, and it takes seconds until they are stopped here.
    """
    while True:
        clocks = time.monotonic(), time.time()  # one of them stops while a virtual machine is paused
        await asyncio.sleep(seconds)
        if max(time.monotonic() - clocks[0], time.time() - clocks[1]) < seconds + _STANDSTILL_SECONDS:
            return


def _split_into_groups(runs: Sequence[RunSummary]) -> Iterator[Sequence[RunSummary]]:
    """Split the runs of one poll into groups to report together: one run each, unless there are too many.

    The last group always has one run: the DAG run that it starts gets all events that no other got.
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
        f"conn_id must be the id of an Airflow connection, got {value!r}; watchers do not render templates"
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
