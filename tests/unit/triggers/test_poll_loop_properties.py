"""What holds in the poll loop for all waits, however they come, leave and are answered."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flowruns.model.errors import FlowRunsError, InvalidRequestError
from airflow_provider_flowruns.model.runs import Disposition, FlowRun
from airflow_provider_flowruns.model.targets import FlowStatusTarget, NewestRunsTarget, RunTarget, Target
from airflow_provider_flowruns.polling.durations import RunDurations
from airflow_provider_flowruns.polling.wait_state import Outcome, WaitResult
from airflow_provider_flowruns.triggers import poll_loop as poll_loop_module
from airflow_provider_flowruns.triggers.poll_loop import PollLoop
from tests.unit.triggers.fake_service import (
    FakeClient,
    RecordedRequest,
    assert_empty,
    build_run,
    build_target,
    create_waiter,
    failure,
    rate_limit,
)
from tests.virtual_time import START, VirtualClock, run

#: Maximum duration of a request, and maximum ``Retry-After``, in seconds.
MAX_LATENCY, MAX_RETRY_AFTER = 15.0, 40.0
#: Error budget of the waits: longer than any series of errors.
ERROR_BUDGET_SECONDS = 10_000.0
#: Seconds after a run's end, or a deadline, within which a wait must have ended, whatever goes wrong.
MAX_DELAY_SECONDS = 3_000.0

#: A flow's newest runs, and the run that a wait on them follows once it is active.
NEWEST, FOLLOWED = NewestRunsTarget("portable", "1"), RunTarget("portable", "77", "1")
TARGETS = [
    *(build_target(number) for number in range(6)),
    *(build_target(number, "tableflow") for number in range(6)),
    *(build_target(number, "portable") for number in range(3)),
    NEWEST,
    FlowStatusTarget("portable", "1"),
]
DISPOSITIONS = [Disposition.SUCCEEDED, Disposition.FAILED, Disposition.CANCELED]
OUTCOME_OF = {
    Disposition.SUCCEEDED: Outcome.SUCCEEDED,
    Disposition.FAILED: Outcome.FAILED,
    Disposition.CANCELED: Outcome.CANCELED,
}


@dataclass(frozen=True)
class OneWait:
    """A wait: its target, when it comes and leaves, its interval and its deadline, in seconds."""

    target: Target
    enters: float
    first: float
    interval: float
    leaves: float | None
    deadline: float | None


@dataclass(frozen=True)
class Trouble:
    """Percentages of requests that go wrong."""

    fails: int
    is_rate_limited: int
    has_retry_after: bool
    list_is_rejected: int
    leaves_out: int
    seed: int


def scenario(seed: int) -> tuple[list[OneWait], dict[Target, tuple[float, Disposition]], Trouble]:
    """Return waits, how their runs end, and trouble. All come from one seed, because shrunk ones meet no trouble."""
    numbers = Random(seed)
    waits = [
        OneWait(
            target=numbers.choice(TARGETS),
            enters=numbers.uniform(0, 60),
            first=numbers.uniform(0, 15),
            interval=numbers.uniform(0.5, 60),
            leaves=numbers.choice([None, numbers.uniform(0, 120)]),
            deadline=numbers.choice([None, None, numbers.uniform(5, 200)]),
        )
        for _ in range(numbers.randint(1, 40))
    ]
    truth = {target: (START + numbers.uniform(0, 150), numbers.choice(DISPOSITIONS)) for target in TARGETS}
    truth[FOLLOWED] = truth[NEWEST]
    trouble = Trouble(
        fails=numbers.choice([0, 10, 50]),
        is_rate_limited=numbers.choice([0, 0, 5, 30]),
        has_retry_after=numbers.choice([True, False]),
        list_is_rejected=numbers.choice([0, 0, 0, 100]),
        leaves_out=numbers.choice([0, 20, 100]),
        seed=seed,
    )
    return waits, truth, trouble


class Service(FakeClient):
    """A service in which runs end one after the other, with random trouble."""

    def __init__(self, ends: dict[Target, tuple[float, Disposition]], trouble: Trouble) -> None:
        self._ends = ends
        self._plan = trouble
        self._random = Random(trouble.seed)
        self.quiet_until = 0.0
        super().__init__(state=self._state, latency=lambda: self._random.uniform(0, MAX_LATENCY), trouble=self._trouble)

    def _happens(self, percent: int) -> bool:
        return self._random.randrange(100) < percent

    def _state(self, target: Target, now: float) -> tuple[FlowRun, ...] | None:
        if self.requests[-1].is_batch and self._happens(self._plan.leaves_out):
            return None
        end, disposition = self._ends[target]
        run_id = target.run_id if isinstance(target, RunTarget) else FOLLOWED.run_id
        return (build_run(target, disposition if now >= end else Disposition.NONE, run_id),)

    def _trouble(self, request: RecordedRequest) -> FlowRunsError | None:
        if request.is_batch and self._happens(self._plan.list_is_rejected):
            return InvalidRequestError("Service", "GET", "/x", 400, "no such list")
        if self._happens(self._plan.is_rate_limited):
            return rate_limit(self._random.uniform(1, MAX_RETRY_AFTER) if self._plan.has_retry_after else None)
        return failure() if self._happens(self._plan.fails) else None

    async def _request(self, targets: tuple[Target, ...], *, is_batch: bool) -> Any:
        error, seen = await super()._request(targets, is_batch=is_batch)
        retry_after = getattr(error, "retry_after", None) or 0.0
        self.quiet_until = max(self.quiet_until, VirtualClock().now() + retry_after)
        return error, seen


@pytest.fixture(autouse=True, scope="module")
def virtual_clock() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(poll_loop_module, "Clock", VirtualClock)
        yield


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_every_wait_ends_once_with_its_own_true_outcome(seed: int) -> None:
    waits, truth, trouble = scenario(seed)
    random.seed(seed)  # the poll loop spreads polls by it
    run(_play(Service(truth, trouble), waits, truth))


async def _play(service: Service, plans: list[OneWait], truth: dict[Target, tuple[float, Disposition]]) -> None:
    poll_loop = PollLoop(service, RunDurations())  # type: ignore[arg-type]
    deadlines = {config.target: [] for config in plans}
    for config in plans:
        deadlines[config.target].append(START + config.deadline if config.deadline else START + ERROR_BUDGET_SECONDS)
    deadlines[FOLLOWED] = deadlines.get(NEWEST, [])
    ask = service._request

    async def checked(targets: tuple[Target, ...], *, is_batch: bool) -> Any:
        now = VirtualClock().now()
        if now < service.quiet_until:
            last_polls = [target for target in targets if min(deadlines[target]) <= now]
            assert set(last_polls) == set(targets), "requested although the service asks for fewer requests"
        return await ask(targets, is_batch=is_batch)

    service._request = checked  # type: ignore[method-assign]
    await asyncio.gather(*(_one(poll_loop, config, truth[config.target]) for config in plans))
    assert_empty(poll_loop)


async def _one(poll_loop: PollLoop, config: OneWait, truth: tuple[float, Disposition]) -> None:
    await asyncio.sleep(config.enters)
    entered = VirtualClock().now()
    deadline = START + (config.deadline if config.deadline is not None else ERROR_BUDGET_SECONDS)
    waiter = create_waiter(
        config.target,
        entered,
        interval=config.interval,
        deadline=deadline,
        error_budget=ERROR_BUDGET_SECONDS,
    )
    results: list[WaitResult] = []
    stepped: list[float] = []

    def on_step(step: Any) -> None:
        assert not results, "stepped after its end"
        stepped.append(VirtualClock().now())
        results.extend([step.result] if step.result else [])

    first = min(config.first, max(0.0, deadline - entered))
    waiter.on_step = on_step
    waiting = asyncio.create_task(poll_loop.wait_for_result(waiter, lambda messages: None, first))
    if config.leaves is not None:
        asyncio.get_running_loop().call_later(config.leaves, waiting.cancel)
    (end,) = await asyncio.gather(waiting, return_exceptions=True)
    ended = VirtualClock().now()

    assert all(moment >= entered + first for moment in stepped), "polled before its first poll was due"
    if isinstance(end, asyncio.CancelledError):
        assert config.leaves is not None
        return
    assert isinstance(end, WaitResult), end
    assert results == [end]
    over, disposition = truth
    if end.outcome is Outcome.TIMED_OUT:
        assert deadline <= ended
    else:
        assert end.outcome is OUTCOME_OF[disposition]
        assert ended >= over
    # The last poll may have to wait for the responses of others, but never for a back-off.
    assert ended <= max(min(max(over, entered) + MAX_DELAY_SECONDS, deadline), entered + first) + 10 * MAX_LATENCY
