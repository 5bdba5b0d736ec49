"""What the poll loop reports, in virtual time, and that no backend can hold it up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from airflow_provider_flowruns import metrics as metrics_module
from airflow_provider_flowruns.metrics import ConnectionMetrics
from airflow_provider_flowruns.model.runs import Disposition, FlowRun
from airflow_provider_flowruns.model.targets import Target
from airflow_provider_flowruns.polling.durations import RunDurations
from airflow_provider_flowruns.polling.wait_state import Outcome, WaitResult
from airflow_provider_flowruns.triggers import loop_metrics
from airflow_provider_flowruns.triggers import poll_loop as poll_loop_module
from airflow_provider_flowruns.triggers.loop_metrics import REPORT_INTERVAL_SECONDS
from airflow_provider_flowruns.triggers.poll_loop import PollLoop
from tests.statsd_server import StatsdServer
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

END_SECONDS = 32.0


@pytest.fixture(autouse=True)
def virtual_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll_loop_module, "Clock", VirtualClock)


class ImmediateExecutor(Executor):
    """Does what a thread would do later: in virtual time, ten seconds are over before a thread has begun."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(function(*args, **kwargs))
        return done


@pytest.fixture
def statsd(statsd: StatsdServer, monkeypatch: pytest.MonkeyPatch) -> StatsdServer:
    """Return a server to which the poll loop reports at once."""
    executor = ImmediateExecutor()
    monkeypatch.setattr(loop_metrics, "_get_reporter", lambda: executor)
    return statsd


@pytest.fixture
def reporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadPoolExecutor]:
    """Let Airflow's metrics be on, and return the thread that reports them."""
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
    loop_metrics._get_reporter.cache_clear()
    yield loop_metrics._get_reporter()
    loop_metrics._get_reporter().shutdown()
    loop_metrics._get_reporter.cache_clear()


def show_runs(target: Target, now: float) -> tuple[FlowRun, ...]:
    """Return the state of runs that all end after the same time."""
    if now < START + END_SECONDS:
        return (build_run(target),)
    ended = datetime.fromtimestamp(START + END_SECONDS, UTC)
    return (replace(build_run(target, Disposition.SUCCEEDED), completed_at=ended),)


def create_poll_loop(client: Any) -> PollLoop:
    return PollLoop(client, RunDurations(), ConnectionMetrics.create("portable", "portable_default"))


async def wait(poll_loop: PollLoop, number: int = 0, service: str = "portable") -> WaitResult:
    waiter = create_waiter(build_target(number, service), START)
    return await poll_loop.wait_for_result(waiter, lambda messages: None, 1.0)


def test_a_wait_is_counted_from_its_first_poll_to_its_end(statsd: StatsdServer) -> None:
    client = FakeClient(show_runs)

    async def work() -> Outcome:
        poll_loop = create_poll_loop(client)
        result = await wait(poll_loop)
        assert_empty(poll_loop)
        return result.outcome

    assert run(work()) is Outcome.SUCCEEDED
    polls = len(client.requests)
    assert polls > 3
    assert statsd.sum_counters() == {"flowruns.poll.sent": polls, "flowruns.poll.targets": polls}
    assert statsd.find("flowruns.poll.latency") == pytest.approx([50.0] * polls)
    (delay,) = statsd.find("flowruns.wait.detection_delay")
    assert delay == pytest.approx(1000 * (client.requests[-1].at + 0.05 - START - END_SECONDS))


def test_the_gauge_follows_the_waits_and_ends_at_zero(statsd: StatsdServer) -> None:
    async def work() -> None:
        poll_loop = create_poll_loop(FakeClient(show_runs))
        await asyncio.gather(*(wait(poll_loop, number) for number in range(3)))

    run(work())
    first, *later, last = statsd.find("flowruns.wait.open", service="portable", conn_id="portable_default")
    assert (first, last) == (1.0, 0.0)
    assert later == [3.0] * int(END_SECONDS // REPORT_INTERVAL_SECONDS)


def test_the_gauge_ends_at_zero_when_the_triggerer_cancels_the_waits(statsd: StatsdServer) -> None:
    async def work() -> None:
        poll_loop = create_poll_loop(FakeClient(show_runs))
        waits = [asyncio.ensure_future(wait(poll_loop, number)) for number in range(3)]
        await asyncio.sleep(END_SECONDS / 2)
        for one in waits:
            one.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        assert_empty(poll_loop)

    run(work())  # which checks that no timer is left
    assert statsd.find("flowruns.wait.open") == [1.0, 3.0, 0.0]


def test_waits_after_a_pause_are_reported_again(statsd: StatsdServer) -> None:
    async def work() -> None:
        poll_loop = create_poll_loop(FakeClient(show_runs))
        await wait(poll_loop)
        await asyncio.sleep(3 * REPORT_INTERVAL_SECONDS)
        await wait(poll_loop)

    run(work())
    assert statsd.find("flowruns.wait.open") == [1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0]


def test_a_batch_is_one_poll_of_many_targets(statsd: StatsdServer) -> None:
    client = FakeClient(show_runs)

    async def work() -> None:
        poll_loop = create_poll_loop(client)
        await asyncio.gather(*(wait(poll_loop, number, "activepieces") for number in range(40)))

    run(work())
    targets = sum(len(request.targets) for request in client.requests)
    assert targets > 10 * len(client.requests)
    assert statsd.sum_counters() == {"flowruns.poll.sent": len(client.requests), "flowruns.poll.targets": targets}


def test_errors_are_counted_by_class_and_pauses_of_the_connection_once(statsd: StatsdServer) -> None:
    client = FakeClient(show_runs)
    answers = iter([failure(), failure(), rate_limit(20.0)])
    client.trouble = lambda request: next(answers, None)

    async def work() -> tuple[WaitResult, WaitResult]:
        poll_loop = create_poll_loop(client)
        return await asyncio.gather(wait(poll_loop, 0), wait(poll_loop, 1))

    assert [result.outcome for result in run(work())] == [Outcome.SUCCEEDED] * 2
    assert statsd.find("flowruns.poll.errors", error="ServerError") == [2.0]
    assert statsd.find("flowruns.poll.errors", error="RateLimitError") == [1.0]
    assert statsd.find("flowruns.poll.backoffs") == [1.0]


def test_a_bug_is_counted_too(statsd: StatsdServer) -> None:
    client = FakeClient(show_runs)
    client.trouble = lambda request: RuntimeError("a bug")

    async def work() -> None:
        with pytest.raises(RuntimeError):
            await wait(create_poll_loop(client))

    run(work())
    assert statsd.find("flowruns.poll.errors", error="RuntimeError") == [1.0]


def test_a_run_that_ended_before_the_wait_has_no_delay(statsd: StatsdServer) -> None:
    """It would be hours, and says nothing about how fast an end is found."""
    ended = datetime.fromtimestamp(START - 3_600, UTC)
    client = FakeClient(lambda target, now: (replace(build_run(target, Disposition.SUCCEEDED), completed_at=ended),))
    run(wait_alone(client))
    assert statsd.find("flowruns.poll.sent") == [1.0]
    assert statsd.find("flowruns.wait.detection_delay") == []


async def wait_alone(client: FakeClient) -> WaitResult:
    return await wait(create_poll_loop(client))


class Backend:
    """A backend that blocks until it is released, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.is_released = threading.Event()
        self.threads: set[str] = set()
        self.totals: dict[str, float] = {}

    def _receive(self, stat: str, value: Any, *, tags: Any) -> None:
        self.threads.add(threading.current_thread().name)
        if self.error:
            raise self.error
        self.is_released.wait(60)
        if isinstance(value, int):
            self.totals[stat] = self.totals.get(stat, 0) + value

    incr = gauge = timing = _receive


def test_a_backend_that_blocks_holds_up_no_wait_and_loses_no_count(
    monkeypatch: pytest.MonkeyPatch, reporter: ThreadPoolExecutor
) -> None:
    backend = Backend()
    monkeypatch.setattr(metrics_module, "get_stats", lambda: backend)
    client = FakeClient(show_runs)
    assert run(wait_alone(client)).outcome is Outcome.SUCCEEDED  # while the backend blocks
    assert backend.totals == {}
    backend.is_released.set()
    reporter.submit(int).result()
    assert backend.totals["flowruns.poll.sent"] == len(client.requests)
    assert {name.rpartition("_")[0] for name in backend.threads} == {"flowruns-metrics"}


def test_a_backend_that_fails_disturbs_no_wait(monkeypatch: pytest.MonkeyPatch, reporter: ThreadPoolExecutor) -> None:
    backend = Backend(OSError("network is unreachable"))
    monkeypatch.setattr(metrics_module, "get_stats", lambda: backend)
    assert run(wait_alone(FakeClient(show_runs))).outcome is Outcome.SUCCEEDED
    reporter.submit(int).result()
    assert backend.threads


def test_a_wait_survives_the_end_of_the_reporting_thread(reporter: ThreadPoolExecutor) -> None:
    """The interpreter ends its threads before the last waits are cancelled."""
    reporter.shutdown()
    assert run(wait_alone(FakeClient(show_runs))).outcome is Outcome.SUCCEEDED


def test_nothing_is_counted_while_metrics_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> ThreadPoolExecutor:
        raise AssertionError("a report")

    monkeypatch.setattr(loop_metrics, "_get_reporter", fail)

    async def work() -> None:
        poll_loop = create_poll_loop(FakeClient(show_runs))
        assert poll_loop._metrics is None
        await wait(poll_loop)

    run(work())
