"""The trigger of an asset watcher: it fires whenever a run of a flow has ended."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_flowruns.arguments import check_choice, parse_seconds
from airflow_provider_flowruns.client.aio import SharedClient
from airflow_provider_flowruns.compat import base_event_trigger
from airflow_provider_flowruns.outcomes import tell
from airflow_provider_flowruns.services.errors import InvalidArgument
from airflow_provider_flowruns.services.model import Disposition
from airflow_provider_flowruns.services.registry import SERVICES
from airflow_provider_flowruns.triggers.connection import async_settings
from airflow_provider_flowruns.triggers.cursor import CursorStore
from airflow_provider_flowruns.triggers.hub import hub_of
from airflow_provider_flowruns.waiting.follow import Ended, Follow

if TYPE_CHECKING:
    from airflow.triggers.base import BaseEventTrigger
else:
    BaseEventTrigger = base_event_trigger()

#: Seconds after an event before it counts as delivered: Airflow takes up to two to write it down. Killed before that,
#: the watcher fires again, because a run that started no DAG is worse than one that started two.
_DELIVERED_AFTER = 3.0
_OUTCOMES = tuple(str(one) for one in (Disposition.SUCCEEDED, Disposition.FAILED, Disposition.CANCELED))


class FlowRunFinishedTrigger(BaseEventTrigger):
    """
    Fire an event for every run of a flow that ends, once a run; for an ``AssetWatcher`` (Airflow 3.0 and newer).

    The payload is the run's summary, see ``services.model.FlowRun.summary``. What had ended before the watcher's first
    look is no news. On Airflow 3.3 it goes on after a restart where it left off, so that it misses no run; killed
    within seconds of an event it may fire that one again. Before 3.3 it starts anew: what ended meanwhile is missed.

    It reads the flow's newest runs (Portable ``GET /v2/flows/{id}/run``, Activepieces ``GET /api/v1/flow-runs``, which
    needs the connection's ``project_id``, TableFlow ``GET /v2/flows/runs``). All watchers and waits of a connection
    share one poll loop and its pool of HTTP connections. It never ends: when the flow cannot be read it says so in the
    triggerer's log and tries again.

    :param service: ``portable``, ``activepieces`` or ``tableflow``.
    :param flow_id: the flow's id.
    :param conn_id: Airflow connection of that type; the default is the service's own default id.
    :param outcomes: the ends that count, of ``SUCCEEDED``, ``FAILED`` and ``CANCELED``.
    :param poll_interval: seconds or timedelta between two looks.
    :raises InvalidArgument: at DAG parse, for an argument that cannot be right.
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
        check_choice(service, argument="service", choices=tuple(SERVICES))
        self.service = service
        self.flow_id = SERVICES[service].checked_flow_id(flow_id)
        self.conn_id = conn_id or f"{service}_default"
        self.outcomes = _checked_outcomes(outcomes)
        self.poll_interval = parse_seconds(poll_interval, argument="poll_interval")  # 60 and 60.0 are the same watcher

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

    def follow(self, saved: str | None) -> Follow:
        """
        Return what says which runs are news.

        :param saved: where an earlier one left off, None for a first look.
        """
        wanted = map(Disposition, self.outcomes)
        return Follow(self.service, self.flow_id, self.poll_interval, wanted, saved)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look for ever; fire an event for each run that has ended."""
        store = CursorStore(getattr(self, "asset_state_store", None), self.state_key, self.log)
        follow = self.follow(await store.load())
        sleep = random.random() * min(self.poll_interval, 10.0)  # all watchers start together
        while True:
            ended = await self._next(follow, sleep)
            for run in ended.runs:
                yield TriggerEvent(run)  # type: ignore[no-untyped-call]
            if ended.runs:
                await asyncio.sleep(_DELIVERED_AFTER)
            await store.save(follow.to_json())
            sleep = follow.sleep

    async def _next(self, follow: Follow, sleep: float) -> Ended:
        async with SharedClient(self.service, self.conn_id, async_settings) as client:
            hub = hub_of(client, self.service, self.conn_id)
            return await hub.until_over(follow, partial(tell, self.log), sleep)


def _checked_outcomes(outcomes: Iterable[str]) -> list[str]:
    wanted = [outcomes] if isinstance(outcomes, str) else list(outcomes)
    words = sorted({str(one).upper() for one in wanted})
    if not words or not set(words) <= {*_OUTCOMES}:
        raise InvalidArgument(f"outcomes must be some of {', '.join(_OUTCOMES)}, got {wanted!r}")
    return words
