"""Tests of the poll loop in virtual time: tasks, timers, errors and cancellation."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import Sequence
from contextvars import ContextVar
from itertools import count
from random import Random
from typing import Any

import pytest

from airflow_provider_flowruns.client.aio import AsyncClient
from airflow_provider_flowruns.model.errors import FlowRunsError
from airflow_provider_flowruns.model.runs import Disposition, FlowRun
from airflow_provider_flowruns.model.targets import FlowStatusTarget, NewestRunsTarget, RunTarget, Target
from airflow_provider_flowruns.polling.durations import RunDurations
from airflow_provider_flowruns.polling.messages import LogMessage
from airflow_provider_flowruns.polling.run_waiter import NextAction, RunWaiter
from airflow_provider_flowruns.polling.scheduler import MAX_CONCURRENT_REQUESTS
from airflow_provider_flowruns.polling.wait_state import Outcome, WaitResult
from airflow_provider_flowruns.triggers import poll_loop as poll_loop_module
from airflow_provider_flowruns.triggers.poll_loop import MAX_STEPS_IN_A_ROW, PollLoop, get_poll_loop
from tests.unit.triggers.fake_service import (
    FakeClient,
    assert_empty,
    build_run,
    build_target,
    create_waiter,
    failure,
    rate_limit,
)
from tests.virtual_time import START, VirtualClock, run


@pytest.fixture(autouse=True)
def virtual_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll_loop_module, "Clock", VirtualClock)


def ends_at(end: float, disposition: Disposition = Disposition.SUCCEEDED) -> Any:
    """Return the state of runs that all end at a time, in seconds from the start."""

    def state(target: Target, now: float) -> tuple[FlowRun, ...]:
        return (build_run(target, disposition if now >= START + end else Disposition.NONE),)

    return state


def create_poll_loop(client: Any) -> PollLoop:
    return PollLoop(client, RunDurations())


async def wait(poll_loop: PollLoop, waiter: RunWaiter, first: float = 1.0) -> WaitResult:
    return await poll_loop.wait_for_result(waiter, lambda messages: None, first)


async def outcomes_of(poll_loop: PollLoop, waits: Sequence[Any]) -> list[Outcome]:
    results = await asyncio.gather(*waits)
    assert_empty(poll_loop)
    return [result.outcome for result in results]


def test_messages_are_logged_in_the_context_of_their_wait() -> None:
    """The triggerer finds the log of a trigger by context variables."""
    current_wait: ContextVar[int] = ContextVar("current_wait")
    logged: list[tuple[int, int]] = []
    client = FakeClient(ends_at(30))

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)

        async def waiting(number: int) -> WaitResult:
            current_wait.set(number)
            log_messages = lambda messages: logged.append((number, current_wait.get()))  # noqa: E731
            return await poll_loop.wait_for_result(create_waiter(build_target(number % 2), START), log_messages, 1.0)

        return await outcomes_of(poll_loop, [waiting(number) for number in range(4)])

    assert run(work()) == [Outcome.SUCCEEDED] * 4
    assert {number for number, _ in logged} == {0, 1, 2, 3}
    assert all(number == owner for number, owner in logged)


A_DAY = 86_400.0


def test_after_repeated_rate_limits_each_wait_ends_by_its_own_error_budget() -> None:
    client = FakeClient(ends_at(0))
    client.trouble = lambda request: rate_limit(A_DAY)
    ended: dict[float, float] = {}

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)

        async def timed(budget: float) -> WaitResult:
            result = await wait(poll_loop, create_waiter(build_target(int(budget)), START, error_budget=budget))
            ended[budget] = VirtualClock().now() - START
            return result

        return await outcomes_of(poll_loop, [timed(budget) for budget in (20.0, 100.0, 900.0)])

    assert run(work()) == [Outcome.UNOBSERVABLE] * 3
    assert all(budget <= end <= budget + 10 for budget, end in ended.items()), ended


def test_an_error_counts_for_each_wait_against_its_own_error_budget() -> None:
    client = FakeClient(ends_at(0))
    client.trouble = lambda request: failure() if request.at < START + 200 else None

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        budgets = (60.0, 900.0)
        return await outcomes_of(
            poll_loop,
            [wait(poll_loop, create_waiter(build_target(0), START, error_budget=budget)) for budget in budgets],
        )

    assert run(work()) == [Outcome.UNOBSERVABLE, Outcome.SUCCEEDED]


def test_a_bug_in_the_client_ends_only_the_waits_of_its_request() -> None:
    client = FakeClient(ends_at(20))
    bad = FlowStatusTarget("portable", "7")
    client.trouble = lambda request: RuntimeError("a bug") if bad in request.targets else None

    async def work() -> list[Any]:
        poll_loop = create_poll_loop(client)
        waits = [
            wait(poll_loop, create_waiter(target, START)) for target in (bad, bad, FlowStatusTarget("portable", "8"))
        ]
        ends = await asyncio.gather(*waits, return_exceptions=True)
        assert_empty(poll_loop)
        return ends

    first, second, third = run(work())
    assert isinstance(first, RuntimeError)
    assert isinstance(second, RuntimeError)
    assert third.outcome is Outcome.SUCCEEDED


class BrokenWaiter:
    """A waiter that fails in one place."""

    error_budget = 900.0
    vendor_offset = 0.0

    def __init__(self, target: Target, fails_in: str) -> None:
        self._target = target
        self._fails_in = fails_in
        self._stepped = False

    @property
    def target(self) -> Target:
        if self._stepped and self._fails_in == "target":
            raise RuntimeError("broken")
        return self._target

    @property
    def deadline(self) -> float:
        return START + 3_600

    def step(self, seen: Sequence[FlowRun] | FlowRunsError, now: float) -> NextAction:
        self._stepped = True
        if self._fails_in == "step":
            raise RuntimeError("broken")
        return NextAction(wait=5.0, messages=(LogMessage("still running"),))

    def log_messages(self, messages: Any) -> None:
        if self._fails_in == "log":
            raise RuntimeError("broken")


@pytest.mark.parametrize("place", ["step", "log", "target"])
def test_a_waiter_that_fails_ends_with_its_exception_and_does_not_affect_others(place: str) -> None:
    async def work() -> list[Any]:
        poll_loop = create_poll_loop(FakeClient(ends_at(60)))
        broken: Any = BrokenWaiter(build_target(0), place)
        waits = [wait(poll_loop, create_waiter(build_target(number % 2), START)) for number in range(4)]
        ends = await asyncio.gather(
            poll_loop.wait_for_result(broken, broken.log_messages, 1.0), *waits, return_exceptions=True
        )
        assert_empty(poll_loop)
        return ends

    broken, *others = run(work())
    assert (type(broken), str(broken)) == (RuntimeError, "broken")
    assert [result.outcome for result in others] == [Outcome.SUCCEEDED] * 4


@pytest.mark.parametrize("latency", [0.0, 10.0])
@pytest.mark.parametrize("leave_at", [0.5, 1.0, 2.0])
def test_a_poll_loop_that_all_waits_have_left_can_be_used_again(leave_at: float, latency: float) -> None:
    """Requests that were queued or in flight when the last wait left leave nothing behind."""
    targets = [FlowStatusTarget("portable", str(number)) for number in range(3 * MAX_CONCURRENT_REQUESTS)]
    client = FakeClient(ends_at(0), latency=lambda: latency)

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        client.state = ends_at(1_000)
        waits = [asyncio.create_task(wait(poll_loop, create_waiter(target, START))) for target in targets]
        loop = asyncio.get_running_loop()
        # A timer set for the same time as the poll loop's runs before the tasks that the poll loop creates.
        loop.call_at(leave_at, lambda: [waiting.cancel() for waiting in waits])
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*waits, return_exceptions=True)
        )
        assert_empty(poll_loop)
        client.state = ends_at(0)
        return await outcomes_of(poll_loop, [wait(poll_loop, create_waiter(target, START)) for target in targets])

    assert run(work()) == [Outcome.SUCCEEDED] * len(targets)


def test_leaving_during_a_request_does_not_affect_other_waits() -> None:
    client = FakeClient(ends_at(30), latency=lambda: 2.0)

    async def work() -> list[Any]:
        poll_loop = create_poll_loop(client)
        waits = [
            asyncio.create_task(wait(poll_loop, create_waiter(build_target(number % 3), START))) for number in range(9)
        ]
        await asyncio.sleep(2)
        for waiting in waits[:5]:
            waiting.cancel()
        ends = await asyncio.gather(*waits, return_exceptions=True)
        assert_empty(poll_loop)
        return ends

    ends = run(work())
    assert [type(end) for end in ends[:5]] == [asyncio.CancelledError] * 5
    assert [result.outcome for result in ends[5:]] == [Outcome.SUCCEEDED] * 4


def test_a_wait_that_left_during_a_delivery_is_not_stepped() -> None:
    """Its owner was cancelled after its wake-up, so that the wake-up itself does not show it."""
    flow = NewestRunsTarget("portable", "1")

    def state(target: Target, now: float) -> tuple[FlowRun, ...]:
        return (build_run(target, Disposition.SUCCEEDED if now > START + 60 else Disposition.NONE, "10"),)

    async def work() -> tuple[list[Any], list[float]]:
        poll_loop = create_poll_loop(FakeClient(state))
        waiters = [create_waiter(flow, START) for _ in range(MAX_STEPS_IN_A_ROW + 2)]
        tasks = [asyncio.create_task(wait(poll_loop, waiter)) for waiter in waiters]
        await asyncio.sleep(0)
        (polled_target,) = poll_loop._scheduler._targets._by_target.values()
        leaving: Any = list(polled_target.waits)[-2]

        def leave(step: Any) -> None:
            leaving.warn("its owner wakes up")
            tasks[-2].cancel()

        stepped: list[float] = []
        waiters[0].on_step = leave
        waiters[-2].on_step = lambda step: stepped.append(VirtualClock().now())
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert_empty(poll_loop)
        return ends, stepped

    ends, stepped = run(work())
    assert isinstance(ends.pop(-2), asyncio.CancelledError)
    assert {end.outcome for end in ends} == {Outcome.SUCCEEDED}
    assert not stepped


def test_a_debug_line_for_each_poll_says_why_it_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", poll_loop_module.__name__)
    client = FakeClient(ends_at(8))

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        waits = [
            wait(poll_loop, create_waiter(build_target(number), START, deadline=START + 10)) for number in range(3)
        ]
        return await outcomes_of(poll_loop, waits)

    assert run(work()) == [Outcome.SUCCEEDED] * 3
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(client.requests)
    assert all("run 0 and 2 more (waits: 3 " in line for line in lines)
    assert [line.rpartition(" ")[2] for line in lines] == ["first)", "due)", "deadline)"]


def test_a_wait_that_follows_a_run_polls_that_run() -> None:
    """It polls the flow's newest runs until one is active, then that run, although a newer one starts."""
    flow = NewestRunsTarget("portable", "1")
    followed_run = RunTarget("portable", "10", "1")
    client = FakeClient(ends_at(0))

    def state(target: Target, now: float) -> tuple[FlowRun, ...]:
        end = Disposition.FAILED if now > START + 60 else Disposition.NONE
        if target == followed_run:
            return (build_run(target, end),)
        newest = (build_run(target, Disposition.SUCCEEDED, "11"),) if now > START + 10 else ()
        return (*newest, build_run(target, end, "10"))

    client.state = state

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        early = wait(poll_loop, create_waiter(flow, START))
        late = wait(poll_loop, create_waiter(flow, START), 20.0)
        return await outcomes_of(poll_loop, [early, late])

    assert run(work()) == [Outcome.FAILED, Outcome.SUCCEEDED]
    assert client.requests[0].targets == (flow,)
    assert {target for request in client.requests if request.at > START + 21 for target in request.targets} == {
        followed_run
    }


@pytest.mark.parametrize("span", [0.0, 7.0], ids=["at once", "within seven seconds"])
def test_waits_with_deadlines_close_together_share_their_last_polls_as_all_others(span: float) -> None:
    client = FakeClient(ends_at(float("inf")), latency=lambda: 0.05)
    numbers = Random(1)
    targets = [
        *(build_target(number) for number in range(103)),
        *(build_target(number, "tableflow") for number in range(50)),
        *(RunTarget("portable", str(number), str(number % 5)) for number in range(50)),
    ]

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        configs = [{"interval": 60.0, "deadline": START + 600 + numbers.uniform(0, span)} for _ in targets]
        waits = [
            wait(poll_loop, create_waiter(target, START, **config), numbers.uniform(5.5, 10.5))
            for target, config in zip(targets, configs, strict=True)
        ]
        return await outcomes_of(poll_loop, waits)

    assert run(work()) == [Outcome.TIMED_OUT] * 203
    rounds = Counter(int((request.at - START) // 60) for request in client.requests if request.at < START + 600)
    last = sum(request.at >= START + 600 for request in client.requests)
    assert last <= max(rounds[number] for number in range(4, 9)) + len(targets) / 50


def test_a_wrong_clock_is_passed_to_each_step_and_warned_about_once() -> None:
    client = FakeClient(ends_at(30))
    offsets: list[float] = []
    warned: list[int] = []

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)

        async def waiting(number: int) -> WaitResult:
            waiter = create_waiter(build_target(number), START)
            waiter.on_step = lambda step: offsets.append(waiter.vendor_offset)
            return await poll_loop.wait_for_result(
                waiter,
                lambda messages: warned.extend(number for line in messages if "behind" in line.text),
                1.0 + number,
            )

        client.vendor_clock.offset_seconds = -600.0
        return await outcomes_of(poll_loop, [waiting(number) for number in range(3)])

    assert run(work()) == [Outcome.SUCCEEDED] * 3
    assert {*offsets} == {-600.0}
    assert len(warned) == 1


def test_a_target_whose_response_is_being_delivered_is_not_requested_again() -> None:
    """A target of the same batch becomes due while the delivery gives control back to the event loop."""
    runs = 3 * MAX_STEPS_IN_A_ROW
    client = FakeClient(ends_at(6))

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        loop: Any = asyncio.get_running_loop()

        async def newcomer() -> WaitResult:
            return await wait(poll_loop, create_waiter(build_target(runs), START), 0.0)

        steps = count()
        more: list[asyncio.Task[WaitResult]] = []

        def add_newcomer(step: Any) -> None:
            if next(steps) == MAX_STEPS_IN_A_ROW - 1:
                more.append(loop.create_task(newcomer()))
                loop.now += 0.001

        waiters = [create_waiter(build_target(number), START) for number in range(runs)]
        for waiter in waiters:
            waiter.on_step = add_newcomer
        ends = await asyncio.gather(*(wait(poll_loop, waiter) for waiter in waiters))
        return await outcomes_of(poll_loop, [*more]) + [end.outcome for end in ends]

    assert run(work()) == [Outcome.SUCCEEDED] * (runs + 1)
    assert [request.targets for request in client.requests if START + 1 < request.at < START + 2] == [
        (build_target(runs),)
    ]


def test_a_poll_loop_and_its_client_are_freed_after_the_last_wait() -> None:
    async def lookup() -> Any:
        raise AssertionError("the connection was looked up")

    async def work() -> weakref.ref[AsyncClient]:
        client = AsyncClient(lookup)
        poll_loop = get_poll_loop(client, "portable", "made_up")
        assert get_poll_loop(client, "portable", "made_up") is poll_loop
        waiting = asyncio.create_task(wait(poll_loop, create_waiter(build_target(0, "portable"), START)))
        await asyncio.sleep(0.5)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return weakref.ref(client)

    client = run(work())
    gc.collect()
    assert client() is None
