"""A fake service in virtual time for tests of the poll loop."""

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
class RecordedRequest:
    """One request: its targets and when it started."""

    targets: tuple[Target, ...]
    together: bool
    at: float


@dataclass
class FakeClient:
    """Replaces ``AsyncClient``. Fails if a target is requested twice at the same time.

    :param state: returns a target's runs at a time, an error instead of them, or None to leave the target out.
    :param latency: returns the duration of a request in seconds; it is processed at its start.
    :param trouble: returns an error for a whole request, or an exception to raise.
    """

    state: Callable[[Target, float], Answer | None]
    latency: Callable[[], float] = lambda: 0.05
    trouble: Callable[[RecordedRequest], Exception | None] = lambda request: None
    requests: list[RecordedRequest] = field(default_factory=list)
    vendor_clock: VendorClock = field(default_factory=VendorClock)
    in_flight: set[Target] = field(default_factory=set)

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
        assert not self.in_flight & set(targets), "the same target was requested twice at the same time"
        self.in_flight.update(targets)
        request = RecordedRequest(targets, together, now)
        self.requests.append(request)
        seen = [self.state(target, now) for target in targets]
        error = self.trouble(request)
        try:
            await asyncio.sleep(self.latency())
        finally:
            self.in_flight.difference_update(targets)
        if error and not isinstance(error, FlowRunsError):
            raise error
        return error, seen


class RecordingWaiter(Watch):
    """A waiter that reports each of its steps."""

    on_step: Callable[[Decision], None] = staticmethod(lambda step: None)

    def step(self, seen: Sequence[FlowRun] | FlowRunsError, now: float) -> Decision:
        step = super().step(seen, now)
        self.on_step(step)
        return step


def create_waiter(target: Target, now: float, **plan: Any) -> RecordingWaiter:
    given = {"interval": 10.0, "deadline": now + 3_600, **plan}
    kind, flow_id, run_id = str(target.kind), target.flow_id, target.run_id
    return RecordingWaiter(WatchPlan(service=target.service, kind=kind, flow_id=flow_id, run_id=run_id, **given), now)


def a_run(number: int, service: str = "activepieces") -> Target:
    return Target(service, Kind.RUN, "1" if service == "portable" else None, str(number))


def assert_empty(hub: Hub) -> None:
    """Check that an unused hub has no waits left."""
    left = {
        name: getattr(hub, name)
        for name in ("_watched", "_groups", "_count", "_agenda", "_queue", "_requests", "_load", "_timer")
    }
    assert not any(left.values()), left
