"""Several runs in few requests: they show the same as polls of their own, and each wait gets its own run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_flowruns.hooks.base import create_hook
from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.model.targets import RunTarget
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.testing.adapter import SensorKind, ServiceAdapter
from airflow_provider_flowruns.testing.base import ConformanceBase, for_each, make_sensor
from airflow_provider_flowruns.testing.task_modes import first_event, task_context
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger

#: Number of deferred waits in one event loop.
WAITS = 40
#: Seconds between two polls.
INTERVAL = 0.5


def _list_sensors_on_runs(adapter: ServiceAdapter) -> Iterator[Any]:
    for kind in adapter.sensors:
        if kind.by_run and adapter.service.batch_key(RunTarget(kind.service, "1", "1")) is not None:
            yield pytest.param(kind, id=kind.name)


class BatchTests(ConformanceBase):
    """For a service whose runs can share a request."""

    @for_each("kind", _list_sensors_on_runs)
    def test_a_batch_shows_what_polls_of_the_runs_show(self, kind: SensorKind, sandbox: Sandbox) -> None:
        """And nothing for a run that does not exist."""
        flow = kind.add_flow(sandbox)
        active = [flow.add_run(outcome="RUNNING", waiting=0.0, ago=10.0 + number) for number in range(8)]
        ended = [flow.add_run(outcome=outcome, ago=30.0) for outcome in ("SUCCEEDED", "FAILED")]
        targets = [RunTarget(kind.service, str(run.id), str(flow.id)) for run in (*active, *ended)]
        unknown = RunTarget(kind.service, kind.unknown_id, str(flow.id))
        with create_hook(kind.info, kind.info.default_conn_id) as hook:
            expected = {target: hook.client.execute(hook.api.poll(target)) for target in targets}
            requests = sandbox.ledger.count()
            batch = hook.client.execute(hook.api.poll_batch((*targets, unknown), len(targets) + 1, 100))
        assert len({hook.api.batch_key(target) for target in targets}) == 1
        assert sandbox.ledger.count() - requests < len(targets) / 2
        assert {*targets[: len(active)]} <= batch.found.keys() <= {*targets}
        for target, runs in batch.found.items():
            assert [_get_facts(run) for run in runs] == [_get_facts(run) for run in expected[target]]

    @for_each("kind", _list_sensors_on_runs)
    def test_deferred_waits_share_requests_and_each_gets_its_own_run(
        self, kind: SensorKind, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also those that fail."""
        monkeypatch.setattr(FlowRunTrigger, "first_wait", (0.3, 0.3))
        flow = kind.add_flow(sandbox)
        runs = [flow.add_run(outcome="RUNNING", waiting=0.0, ago=float(number)) for number in range(WAITS)]
        triggers = [_defer(kind, flow, run) for run in runs]
        sandbox.ledger.clear()

        async def wait_for_all() -> list[Any]:
            waits = asyncio.gather(*(first_event(*trigger) for trigger in triggers))
            await asyncio.to_thread(_end_after_some_rounds, sandbox, runs)
            return await waits

        events = asyncio.run(wait_for_all())
        assert [event["run"]["run_id"] for event in events] == [str(run.id) for run in runs]
        assert [event["outcome"] for event in events] == ["failed", "succeeded"] * (WAITS // 2)
        # Polled one by one, each round would take as many requests as there are waits.
        assert sandbox.ledger.count() <= 3 * WAITS


def _end_after_some_rounds(sandbox: Sandbox, runs: list[Any]) -> None:
    """End the runs once they have been polled for four intervals."""
    while not (seen := sandbox.ledger.requests) or seen[-1].time - seen[0].time < 4 * INTERVAL:
        time.sleep(0.05)
    for number, run in enumerate(runs):
        run.end("SUCCEEDED" if number % 2 else "FAILED")


def _defer(kind: SensorKind, flow: Any, run: Any) -> tuple[str, dict[str, Any]]:
    make = make_sensor(kind, kind.arguments(str(flow.id), str(run.id)), poke_interval=INTERVAL, timeout=60.0)
    with pytest.raises(TaskDeferred) as deferred:
        make(deferrable=True).execute(task_context())
    path, arguments = deferred.value.trigger.serialize()
    return path, arguments


def _get_facts(run: FlowRun) -> tuple[Any, ...]:
    return run.run_id, run.flow_id, run.lifecycle, run.disposition, run.vendor_status, run.created_at
