"""What holds in the poll hub for all waits, however they come, go and are answered."""

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
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind
from airflow_provider_flowruns.model.targets import Target
from airflow_provider_flowruns.polling.durations import RunDurations
from airflow_provider_flowruns.polling.run_waiter import Outcome, WaitResult
from airflow_provider_flowruns.triggers import poll_loop as poll_loop_module
from airflow_provider_flowruns.triggers.poll_loop import PollLoop
from tests.unit.triggers.fake_service import (
    FakeClient,
    RecordedRequest,
    a_run,
    assert_empty,
    create_waiter,
    failure,
    run_of,
    too_many,
)
from tests.virtual_time import START, VirtualClock, run

#: Requests take at most so long, and a 429 asks for at most so many seconds.
SLOWEST, LONGEST_ASKED = 15.0, 40.0
#: A wait's error budget is longer than all the trouble there can be in a row before its deadline.
PERMANENT_ERROR_INTERVAL_SECONDS = 10_000.0
#: Seconds after a run's end, or a deadline, by which a wait has long ended, also where trouble follows trouble.
SOON = 3_000.0

#: A flow's newest runs, and the run that a wait on them pins once it has seen it going.
NEWEST, PINNED = Target("portable", Kind.FLOW_RUNS, "1"), Target("portable", Kind.RUN, "1", "77")
TARGETS = [
    *(a_run(number) for number in range(6)),
    *(a_run(number, "tableflow") for number in range(6)),
    *(a_run(number, "portable") for number in range(3)),
    NEWEST,
    Target("portable", Kind.FLOW, "1"),
]
DISPOSITIONS = [Disposition.SUCCEEDED, Disposition.FAILED, Disposition.CANCELED]
OUTCOME_OF = {
    Disposition.SUCCEEDED: Outcome.SUCCEEDED,
    Disposition.FAILED: Outcome.FAILED,
    Disposition.CANCELED: Outcome.CANCELED,
}


@dataclass(frozen=True)
class OneWait:
    """A wait: what for, when it enters, how it looks, and when it leaves early or gives up."""

    target: Target
    enters: float
    first: float
    interval: float
    leaves: float | None
    deadline: float | None


@dataclass(frozen=True)
class Trouble:
    """How often requests go wrong, of 100."""

    fails: int
    is_refused: int
    asks_for_time: bool
    list_is_refused: int
    leaves_out: int
    seed: int


def scenario(seed: int) -> tuple[list[OneWait], dict[Target, tuple[float, Disposition]], Trouble]:
    """Return waits, how their runs end, and trouble; all that fits in a seed, because small ones meet no trouble."""
    dice = Random(seed)
    waits = [
        OneWait(
            target=dice.choice(TARGETS),
            enters=dice.uniform(0, 60),
            first=dice.uniform(0, 15),
            interval=dice.uniform(0.5, 60),
            leaves=dice.choice([None, dice.uniform(0, 120)]),
            deadline=dice.choice([None, None, dice.uniform(5, 200)]),
        )
        for _ in range(dice.randint(1, 40))
    ]
    truth = {target: (START + dice.uniform(0, 150), dice.choice(DISPOSITIONS)) for target in TARGETS}
    truth[PINNED] = truth[NEWEST]
    trouble = Trouble(
        fails=dice.choice([0, 10, 50]),
        is_refused=dice.choice([0, 0, 5, 30]),
        asks_for_time=dice.choice([True, False]),
        list_is_refused=dice.choice([0, 0, 0, 100]),
        leaves_out=dice.choice([0, 20, 100]),
        seed=seed,
    )
    return waits, truth, trouble


class Service(FakeClient):
    """A service in which runs end one after the other, with trouble by the dice."""

    def __init__(self, ends: dict[Target, tuple[float, Disposition]], trouble: Trouble) -> None:
        self._ends = ends
        self._plan = trouble
        self._dice = Random(trouble.seed)
        self.quiet_until = 0.0
        super().__init__(state=self._state, latency=lambda: self._dice.uniform(0, SLOWEST), trouble=self._trouble)

    def _happens(self, percent: int) -> bool:
        return self._dice.randrange(100) < percent

    def _state(self, target: Target, now: float) -> tuple[FlowRun, ...] | None:
        if self.requests[-1].together and self._happens(self._plan.leaves_out):
            return None
        end, disposition = self._ends[target]
        return (run_of(target, disposition if now >= end else Disposition.NONE, target.run_id or PINNED.run_id),)

    def _trouble(self, asked: RecordedRequest) -> FlowRunsError | None:
        if asked.together and self._happens(self._plan.list_is_refused):
            return InvalidRequestError("Service", "GET", "/x", 400, "no such list")
        if self._happens(self._plan.is_refused):
            return too_many(self._dice.uniform(1, LONGEST_ASKED) if self._plan.asks_for_time else None)
        return failure() if self._happens(self._plan.fails) else None

    async def _ask(self, targets: tuple[Target, ...], *, together: bool) -> Any:
        error, seen = await super()._ask(targets, together=together)
        asked_to_wait = getattr(error, "retry_after", None) or 0.0
        self.quiet_until = max(self.quiet_until, VirtualClock().now() + asked_to_wait)
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
        deadlines[config.target].append(
            START + config.deadline if config.deadline else START + PERMANENT_ERROR_INTERVAL_SECONDS
        )
    deadlines[PINNED] = deadlines.get(NEWEST, [])
    ask = service._ask

    async def witnessed(targets: tuple[Target, ...], *, together: bool) -> Any:
        now = VirtualClock().now()
        if now < service.quiet_until:
            last_looks = [target for target in targets if min(deadlines[target]) <= now]
            assert set(last_looks) == set(targets), "asked although the service wants to be left alone"
        return await ask(targets, together=together)

    service._ask = witnessed  # type: ignore[method-assign]
    await asyncio.gather(*(_one(poll_loop, config, truth[config.target]) for config in plans))
    assert_empty(poll_loop)


async def _one(poll_loop: PollLoop, config: OneWait, truth: tuple[float, Disposition]) -> None:
    await asyncio.sleep(config.enters)
    entered = VirtualClock().now()
    deadline = START + (config.deadline if config.deadline is not None else PERMANENT_ERROR_INTERVAL_SECONDS)
    waiter = create_waiter(
        config.target,
        entered,
        interval=config.interval,
        deadline=deadline,
        error_budget=PERMANENT_ERROR_INTERVAL_SECONDS,
    )
    verdicts: list[WaitResult] = []
    stepped: list[float] = []

    def hear(step: Any) -> None:
        assert not verdicts, "stepped after its end"
        stepped.append(VirtualClock().now())
        verdicts.extend([step.result] if step.result else [])

    first = min(config.first, max(0.0, deadline - entered))
    waiter.on_step = hear
    waiting = asyncio.create_task(poll_loop.wait_for_result(waiter, lambda messages: None, first))
    if config.leaves is not None:
        asyncio.get_running_loop().call_later(config.leaves, waiting.cancel)
    (end,) = await asyncio.gather(waiting, return_exceptions=True)
    ended = VirtualClock().now()

    assert all(moment >= entered + first for moment in stepped), "looked at before its own first look was due"
    if isinstance(end, asyncio.CancelledError):
        assert config.leaves is not None
        return
    assert isinstance(end, WaitResult), end
    assert verdicts == [end]
    over, disposition = truth
    if end.outcome is Outcome.TIMED_OUT:
        assert deadline <= ended
    else:
        assert end.outcome is OUTCOME_OF[disposition]
        assert ended >= over
    # The last look may have to wait for others', and each of those for its answer; nothing waits for a hold.
    assert ended <= max(min(max(over, entered) + SOON, deadline), entered + first) + 10 * SLOWEST
