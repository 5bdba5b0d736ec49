"""Tests of reading the durations of a flow's earlier runs, once, where polls do not show them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from airflow_provider_flowruns.client.aio import AsyncClient
from airflow_provider_flowruns.model.errors import FlowRunsError
from airflow_provider_flowruns.model.runs import Disposition, FlowRun
from airflow_provider_flowruns.model.targets import NewestRunsTarget, RunTarget, Target
from airflow_provider_flowruns.polling.durations import DurationRange, RunDurations
from airflow_provider_flowruns.polling.wait_state import Outcome
from airflow_provider_flowruns.triggers import poll_loop as poll_loop_module
from airflow_provider_flowruns.triggers.history_reader import MIN_AGE_SECONDS, HistoryReader
from airflow_provider_flowruns.triggers.poll_loop import PollLoop, get_poll_loop
from tests.unit.triggers.fake_service import FakeClient, assert_empty, build_run, create_waiter, failure
from tests.virtual_time import START, VirtualClock, run

TOOK = (590.0, 600.0, 610.0)
DAY_SECONDS = 86_400.0


@pytest.fixture(autouse=True)
def virtual_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll_loop_module, "Clock", VirtualClock)


def show_runs(end: float, history: Callable[[], Any] | None = None) -> Callable[[Target, float], Any]:
    """Return the state of a service whose runs all begin at the start, belong to one flow and end at a time."""

    def state(target: Target, now: float) -> tuple[FlowRun, ...] | FlowRunsError:
        if isinstance(target, NewestRunsTarget):
            return history() if history else tuple(map(build_past_run, range(len(TOOK))))
        assert isinstance(target, RunTarget)
        disposition = Disposition.SUCCEEDED if now >= START + end else Disposition.NONE
        shown = build_run(RunTarget("activepieces", target.run_id, "flow"), disposition)
        return (replace(shown, started_at=datetime.fromtimestamp(START, UTC)),)

    return state


def build_past_run(number: int) -> FlowRun:
    began_at = START - DAY_SECONDS * (number + 1)
    return replace(
        build_run(RunTarget("activepieces", f"past {number}", "flow"), Disposition.SUCCEEDED),
        started_at=datetime.fromtimestamp(began_at, UTC),
        completed_at=datetime.fromtimestamp(began_at + TOOK[number], UTC),
    )


def wait_for_runs(client: FakeClient, durations: RunDurations, count: int = 3, interval: float = 60.0) -> list[float]:
    """Wait for runs at the same time, and return when the polls of the first one were sent, after the start."""

    async def work() -> None:
        reader = HistoryReader("activepieces", client, durations)
        poll_loop = PollLoop(client, durations, history=reader)  # type: ignore[arg-type]
        waiters = [create_waiter(RunTarget("activepieces", str(one)), START, interval=interval) for one in range(count)]
        for waiter in waiters:
            waiter.durations = durations
        results = await asyncio.gather(*(poll_loop.wait_for_result(one, lambda _: None, 1.0) for one in waiters))
        assert {result.outcome for result in results} == {Outcome.SUCCEEDED}
        assert_empty(poll_loop)

    run(work())
    first = RunTarget("activepieces", "0")
    return [request.at - START for request in client.requests if first in request.targets]


def count_history_requests(client: FakeClient) -> int:
    return sum(isinstance(target, NewestRunsTarget) for request in client.requests for target in request.targets)


def test_one_request_for_all_waits_on_a_flow_makes_polls_closer_around_its_usual_end() -> None:
    client, durations = FakeClient(show_runs(607)), RunDurations()
    polls = wait_for_runs(client, durations)
    assert count_history_requests(client) == 1
    assert durations.get_range("flow") == DurationRange(590, 610)
    assert polls[-1] - 607 < 10
    without = wait_for_runs(FakeClient(show_runs(607, lambda: ())), RunDurations())
    assert without[-1] - 607 > 30


def test_the_history_is_not_read_for_runs_that_end_soon_or_if_it_is_known() -> None:
    client = FakeClient(show_runs(MIN_AGE_SECONDS - 5))
    wait_for_runs(client, RunDurations())
    assert count_history_requests(client) == 0
    client, durations = FakeClient(show_runs(600)), RunDurations()
    durations.learn(map(build_past_run, range(len(TOOK))))
    wait_for_runs(client, durations)
    assert count_history_requests(client) == 0


@pytest.mark.parametrize("history", [lambda: (), failure])
def test_a_history_that_is_empty_or_cannot_be_read_is_not_read_again(history: Callable[[], Any]) -> None:
    client, durations = FakeClient(show_runs(600, history)), RunDurations()
    wait_for_runs(client, durations)
    wait_for_runs(client, durations)
    assert count_history_requests(client) == 1


def test_a_bug_in_reading_the_history_does_not_disturb_the_waits(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> Any:
        raise RuntimeError("a bug")

    wait_for_runs(FakeClient(show_runs(600, fail)), RunDurations())
    assert "Durations of earlier runs are not read any more" in caplog.text


@pytest.mark.parametrize(("service", "reads"), [("portable", False), ("activepieces", True), ("tableflow", True)])
def test_the_history_is_read_where_polls_do_not_show_it(service: str, reads: bool) -> None:
    async def lookup() -> Any:
        raise AssertionError("the connection was looked up")

    async def work() -> bool:
        return get_poll_loop(AsyncClient(lookup), service, f"test of {service}")._history is not None

    assert run(work()) is reads
