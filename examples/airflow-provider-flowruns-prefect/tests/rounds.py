"""Hundreds of deferred waits in one event loop, and how many requests it takes to poll each of them once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from airflow_provider_flowruns.model.targets import RunTarget
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import WaitConfig
from airflow_provider_flowruns.testing.task_modes import first_event
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger

WAITS, MAX_REQUESTS_PER_ROUND, ROUNDS = 500, 10, 5
#: Seconds for which new waits are polled at random times and more often, so that they do not all start together.
WARM_UP_SECONDS = 15.0
#: Number of runs that end; the other waits are then cancelled.
ENDED = 20
INTERVAL_SECONDS, TIMEOUT_SECONDS = 5.0, 300.0


class Request(NamedTuple):
    """A request that a server got.

    :param at: Unix time of its arrival.
    :param path: its path.
    :param body: its body.
    """

    at: float
    path: str
    body: bytes


def wait_together(
    run_ids: Sequence[str], get_requests: Callable[[], Sequence[Request]], end_run: Callable[[str], None]
) -> tuple[list[int], list[Any]]:
    """Return how many requests each round took, and the events of the waits whose runs ended.

    :param run_ids: the runs to wait for.
    :param get_requests: returns the requests that the server has got since the waits began.
    :param end_run: ends a run.
    """

    def watch_and_end() -> list[int]:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while len(rounds := count_requests_by_round(get_requests(), run_ids)) < ROUNDS:
            assert time.monotonic() < deadline, rounds
            time.sleep(0.5)
        for run_id in run_ids[:ENDED]:
            end_run(run_id)
        return rounds

    async def wait() -> tuple[list[int], list[Any]]:
        waits = [asyncio.create_task(first_event(*build_wait(run_id))) for run_id in run_ids]
        rounds = await asyncio.to_thread(watch_and_end)
        events = await asyncio.gather(*waits[:ENDED])
        for one in waits:
            one.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        return rounds, events

    return asyncio.run(wait())


def build_wait(run_id: str) -> tuple[str, dict[str, Any]]:
    """Return the trigger of a deferred wait for a run, as Airflow stores it."""
    now = time.time()
    target = RunTarget("prefect", run_id)
    config = WaitConfig(target=target, interval_seconds=INTERVAL_SECONDS, deadline_at=now + 2 * TIMEOUT_SECONDS)
    return FlowRunTrigger(conn_id="prefect_default", waiter=RunWaiter(config, now).to_json()).serialize()


def count_requests_by_round(requests: Sequence[Request], run_ids: Sequence[str]) -> list[int]:
    """Return how many requests each round took, in which every run was read at least once."""
    rounds: list[int] = []
    missing, count = set(run_ids), 0
    for request in requests:
        if request.at < requests[0].at + WARM_UP_SECONDS:
            continue
        assert request.path.endswith("/api/flow_runs/filter")
        missing.difference_update(json.loads(request.body)["flow_runs"]["id"]["any_"])
        count += 1
        if not missing:
            rounds.append(count)
            missing, count = set(run_ids), 0
    return rounds
