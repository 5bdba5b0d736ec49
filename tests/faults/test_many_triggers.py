"""Two hundred waits in one event loop: few connections, one lookup each, and nothing that blocks the loop."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.connection import get_async_connection
from airflow.triggers.base import TriggerEvent
from blockbuster import blockbuster_ctx

from airflow_provider_flowruns.client.aio_transport import MAX_CONNECTIONS
from airflow_provider_flowruns.client.clock import Clock
from airflow_provider_flowruns.model.targets import RunTarget
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import WaitConfig
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.triggers import connection, loop_metrics
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger
from tests.statsd_server import StatsdServer, reset_stats

WAITS = 200


@pytest.fixture(autouse=True)
def prompt_first_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to notice a deferral here."""
    monkeypatch.setattr(FlowRunTrigger, "first_wait", (0.2, 1.0))


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(tls=True, latency=0.05) as running:
        for name, value in running.connections().items():
            settings = json.loads(value)
            settings["extra"]["verify"] = running.ca_file
            monkeypatch.setenv(name, json.dumps(settings))
        yield running


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the lookups of Airflow connections, without replacing them."""
    counted: Counter[str] = Counter()
    look_up = get_async_connection

    async def counting(conn_id: str) -> Any:
        counted[conn_id] += 1
        return await look_up(conn_id)

    monkeypatch.setattr(connection, "get_async_connection", counting)
    return counted


def trigger_on(service: str, flow_id: Any, run_id: Any) -> FlowRunTrigger:
    now = Clock().now()
    config = WaitConfig(
        target=RunTarget(service, str(run_id), str(flow_id) if service == "portable" else None),
        interval_seconds=0.5,
        deadline_at=now + 60,
    )
    return FlowRunTrigger(conn_id=f"{service}_default", waiter=RunWaiter(config, now).to_json())


async def event_of(trigger: FlowRunTrigger) -> TriggerEvent:
    events = [event async for event in trigger.run()]
    assert len(events) == 1
    return events[0]


def run_all(triggers: list[FlowRunTrigger]) -> list[dict[str, Any]]:
    """Run triggers together in one loop in which a blocking call raises."""

    async def together() -> list[dict[str, Any]]:
        # Airflow's first lookup in a process imports modules, which a triggerer has already done.
        await get_async_connection(triggers[0].conn_id)
        with blockbuster_ctx():
            events = await asyncio.gather(*(event_of(trigger) for trigger in triggers))
        return [event.payload for event in events]

    return asyncio.run(together())


@pytest.mark.parametrize("service", ["portable", "activepieces", "tableflow"])
def test_waits_of_one_connection_share_everything(service: str, sandbox: Sandbox, lookups: Counter[str]) -> None:
    flow = getattr(sandbox, service).add_flow()
    runs = [flow.add_run(outcome=outcome, waiting=0.1, running=1.0) for outcome in ("SUCCEEDED", "FAILED")]

    verdicts = run_all([trigger_on(service, flow.id, runs[number % 2].id) for number in range(WAITS)])

    outcomes = [result["outcome"] for result in verdicts]
    assert outcomes == ["succeeded", "failed"] * (WAITS // 2)
    assert lookups == {f"{service}_default": 1}
    assert sandbox.ledger.connections_opened <= MAX_CONNECTIONS


def test_metrics_are_reported_without_blocking_the_loop(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = sandbox.portable.add_flow()
    run = flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=1.0)
    with StatsdServer() as server:
        for name, value in server.build_settings(has_tags=True).items():
            monkeypatch.setenv(name, value)
        reset_stats(monkeypatch)
        verdicts = run_all([trigger_on("portable", flow.id, run.id) for _ in range(10)])
        loop_metrics._get_reporter().submit(int).result()  # after the last report
        assert [result["outcome"] for result in verdicts] == ["succeeded"] * 10
        assert server.find("flowruns.wait.open")[-1:] == [0.0]
        assert len(server.find("flowruns.wait.detection_delay")) == 10
        assert sum(server.find("flowruns.poll.sent")) == sandbox.ledger.count()


def test_connections_are_closed_after_the_last_wait(sandbox: Sandbox) -> None:
    flow = sandbox.tableflow.add_flow()
    run = flow.add_run(outcome="SUCCEEDED", waiting=0.0, running=0.1)

    async def two_generations() -> None:
        await event_of(trigger_on("tableflow", flow.id, run.id))
        first = sandbox.ledger.connections_opened
        await event_of(trigger_on("tableflow", flow.id, run.id))
        assert sandbox.ledger.connections_opened == first + 1

    asyncio.run(two_generations())


def test_a_cancelled_wait_leaves_the_others_alone(sandbox: Sandbox) -> None:
    flow = sandbox.activepieces.add_flow()
    run = flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=1.5)

    async def cancel_one() -> dict[str, Any]:
        waits = [asyncio.create_task(event_of(trigger_on("activepieces", flow.id, run.id))) for _ in range(3)]
        await asyncio.sleep(1)
        waits[0].cancel()
        events = await asyncio.gather(*waits, return_exceptions=True)
        assert isinstance(events[0], asyncio.CancelledError)
        assert events[1].payload == events[2].payload
        return events[1].payload

    assert asyncio.run(cancel_one())["outcome"] == "succeeded"


def test_a_changed_token_is_picked_up_once(
    sandbox: Sandbox, lookups: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = sandbox.portable.add_flow()
    run = flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=1.5)
    name = "AIRFLOW_CONN_PORTABLE_DEFAULT"
    good = sandbox.connection_json("portable")
    settings = {**json.loads(good), "extra": {"verify": sandbox.ca_file}}
    monkeypatch.setenv(name, json.dumps({**settings, "password": "made-up-old-token"}))
    triggers = [trigger_on("portable", flow.id, run.id) for _ in range(20)]

    looked_up = asyncio.Event()
    look_up = vars(connection)["get_async_connection"]  # the one that counts

    async def look_up_and_notify(conn_id: str) -> Any:
        found = await look_up(conn_id)
        looked_up.set()
        return found

    monkeypatch.setattr(connection, "get_async_connection", look_up_and_notify)

    async def rotate() -> list[TriggerEvent]:
        waits = [asyncio.create_task(event_of(trigger)) for trigger in triggers]
        async with asyncio.timeout(30):
            await looked_up.wait()
        monkeypatch.setenv(name, json.dumps(settings))
        return await asyncio.gather(*waits)

    assert {event.payload["outcome"] for event in asyncio.run(rotate())} == {"succeeded"}
    assert lookups == {"portable_default": 2}


def test_a_token_that_stays_wrong_is_looked_up_again_once_and_refused(
    sandbox: Sandbox, lookups: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = sandbox.portable.add_flow()
    run = flow.add_run(outcome="RUNNING")
    settings = {**json.loads(sandbox.connection_json("portable")), "extra": {"verify": sandbox.ca_file}}
    monkeypatch.setenv("AIRFLOW_CONN_PORTABLE_DEFAULT", json.dumps({**settings, "password": "made-up-old-token"}))

    verdicts = run_all([trigger_on("portable", flow.id, run.id) for _ in range(20)])

    assert {(result["outcome"], result["error"]["class"]) for result in verdicts} == {
        ("refused", "AuthenticationError")
    }
    assert lookups == {"portable_default": 2}
    assert "made-up-old-token" not in json.dumps(verdicts)
