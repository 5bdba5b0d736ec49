"""The poll hub in virtual time: who is asked for what and when, whoever comes, goes or fails."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import Sequence
from contextvars import ContextVar
from itertools import count, pairwise
from random import Random
from typing import Any

import pytest

from airflow_provider_flowruns.client.aio import AsyncClient
from airflow_provider_flowruns.model.errors import FlowRunsError, NotFoundError, ServerError
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind
from airflow_provider_flowruns.model.targets import Target
from airflow_provider_flowruns.polling.durations import RunDurations
from airflow_provider_flowruns.polling.intervals import MAX_SHARED_ALIGNMENT_SECONDS
from airflow_provider_flowruns.polling.run_waiter import LogMessage, NextAction, Outcome, RunWaiter, WaitResult
from airflow_provider_flowruns.polling.scheduler import MAX_CONCURRENT_REQUESTS
from airflow_provider_flowruns.triggers import poll_loop as poll_loop_module
from airflow_provider_flowruns.triggers.poll_loop import MAX_STEPS_IN_A_ROW, PollLoop, get_poll_loop
from tests.unit.triggers.fake_service import FakeClient, a_run, assert_empty, create_waiter, failure, run_of, too_many
from tests.virtual_time import START, VirtualClock, run


@pytest.fixture(autouse=True)
def virtual_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll_loop_module, "Clock", VirtualClock)


def ends_at(end: float, disposition: Disposition = Disposition.SUCCEEDED) -> Any:
    """Return the state of runs that all end at a time, in seconds from the start."""

    def state(target: Target, now: float) -> tuple[FlowRun, ...]:
        return (run_of(target, disposition if now >= START + end else Disposition.NONE),)

    return state


def create_poll_loop(client: Any) -> PollLoop:
    return PollLoop(client, RunDurations())


async def wait(poll_loop: PollLoop, waiter: RunWaiter, first: float = 1.0) -> WaitResult:
    return await poll_loop.wait_for_result(waiter, lambda messages: None, first)


async def outcomes_of(poll_loop: PollLoop, waits: Sequence[Any]) -> list[Outcome]:
    verdicts = await asyncio.gather(*waits)
    assert_empty(poll_loop)
    return [result.outcome for result in verdicts]


def test_each_wait_is_told_of_in_its_own_context() -> None:
    """By context variables the triggerer knows whose log a line belongs to."""
    whose: ContextVar[int] = ContextVar("whose")
    heard: list[tuple[int, int]] = []
    client = FakeClient(ends_at(30))

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)

        async def waiting(number: int) -> WaitResult:
            whose.set(number)
            log_messages = lambda messages: heard.append((number, whose.get()))  # noqa: E731
            return await poll_loop.wait_for_result(create_waiter(a_run(number % 2), START), log_messages, 1.0)

        return await outcomes_of(poll_loop, [waiting(number) for number in range(4)])

    assert run(work()) == [Outcome.SUCCEEDED] * 4
    assert {number for number, _ in heard} == {0, 1, 2, 3}
    assert all(number == owner for number, owner in heard)


def test_a_run_that_is_left_out_is_looked_at_alone_from_then_on() -> None:
    left_out = a_run(0)
    client = FakeClient(ends_at(30))

    def state(target: Target, now: float) -> tuple[FlowRun, ...] | None:
        return None if target == left_out and client.requests[-1].together else ends_at(30)(target, now)

    client.state = state

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        return await outcomes_of(
            poll_loop, [wait(poll_loop, create_waiter(a_run(number), START)) for number in range(5)]
        )

    assert run(work()) == [Outcome.SUCCEEDED] * 5
    assert [asked.targets for asked in client.requests if left_out in asked.targets and asked.together] == [
        tuple(a_run(number) for number in range(5))
    ]
    assert {asked.targets for asked in client.requests if not asked.together} == {(left_out,)}


def test_who_enters_before_its_run_is_found_missing_keeps_its_first_look() -> None:
    """A wait that came while the request was under way is neither looked at early nor forgotten."""
    client = FakeClient(ends_at(0), latency=lambda: 2.0)
    client.state = lambda target, now: ends_at(0)(target, now) if not client.requests[-1].together else None
    stepped: list[float] = []

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        early = [asyncio.create_task(wait(poll_loop, create_waiter(a_run(number), START))) for number in range(2)]
        await asyncio.sleep(2)
        late = create_waiter(a_run(0), START + 2)
        late.on_step = lambda step: stepped.append(VirtualClock().now())
        return await outcomes_of(poll_loop, [*early, wait(poll_loop, late, 20.0)])

    assert run(work()) == [Outcome.SUCCEEDED] * 3
    assert stepped[0] >= START + 22


def test_an_answer_to_an_older_request_is_not_for_a_wait_whose_first_look_came_due_since() -> None:
    """The request may have been processed before the wait began, as one for the failure that was just retried."""
    client = FakeClient(
        lambda target, now: (run_of(target, Disposition.FAILED if now < START + 2 else Disposition.SUCCEEDED),),
        latency=lambda: 10.0,
    )

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        before = asyncio.create_task(wait(poll_loop, create_waiter(a_run(0), START)))
        await asyncio.sleep(2)
        return await outcomes_of(poll_loop, [before, wait(poll_loop, create_waiter(a_run(0), START + 2), 3.0)])

    assert run(work()) == [Outcome.FAILED, Outcome.SUCCEEDED]
    assert len(client.requests) == 2


def test_a_hold_stops_those_that_are_due_later_too() -> None:
    """One refusal is enough: none of those who were to ask during the next minute does."""
    client = FakeClient(ends_at(100))
    client.trouble = lambda asked: too_many(60.0) if len(client.requests) == 1 else None

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        waits = [
            wait(poll_loop, create_waiter(Target("portable", Kind.FLOW, str(n)), START), 1.0 + n) for n in range(50)
        ]
        return await outcomes_of(poll_loop, waits)

    assert run(work()) == [Outcome.SUCCEEDED] * 50
    refused_at = client.requests[0].at
    assert min(asked.at for asked in client.requests[1:]) >= refused_at + 60


def test_a_hold_neither_hurries_nor_forgets_a_wait_that_is_not_due_yet() -> None:
    targets = [Target("portable", Kind.FLOW, str(number)) for number in range(2 * MAX_CONCURRENT_REQUESTS)]
    client = FakeClient(ends_at(0), latency=lambda: 3.0)
    client.trouble = lambda asked: too_many(5.0) if len(client.requests) <= MAX_CONCURRENT_REQUESTS else None
    stepped: list[float] = []

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        now = [asyncio.create_task(wait(poll_loop, create_waiter(target, START))) for target in targets]
        await asyncio.sleep(2)  # half of them have asked, the others stand in the queue
        late = create_waiter(targets[-1], START + 2)
        late.on_step = lambda step: stepped.append(VirtualClock().now())
        return await outcomes_of(poll_loop, [*now, wait(poll_loop, late, 200.0)])

    assert run(work()) == [Outcome.SUCCEEDED] * (len(targets) + 1)
    assert stepped[0] >= START + 202


def test_refusals_without_a_time_hold_longer_and_longer() -> None:
    client = FakeClient(ends_at(0))
    client.trouble = lambda asked: too_many() if len(client.requests) <= 4 else None

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        return await outcomes_of(poll_loop, [wait(poll_loop, create_waiter(a_run(0), START, interval=1.0))])

    assert run(work()) == [Outcome.SUCCEEDED]
    times = [asked.at for asked in client.requests]
    gaps = [after - before for before, after in pairwise(times)]
    assert [gap >= hold for gap, hold in zip(gaps, [5, 10, 20, 40], strict=True)] == [True] * 4


def test_a_deadline_in_the_hold_is_kept_with_one_last_look_for_it_alone() -> None:
    client = FakeClient(ends_at(float("inf")))
    client.trouble = lambda asked: too_many(280.0) if len(client.requests) == 1 else None

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        waits = [
            wait(poll_loop, create_waiter(a_run(n), START, deadline=START + 50.0 * (n + 1)), 1.0 + n) for n in range(5)
        ]
        return await outcomes_of(poll_loop, waits)

    assert run(work()) == [Outcome.TIMED_OUT] * 5
    late = [asked.at - (START + 50.0 * (n + 1)) for n, asked in enumerate(client.requests[1:])]
    assert all(0 <= seconds <= MAX_SHARED_ALIGNMENT_SECONDS for seconds in late)
    assert [asked.targets for asked in client.requests[1:]] == [(a_run(n),) for n in range(5)]


A_DAY, YEAR_9999 = 86_400.0, 2.5e11


@pytest.mark.parametrize("asked_for", [A_DAY, YEAR_9999])
@pytest.mark.parametrize("refusal", [too_many, failure], ids=["429", "503"])
def test_a_hold_is_over_after_five_minutes_whatever_the_service_asks_for(refusal: Any, asked_for: float) -> None:
    client = FakeClient(ends_at(0))
    client.trouble = lambda asked: refusal(asked_for) if len(client.requests) == 1 else None

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        return await outcomes_of(
            poll_loop, [wait(poll_loop, create_waiter(a_run(n), START), 1.0 + n) for n in range(20)]
        )

    assert run(work()) == [Outcome.SUCCEEDED] * 20
    assert {asked.at >= START + 300 for asked in client.requests[1:]} == {True}
    assert client.requests[1].at < START + 320


@pytest.mark.parametrize("asked_for", [A_DAY, YEAR_9999])
def test_a_wait_with_a_small_error_budget_looks_when_it_would_be_spent(asked_for: float) -> None:
    """One refusal, to another wait: the patient ones sit the five minutes out, the impatient one does not."""
    client = FakeClient(ends_at(0))
    client.trouble = lambda asked: too_many(asked_for) if len(client.requests) == 1 else None
    patient, impatient = [a_run(n) for n in range(10)], a_run(99)

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        waits = [wait(poll_loop, create_waiter(target, START), 1.0 + n) for n, target in enumerate(patient)]
        return await outcomes_of(
            poll_loop, [*waits, wait(poll_loop, create_waiter(impatient, START, error_budget=20.0), 5.0)]
        )

    assert run(work()) == [Outcome.SUCCEEDED] * 11
    first, second, *others = client.requests
    assert second.targets == (impatient,)
    assert first.at + 20 <= second.at <= first.at + 25
    assert {asked.at >= first.at + 300 for asked in others} == {True}


def test_refused_again_and_again_each_wait_ends_by_its_own_error_budget() -> None:
    client = FakeClient(ends_at(0))
    client.trouble = lambda asked: too_many(A_DAY)
    ended: dict[float, float] = {}

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)

        async def timed(budget: float) -> WaitResult:
            result = await wait(poll_loop, create_waiter(a_run(int(budget)), START, error_budget=budget))
            ended[budget] = VirtualClock().now() - START
            return result

        return await outcomes_of(poll_loop, [timed(budget) for budget in (20.0, 100.0, 900.0)])

    assert run(work()) == [Outcome.UNOBSERVABLE] * 3
    assert all(budget <= end <= budget + 10 for budget, end in ended.items()), ended


@pytest.mark.parametrize(("status", "kind"), [(404, NotFoundError), (500, ServerError), (502, ServerError)])
def test_retry_after_on_another_status_holds_nobody(status: int, kind: type[Any]) -> None:
    client = FakeClient(ends_at(60))
    ill = a_run(0)
    error = kind("Service", "GET", "/x", status, "no", None, A_DAY)
    client.state = lambda target, now: error if target == ill else ends_at(60)(target, now)

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        waits = [wait(poll_loop, create_waiter(a_run(n), START, error_budget=30.0)) for n in range(5)]
        return await outcomes_of(poll_loop, waits)

    first, *others = run(work())
    assert first in {Outcome.REFUSED, Outcome.UNOBSERVABLE}
    assert others == [Outcome.SUCCEEDED] * 4
    assert client.requests[-1].at < START + 75


def test_errors_count_for_everyone_with_a_budget_of_their_own() -> None:
    client = FakeClient(ends_at(0))
    client.trouble = lambda asked: failure() if asked.at < START + 200 else None

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        budgets = (60.0, 900.0)
        return await outcomes_of(
            poll_loop, [wait(poll_loop, create_waiter(a_run(0), START, error_budget=budget)) for budget in budgets]
        )

    assert run(work()) == [Outcome.UNOBSERVABLE, Outcome.SUCCEEDED]


def test_a_fault_of_the_client_ends_the_waits_of_its_request_only() -> None:
    client = FakeClient(ends_at(20))
    bad = Target("portable", Kind.FLOW, "7")
    client.trouble = lambda asked: RuntimeError("a fault of ours") if bad in asked.targets else None

    async def work() -> list[Any]:
        poll_loop = create_poll_loop(client)
        waits = [
            wait(poll_loop, create_waiter(target, START)) for target in (bad, bad, Target("portable", Kind.FLOW, "8"))
        ]
        ends = await asyncio.gather(*waits, return_exceptions=True)
        assert_empty(poll_loop)
        return ends

    first, second, third = run(work())
    assert isinstance(first, RuntimeError)
    assert isinstance(second, RuntimeError)
    assert third.outcome is Outcome.SUCCEEDED


class BrokenWait:
    """A wait that fails where it is told to."""

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
        return NextAction(wait=5.0, messages=(LogMessage("going on"),))

    def log_messages(self, messages: Any) -> None:
        if self._fails_in == "tell":
            raise RuntimeError("broken")


@pytest.mark.parametrize("place", ["step", "tell", "target"])
def test_a_wait_that_fails_ends_with_its_exception_and_disturbs_nobody(place: str) -> None:
    async def work() -> list[Any]:
        poll_loop = create_poll_loop(FakeClient(ends_at(60)))
        broken: Any = BrokenWait(a_run(0), place)
        waits = [wait(poll_loop, create_waiter(a_run(number % 2), START)) for number in range(4)]
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
def test_a_hub_that_all_have_left_serves_the_next_ones_as_a_new_one_does(leave_at: float, latency: float) -> None:
    """Requests that were queued, created or under way when the last wait left leave nothing behind."""
    targets = [Target("portable", Kind.FLOW, str(number)) for number in range(3 * MAX_CONCURRENT_REQUESTS)]
    client = FakeClient(ends_at(0), latency=lambda: latency)

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        client.state = ends_at(1_000)
        waits = [asyncio.create_task(wait(poll_loop, create_waiter(target, START))) for target in targets]
        loop = asyncio.get_running_loop()
        # A timer of the same moment as the hub's own runs before the tasks that it makes.
        loop.call_at(leave_at, lambda: [waiting.cancel() for waiting in waits])
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*waits, return_exceptions=True)
        )
        assert_empty(poll_loop)
        client.state = ends_at(0)
        return await outcomes_of(poll_loop, [wait(poll_loop, create_waiter(target, START)) for target in targets])

    assert run(work()) == [Outcome.SUCCEEDED] * len(targets)


def test_who_leaves_while_a_request_is_under_way_leaves_the_others_alone() -> None:
    client = FakeClient(ends_at(30), latency=lambda: 2.0)

    async def work() -> list[Any]:
        poll_loop = create_poll_loop(client)
        waits = [asyncio.create_task(wait(poll_loop, create_waiter(a_run(number % 3), START))) for number in range(9)]
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
    flow = Target("portable", Kind.FLOW_RUNS, "1")

    def state(target: Target, now: float) -> tuple[FlowRun, ...]:
        return (run_of(target, Disposition.SUCCEEDED if now > START + 60 else Disposition.NONE, "10"),)

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
        waits = [wait(poll_loop, create_waiter(a_run(number), START, deadline=START + 10)) for number in range(3)]
        return await outcomes_of(poll_loop, waits)

    assert run(work()) == [Outcome.SUCCEEDED] * 3
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(client.requests)
    assert all("run_id='0'" in line and " and 2 more, waits: 3 " in line for line in lines)
    assert [line.rpartition(" ")[2] for line in lines] == ["first", "due", "deadline"]


def test_a_wait_that_pins_a_run_is_looked_at_by_that_run() -> None:
    """A flow's newest runs at first, the run that is seen going from then on, though a newer one begins."""
    flow = Target("portable", Kind.FLOW_RUNS, "1")
    followed_run_id = Target("portable", Kind.RUN, "1", "10")
    client = FakeClient(ends_at(0))

    def state(target: Target, now: float) -> tuple[FlowRun, ...]:
        end = Disposition.FAILED if now > START + 60 else Disposition.NONE
        if target == followed_run_id:
            return (run_of(target, end),)
        newest = (run_of(target, Disposition.SUCCEEDED, "11"),) if now > START + 10 else ()
        return (*newest, run_of(target, end, "10"))

    client.state = state

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        early = wait(poll_loop, create_waiter(flow, START))
        late = wait(poll_loop, create_waiter(flow, START), 20.0)
        return await outcomes_of(poll_loop, [early, late])

    assert run(work()) == [Outcome.FAILED, Outcome.SUCCEEDED]
    assert client.requests[0].targets == (flow,)
    assert {target for asked in client.requests if asked.at > START + 21 for target in asked.targets} == {
        followed_run_id
    }


def test_a_wait_with_a_long_interval_profits_from_the_looks_of_others() -> None:
    client = FakeClient(ends_at(100))
    ended: list[float] = []

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)

        async def slow() -> WaitResult:
            result = await wait(poll_loop, create_waiter(a_run(0), START, interval=3_000.0, deadline=START + 10_000))
            ended.append(VirtualClock().now())
            return result

        return await outcomes_of(poll_loop, [slow(), wait(poll_loop, create_waiter(a_run(0), START, interval=5.0))])

    assert run(work()) == [Outcome.SUCCEEDED] * 2
    assert ended[0] <= START + 110


def test_no_wait_ends_later_than_one_look_after_its_deadline() -> None:
    client = FakeClient(ends_at(float("inf")), latency=lambda: 1.0)
    ended: dict[int, float] = {}

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)

        async def timed(number: int) -> WaitResult:
            result = await wait(
                poll_loop, create_waiter(a_run(number), START, interval=600.0, deadline=START + 50 + number)
            )
            ended[number] = VirtualClock().now()
            return result

        return await outcomes_of(poll_loop, [timed(number) for number in range(100)])

    assert run(work()) == [Outcome.TIMED_OUT] * 100
    latest = MAX_SHARED_ALIGNMENT_SECONDS + 2
    assert all(START + 50 + number <= end <= START + 50 + number + latest for number, end in ended.items())


@pytest.mark.parametrize("span", [0.0, 7.0], ids=["at once", "within seven seconds"])
def test_waits_that_time_out_together_share_their_last_looks_as_all_others(span: float) -> None:
    client = FakeClient(ends_at(float("inf")), latency=lambda: 0.05)
    dice = Random(1)
    targets = [
        *(a_run(number) for number in range(103)),
        *(a_run(number, "tableflow") for number in range(50)),
        *(Target("portable", Kind.RUN, str(number % 5), str(number)) for number in range(50)),
    ]

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        plans = [{"interval": 60.0, "deadline": START + 600 + dice.uniform(0, span)} for _ in targets]
        waits = [
            wait(poll_loop, create_waiter(target, START, **config), dice.uniform(5.5, 10.5))
            for target, config in zip(targets, plans, strict=True)
        ]
        return await outcomes_of(poll_loop, waits)

    assert run(work()) == [Outcome.TIMED_OUT] * 203
    rounds = Counter(int((asked.at - START) // 60) for asked in client.requests if asked.at < START + 600)
    last = sum(asked.at >= START + 600 for asked in client.requests)
    assert last <= max(rounds[number] for number in range(4, 9)) + len(targets) / 50


def test_a_clock_that_is_off_is_told_to_each_step_and_warned_about_once() -> None:
    client = FakeClient(ends_at(30))
    offsets: list[float] = []
    warned: list[int] = []

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)

        async def waiting(number: int) -> WaitResult:
            waiter = create_waiter(a_run(number), START)
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


def test_waits_that_are_due_soon_come_along() -> None:
    client = FakeClient(ends_at(600))

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        waits = [wait(poll_loop, create_waiter(a_run(n), START, interval=5.0), 1.0 + 0.009 * n) for n in range(100)]
        return await outcomes_of(poll_loop, waits)

    assert run(work()) == [Outcome.SUCCEEDED] * 100
    last_rounds = [asked for asked in client.requests if START + 300 < asked.at < START + 600]
    assert Counter(len(asked.targets) for asked in last_rounds) == {100: len(last_rounds)}


PORTABLE_FLOWS = [Target("portable", Kind.FLOW, str(number % 10)) for number in range(1_000)]
PORTABLE_RUNS = [Target("portable", Kind.RUN, str(number % 10), str(number)) for number in range(1_000)]
PIECES = [a_run(number) for number in range(1_000)]


@pytest.mark.parametrize(
    ("targets", "most"),
    # Whoever is due within a fifth of a round comes along, so those who share make five groups at most.
    [(PORTABLE_FLOWS, 10), (PORTABLE_RUNS, 50), (PIECES, 20)],
    ids=["10 flows", "100 attempts of each of 10 flows", "1,000 runs read by id"],
)
def test_a_round_of_a_thousand_waits_takes_few_requests(targets: list[Target], most: int) -> None:
    client = FakeClient(ends_at(1_200), latency=lambda: 0.05)
    dice = Random(1)

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        waits = [
            wait(poll_loop, create_waiter(target, START, interval=60.0), dice.uniform(5.5, 10.5)) for target in targets
        ]
        return await outcomes_of(poll_loop, waits)

    assert run(work()) == [Outcome.SUCCEEDED] * 1_000
    # Once the looks have grown to the interval asked for.
    rounds = Counter(int((asked.at - START) // 60) for asked in client.requests)
    assert max(rounds[number] for number in range(5, 20)) <= most


def test_what_waits_for_its_turn_is_not_asked_for_again() -> None:
    """While the steps of one answer give way to the loop, somebody of the same group comes due."""
    runs = 3 * MAX_STEPS_IN_A_ROW
    client = FakeClient(ends_at(6))

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        loop: Any = asyncio.get_running_loop()

        async def newcomer() -> WaitResult:
            return await wait(poll_loop, create_waiter(a_run(runs), START), 0.0)

        steps = count()
        more: list[asyncio.Task[WaitResult]] = []

        def hear(step: Any) -> None:
            if next(steps) == MAX_STEPS_IN_A_ROW - 1:
                more.append(loop.create_task(newcomer()))
                loop.now += 0.001

        watches = [create_waiter(a_run(number), START) for number in range(runs)]
        for waiter in watches:
            waiter.on_step = hear
        ends = await asyncio.gather(*(wait(poll_loop, waiter) for waiter in watches))
        return await outcomes_of(poll_loop, [*more]) + [end.outcome for end in ends]

    assert run(work()) == [Outcome.SUCCEEDED] * (runs + 1)
    assert [asked.targets for asked in client.requests if START + 1 < asked.at < START + 2] == [(a_run(runs),)]


def test_an_unknown_run_is_asked_for_alone_and_refused() -> None:
    unknown = NotFoundError("Service", "GET", "/x", 404, "no such run")
    client = FakeClient(lambda target, now: unknown)

    async def work() -> list[Outcome]:
        poll_loop = create_poll_loop(client)
        return await outcomes_of(
            poll_loop, [wait(poll_loop, create_waiter(a_run(number), START)) for number in range(3)]
        )

    assert run(work()) == [Outcome.REFUSED] * 3
    assert [(len(asked.targets), asked.together) for asked in client.requests] == [(3, True), *[(1, False)] * 3]


def test_a_hub_and_its_client_go_with_the_last_wait() -> None:
    async def lookup() -> Any:
        raise AssertionError("nobody asks")

    async def work() -> weakref.ref[AsyncClient]:
        client = AsyncClient(lookup)
        poll_loop = get_poll_loop(client, "portable", "made_up")
        assert get_poll_loop(client, "portable", "made_up") is poll_loop
        waiting = asyncio.create_task(wait(poll_loop, create_waiter(a_run(0, "portable"), START)))
        await asyncio.sleep(0.5)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return weakref.ref(client)

    gone = run(work())
    gc.collect()
    assert gone() is None
