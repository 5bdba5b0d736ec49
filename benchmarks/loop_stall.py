"""
How long the event loop stands still under 200 waits, beside the same loop with nothing to do.

Run by ``make bench``. The figure that counts is the longest stall: the triggerer's other triggers wait that long.
What Airflow itself holds in memory is kept out of the garbage collector's rounds meanwhile (``gc.freeze``): walking it
takes longer than anything measured here, and a triggerer pays that with any trigger. The last line says how long.
"""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
import time
from collections.abc import Callable

WAITS = 200
INTERVAL = 1.0
SECONDS = 10.0


class StallMeter:
    """Measures by how much a loop is late to wake a coroutine that asks for it all the time."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def measure(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            self.longest = max(self.longest, time.perf_counter() - before - 0.001)


def seconds_of(work: Callable[[], object]) -> float:
    """Return how long a call takes."""
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


async def measured(work: list[asyncio.Task[object]]) -> float:
    """Run tasks to their end and return the longest stall meanwhile, in milliseconds."""
    meter = StallMeter()
    measuring = asyncio.create_task(meter.measure())
    await asyncio.gather(*work)
    measuring.cancel()
    return meter.longest * 1_000


def main() -> None:
    os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="flowruns-bench-"))
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"

    from airflow.providers.common.compat.connection import get_async_connection

    from airflow_provider_flowruns.client.aio_transport import MAX_CONNECTIONS
    from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger

    FlowRunTrigger.first_wait = (1.0, 2.0)
    from airflow_provider_flowruns.waiting.clock import Clock
    from airflow_provider_flowruns.waiting.watch import Watch, WatchPlan
    from benchmarks.server import sandbox_process

    def trigger(run_id: str) -> FlowRunTrigger:
        now = Clock().now()
        plan = WatchPlan(service="tableflow", kind="run", run_id=run_id, interval=INTERVAL, deadline=now + 10 * SECONDS)
        return FlowRunTrigger(conn_id="tableflow_default", watch=Watch(plan, now).to_json())

    async def event_of(one: FlowRunTrigger) -> object:
        return [event async for event in one.run()]

    async def idle() -> float:
        return await measured([asyncio.create_task(asyncio.sleep(SECONDS))])

    async def waiting(triggers: list[FlowRunTrigger]) -> float:
        return await measured([asyncio.create_task(event_of(one)) for one in triggers])

    with sandbox_process("tableflow", WAITS, 3 * SECONDS, latency=0.05) as sandbox:
        os.environ["AIRFLOW_CONN_TABLEFLOW_DEFAULT"] = sandbox.connection_with_ca()
        # Airflow's own first look-up imports modules; a triggerer has done that long before.
        asyncio.run(get_async_connection("tableflow_default"))
        nothing = asyncio.run(idle())
        triggers = [trigger(run_id) for run_id in sandbox.run_ids]
        collection = seconds_of(gc.collect) * 1_000
        gc.freeze()
        stall = asyncio.run(waiting(triggers))
        opened = sandbox.connections_opened()

    print(f"| {WAITS} waits, one look every {INTERVAL:g} s, TLS, 50 ms latency | figure |")
    print("|---|---|")
    print(f"| longest loop stall | {stall:.1f} ms |")
    print(f"| longest stall of an idle loop | {nothing:.1f} ms |")
    print(f"| TCP connections opened (at most {MAX_CONNECTIONS}) | {opened} |")
    print(f"| one full garbage collection of what Airflow holds | {collection:.1f} ms |")
    raise SystemExit(0 if stall < 50 and opened <= MAX_CONNECTIONS else 1)


if __name__ == "__main__":
    main()
