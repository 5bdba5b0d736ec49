"""A service in virtual time that the poll hub asks, and what it must leave behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_flowruns.client.vendor_clock import VendorClock
from airflow_provider_flowruns.services.errors import FlowRunsError, RateLimited, ServerError
from airflow_provider_flowruns.services.model import Disposition, FlowRun, Kind, Lifecycle, Sighting, Target
from airflow_provider_flowruns.triggers.hub import Hub
from airflow_provider_flowruns.waiting.watch import Decision, Watch, WatchPlan
from tests.virtual_time import VirtualClock

Answer = tuple[FlowRun, ...] | FlowRunsError


def failure(retry_after: float | None = None) -> ServerError:
    return ServerError("Service", "GET", "/x", 503, "down", None, retry_after)


def too_many(retry_after: float | None = None) -> RateLimited:
    return RateLimited("Service", "GET", "/x", 429, "slow down", None, retry_after)


def run_of(target: Target, disposition: Disposition = Disposition.NONE, run_id: str | None = None) -> FlowRun:
    return FlowRun(
        service=target.service,
        kind=Kind.RUN,
        run_id=run_id or target.run_id,
        flow_id=target.flow_id,
        lifecycle=Lifecycle.RUNNING if disposition is Disposition.NONE else Lifecycle.NOT_RUNNING,
        disposition=disposition,
        vendor_status=str(disposition),
    )


@dataclass
class Asked:
    """One request: what it was about and when it began."""

    targets: tuple[Target, ...]
    together: bool
    at: float


@dataclass
class FakeClient:
    """
    Stands where ``AsyncClient`` does. No target may be asked for twice at a time.

    :param state: what a target looks like at a time, or the error that comes instead; None where it is left out.
    :param latency: seconds that a request takes; it is processed at its begin.
    :param trouble: an error for a whole request, or an exception that it raises.
    """

    state: Callable[[Target, float], Answer | None]
    latency: Callable[[], float] = lambda: 0.05
    trouble: Callable[[Asked], Exception | None] = lambda asked: None
    asked: list[Asked] = field(default_factory=list)
    vendor_clock: VendorClock = field(default_factory=VendorClock)
    under_way: set[Target] = field(default_factory=set)

    async def look(self, target: Target) -> Answer:
        error, (seen,) = await self._ask((target,), together=False)
        if error:
            return error
        return seen if seen is not None else failure()

    async def look_at_all(self, targets: Sequence[Target], due: int, most: int) -> Sighting | FlowRunsError:
        error, seen = await self._ask(tuple(targets), together=True)
        if error:
            return error
        found = {target: runs for target, runs in zip(targets, seen, strict=True) if isinstance(runs, tuple)}
        return Sighting(found, tuple(run for runs in found.values() for run in runs))

    async def _ask(
        self, targets: tuple[Target, ...], *, together: bool
    ) -> tuple[FlowRunsError | None, list[Answer | None]]:
        now = VirtualClock().now()
        assert len(set(targets)) == len(targets)
        assert not self.under_way & set(targets), "asked for the same thing twice at a time"
        self.under_way.update(targets)
        asked = Asked(targets, together, now)
        self.asked.append(asked)
        seen = [self.state(target, now) for target in targets]
        error = self.trouble(asked)
        try:
            await asyncio.sleep(self.latency())
        finally:
            self.under_way.difference_update(targets)
        if error and not isinstance(error, FlowRunsError):
            raise error
        return error, seen


class Overheard(Watch):
    """A wait of whose steps somebody hears."""

    heard: Callable[[Decision], None] = staticmethod(lambda step: None)

    def step(self, seen: Sequence[FlowRun] | FlowRunsError, now: float) -> Decision:
        step = super().step(seen, now)
        self.heard(step)
        return step


def watch_on(target: Target, now: float, **plan: Any) -> Overheard:
    given = {"interval": 10.0, "deadline": now + 3_600, **plan}
    kind, flow_id, run_id = str(target.kind), target.flow_id, target.run_id
    return Overheard(WatchPlan(service=target.service, kind=kind, flow_id=flow_id, run_id=run_id, **given), now)


def a_run(number: int, service: str = "activepieces") -> Target:
    return Target(service, Kind.RUN, "1" if service == "portable" else None, str(number))


def assert_empty(hub: Hub) -> None:
    """Nothing is left of the waits in a hub that nobody uses any more."""
    left = {
        name: getattr(hub, name)
        for name in ("_watched", "_groups", "_count", "_agenda", "_queue", "_requests", "_load", "_timer")
    }
    assert not any(left.values()), left
