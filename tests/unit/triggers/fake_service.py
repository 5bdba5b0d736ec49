"""A fake service in virtual time for tests of the poll loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_flowruns.client.vendor_clock import VendorClock
from airflow_provider_flowruns.model.errors import FlowRunsError, RateLimitError, ServerError
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.targets import BatchResult, RunTarget, Target
from airflow_provider_flowruns.polling.run_waiter import NextAction, RunWaiter
from airflow_provider_flowruns.polling.wait_state import WaitConfig
from airflow_provider_flowruns.triggers.poll_loop import PollLoop
from tests.virtual_time import VirtualClock

Response = tuple[FlowRun, ...] | FlowRunsError


def failure(retry_after: float | None = None) -> ServerError:
    return ServerError("Service", "GET", "/x", 503, "down", None, retry_after)


def rate_limit(retry_after: float | None = None) -> RateLimitError:
    return RateLimitError("Service", "GET", "/x", 429, "slow down", None, retry_after)


def build_run(target: Target, disposition: Disposition = Disposition.NONE, run_id: str | None = None) -> FlowRun:
    return FlowRun(
        service=target.service,
        kind=Kind.RUN,
        run_id=run_id or getattr(target, "run_id", None),
        flow_id=target.flow_id,
        lifecycle=Lifecycle.RUNNING if disposition is Disposition.NONE else Lifecycle.NOT_RUNNING,
        disposition=disposition,
        vendor_status=str(disposition),
    )


@dataclass
class RecordedRequest:
    """One request: its targets and when it started."""

    targets: tuple[Target, ...]
    is_batch: bool
    at: float


@dataclass
class FakeClient:
    """Replaces ``AsyncClient``. Fails if a target is requested twice at the same time.

    :param state: returns a target's runs at a time, an error instead of them, or None to leave the target out.
    :param latency: returns the duration of a request in seconds; it is processed at its start.
    :param trouble: returns an error for a whole request, or an exception to raise.
    """

    state: Callable[[Target, float], Response | None]
    latency: Callable[[], float] = lambda: 0.05
    trouble: Callable[[RecordedRequest], Exception | None] = lambda request: None
    requests: list[RecordedRequest] = field(default_factory=list)
    vendor_clock: VendorClock = field(default_factory=VendorClock)
    in_flight: set[Target] = field(default_factory=set)

    async def poll(self, target: Target) -> Response:
        error, (seen,) = await self._request((target,), is_batch=False)
        if error:
            return error
        return seen if seen is not None else failure()

    async def poll_batch(
        self, targets: Sequence[Target], required_count: int, max_runs: int
    ) -> BatchResult | FlowRunsError:
        error, seen = await self._request(tuple(targets), is_batch=True)
        if error:
            return error
        found = {target: runs for target, runs in zip(targets, seen, strict=True) if isinstance(runs, tuple)}
        return BatchResult(found, tuple(run for runs in found.values() for run in runs))

    async def _request(
        self, targets: tuple[Target, ...], *, is_batch: bool
    ) -> tuple[FlowRunsError | None, list[Response | None]]:
        now = VirtualClock().now()
        assert len(set(targets)) == len(targets)
        assert not self.in_flight & set(targets), "the same target was requested twice at the same time"
        self.in_flight.update(targets)
        request = RecordedRequest(targets, is_batch, now)
        self.requests.append(request)
        seen = [self.state(target, now) for target in targets]
        error = self.trouble(request)
        try:
            await asyncio.sleep(self.latency())
        finally:
            self.in_flight.difference_update(targets)
        if error is not None and not isinstance(error, FlowRunsError):
            raise error
        return error, seen


class RecordingWaiter(RunWaiter):
    """A waiter that reports each of its steps."""

    on_step: Callable[[NextAction], None] = staticmethod(lambda step: None)

    def step(self, seen: Sequence[FlowRun] | FlowRunsError, now: float) -> NextAction:
        step = super().step(seen, now)
        self.on_step(step)
        return step


def create_waiter(
    target: Target,
    now: float,
    *,
    interval: float = 10.0,
    deadline: float | None = None,
    error_budget: float = 900.0,
    **config: Any,
) -> RecordingWaiter:
    arguments = {
        "interval_seconds": interval,
        "deadline_at": now + 3_600 if deadline is None else deadline,
        "error_budget_seconds": error_budget,
        **config,
    }
    return RecordingWaiter(WaitConfig(target=target, **arguments), now)


def build_target(number: int, service: str = "activepieces") -> Target:
    return RunTarget(service, str(number), "1" if service == "portable" else None)


def assert_empty(poll_loop: PollLoop) -> None:
    """Check that an unused poll loop has no waits, requests or timers left."""
    scheduler = poll_loop._scheduler
    left = {name: getattr(scheduler, f"_{name}") for name in ("wait_count", "heap", "queue", "in_flight", "load")}
    left |= {"targets": scheduler._targets._by_target, "batches": scheduler._targets._by_batch_key}
    left |= {"tasks": poll_loop._tasks, "timer": poll_loop._timer}
    assert not any(left.values()), left
