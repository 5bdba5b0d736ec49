"""Exchanges in virtual time: each is cancelled when its own time is over, with one timer for all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from airflow_provider_flowruns.client.exchange_timeout import ExchangeTimeout, TimedExchange
from tests.virtual_time import VirtualLoop, run


async def exchange(limit: ExchangeTimeout, seconds: float, begins_after: float = 0.0) -> tuple[str, float]:
    """Return how an exchange that takes some seconds ended, and when."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(begins_after)
    try:
        with TimedExchange(limit):
            await asyncio.sleep(seconds)
    except TimeoutError:
        return "timed out", loop.time()
    return "ended", loop.time()


def run_with_timeout(work: Callable[[ExchangeTimeout], Awaitable[Any]], seconds: float = 10.0) -> Any:
    async def run_it() -> Any:
        limit = ExchangeTimeout(seconds)
        result = await work(limit)
        assert not limit.running
        limit.close()
        return result

    return run(run_it())


def test_each_exchange_has_its_own_time() -> None:
    async def work(limit: ExchangeTimeout) -> list[tuple[str, float]]:
        durations = ((20.0, 0.0), (9.0, 1.0), (20.0, 3.0), (20.0, 3.0), (1.0, 5.0), (20.0, 50.0))
        return await asyncio.gather(*(exchange(limit, *one) for one in durations))

    assert run_with_timeout(work) == [
        ("timed out", 10.0),
        ("ended", 10.0),
        ("timed out", 13.0),
        ("timed out", 13.0),
        ("ended", 6.0),
        ("timed out", 60.0),
    ]


def test_one_timer_serves_all_exchanges() -> None:
    async def work(limit: ExchangeTimeout) -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        before = len(loop._scheduled)
        tasks = [asyncio.create_task(exchange(limit, 8.0)) for _ in range(100)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        timers = len(loop._scheduled) - before - len(tasks)  # each of them sleeps
        await asyncio.gather(*tasks)
        return timers

    assert run_with_timeout(work) == 1


def test_a_task_that_is_cancelled_by_someone_else_has_not_timed_out() -> None:
    async def work(limit: ExchangeTimeout) -> None:
        task = asyncio.create_task(exchange(limit, 20.0))
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_with_timeout(work)


def test_a_task_that_is_cancelled_in_the_moment_of_its_timeout_stays_cancelled() -> None:
    async def work(limit: ExchangeTimeout) -> None:
        task = asyncio.create_task(exchange(limit, 20.0))
        asyncio.get_running_loop().call_at(10.0, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    run_with_timeout(work)


def test_a_task_goes_on_after_a_timeout() -> None:
    async def work(limit: ExchangeTimeout) -> list[str]:
        return [(await exchange(limit, seconds))[0] for seconds in (20.0, 5.0, 20.0)]

    assert run_with_timeout(work) == ["timed out", "ended", "timed out"]


def test_an_error_of_the_exchange_passes() -> None:
    async def work(limit: ExchangeTimeout) -> None:
        with pytest.raises(ValueError, match="broken"), TimedExchange(limit):
            raise ValueError("broken")

    run_with_timeout(work)
