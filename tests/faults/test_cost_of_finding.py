"""Requests that it takes to find the runs of starts, however many other runs of the flow there are."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.services.registry import get_service
from airflow_provider_flowruns.tasks import polling as polling_module
from airflow_provider_flowruns.testing.task_modes import first_event, run_task, task_context
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger
from tests.faults.starts import Make, add_flow, started


def requests(sandbox: Sandbox, service: str) -> Counter[str]:
    """Count the requests by what they are for."""
    kinds: Counter[str] = Counter()
    for request in sandbox.ledger.requests:
        by_id = dict(request.query).get("flowRunIds") or request.path.split("/")[-1] not in {"flow-runs", "runs", "run"}
        kinds["start" if request.method == "POST" else "by id" if by_id else "list"] += 1
    assert sum(kinds.values()) == sandbox.ledger.count(service=service)
    return kinds


def reads_by_id(sandbox: Sandbox) -> Counter[str]:
    paths = [one.path for one in sandbox.ledger.requests if one.method == "GET" and "/flow-runs/" in one.path]
    return Counter(path.rpartition("/")[2] for path in paths)


def defer(make: Any, number: int) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferred:
        make().execute(task_context(map_index=number))
    return deferred.value


def wait_in_one_triggerer(deferred: list[TaskDeferred]) -> list[Any]:
    """Fire the triggers of some tasks in one event loop, as a triggerer does."""

    async def fire() -> list[Any]:
        triggers = [json.loads(json.dumps(one.trigger.serialize())) for one in deferred]
        return await asyncio.gather(*(first_event(path, arguments) for path, arguments in triggers))

    return asyncio.run(fire())


@pytest.mark.parametrize("starts", [25, 50])
@pytest.mark.nightly
def test_many_starts_at_once_find_their_runs_for_four_requests_each(
    starts: int, sandbox: Sandbox, operator: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FlowRunTrigger, "first_wait", (5.5, 8.0))
    flow = add_flow(sandbox, "activepieces", waiting=0.3, running=20.0)
    make = operator("activepieces", flow, deferrable=True, poll_interval=5.0, timeout=120.0)
    with ThreadPoolExecutor(starts) as threads:
        deferred = list(threads.map(lambda number: defer(make, number), range(starts)))

    events = wait_in_one_triggerer(deferred)

    assert {event["outcome"] for event in events} == {"succeeded"}
    assert sorted(event["run"]["run_id"] for event in events) == sorted(started(sandbox, flow))
    for_finding = requests(sandbox, "activepieces")["list"] + sum(reads_by_id(sandbox).values())
    assert for_finding <= 4 * starts


@pytest.mark.parametrize("service", ["portable", "tableflow"])
def test_the_waits_for_starts_of_one_flow_share_a_list(
    service: str, sandbox: Sandbox, operator: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten starts whose runs become visible only after several polls."""
    api = get_service(service)
    monkeypatch.setattr(api, "info", replace(api.info, appear_within=60.0))
    monkeypatch.setattr(polling_module, "FIND_BEFORE_DEFERRING_SECONDS", 0.0)
    flow = add_flow(sandbox, service, visible_after=10.0, running=0.5)
    sandbox.faults.add("accept_then_reset", method="POST", path="/run$", times=None)
    make = operator(service, flow, deferrable=True, poll_interval=1.0, timeout=60.0)
    with ThreadPoolExecutor(10) as threads:
        deferred = list(threads.map(lambda number: defer(make, number), range(10)))
    sandbox.ledger.clear()

    events = wait_in_one_triggerer(deferred)

    assert {event["outcome"] for event in events} == {"succeeded"}
    polls = 10  # in ten seconds, of each wait
    assert requests(sandbox, service)["list"] <= 10 * polls / 2


def test_other_runs_of_the_flow_are_not_read_again_and_again(sandbox: Sandbox, operator: Make) -> None:
    """200 other runs in the two minutes around the start."""
    flow = add_flow(sandbox, "activepieces", waiting=0.0, running=0.5)
    for number in range(200):
        flow.add_run(ago=60.0 - 0.6 * number, waiting=0.0, running=0.5)

    end = run_task(operator("activepieces", flow), task_context())

    assert (end.state, started(sandbox, flow)) == ("success", [end.xcom["run_id"]]), end
    reads = reads_by_id(sandbox)
    reads.pop(end.xcom["run_id"])
    assert max(reads.values(), default=0) <= 1
    assert requests(sandbox, "activepieces")["list"] <= 8
