"""Measure a number of waits of one candidate in a separate process.

The waits are started as the triggerer starts them, in batches of fifty and one per iteration of the event loop, but
over one interval instead of one second per batch. Then the CPU time of the process is measured over some intervals in
which no run ends. Finally all runs end at different times.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import multiprocessing
import os
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.candidates import CANDIDATES, CONN_ID, Candidate, Trigger, TriggerFactory
from benchmarks.polling_server import LATENCY_SECONDS, PollingServer, allow_many_connections

#: Number of triggers that the triggerer starts at a time.
BATCH_SIZE = 50
#: Seconds after which a measurement has failed.
_TIMEOUT_SECONDS = 300.0
#: One trigger in this number starts before the first measurement of memory, so that shared objects exist by then.
_FIRST_FRACTION = 10
#: The memory of fewer waits cannot be told from that of everything else.
_MIN_WAITS_FOR_MEMORY = 100
#: Number of times that memory is measured over one interval: what a poll needs for a moment should not count.
_MEMORY_SAMPLES = 7


@dataclass(frozen=True)
class Load:
    """The load of a measurement.

    :param waits: number of waits.
    :param interval: polling interval in seconds.
    :param rounds: number of intervals over which CPU time is measured.
    :param metered: measure stalls and memory too. This uses CPU time, so the lifetime CPU time is not measured then.
    """

    waits: int
    interval: float = 3.0
    rounds: int = 1
    metered: bool = False


@dataclass(frozen=True)
class Sample:
    """The results of a measurement. A round is one poll of every run (or flow).

    :param waits: number of waits.
    :param cpu: CPU seconds per wait and round, while no wait starts or ends.
    :param lifetime_cpu: the same over the lifetime of the waits, with connecting, starting and ending; None if metered.
    :param requests: number of requests per round.
    :param pace: rounds per interval: 1 if the interval was kept.
    :param connections: TCP connections opened per round.
    :param connections_opened: TCP connections opened in total.
    :param stall: longest time in seconds for which the event loop was blocked; None if not metered.
    :param stall_without_gc: the same without the time of Python's garbage collector.
    :param memory: bytes per additional wait; None if not metered, or with few waits.
    :param delay: median seconds from a run's end to the event.
    """

    waits: int
    cpu: float
    lifetime_cpu: float | None
    requests: float
    pace: float
    connections: float
    connections_opened: int
    stall: float | None
    stall_without_gc: float | None
    memory: float | None
    delay: float


def measure(name: str, load: Load, server: PollingServer) -> Sample:
    """Measure a candidate in a separate process."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_run_in_child, args=(there, name, load, server))
    process.start()
    there.close()
    try:
        if not here.poll(_TIMEOUT_SECONDS):
            raise RuntimeError(f"measuring {name} did not finish within {_TIMEOUT_SECONDS:.0f} s")
        return here.recv()  # type: ignore[no-any-return]
    except EOFError:
        raise RuntimeError(f"measuring {name} failed, see above") from None
    finally:
        process.join(timeout=10)
        process.kill()


def _run_in_child(pipe: Any, name: str, load: Load, server: PollingServer) -> None:
    # All candidates trust the server in the same way. Must be set before the first TLS context is created.
    os.environ |= dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), server.ca_file)
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"
    allow_many_connections()
    candidate = CANDIDATES[name]
    connection = candidate.connection(f"127.0.0.1:{server.port}")
    os.environ[f"AIRFLOW_CONN_{CONN_ID.upper()}"] = json.dumps(connection)
    pipe.send(asyncio.run(_Measurement(candidate, load, server).run()))


class StallMeter:
    """Measures how late the event loop wakes a coroutine that sleeps for one millisecond at a time."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.longest_without_gc = 0.0
        self._gc_seconds = 0.0
        self._gc_started_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start measuring."""
        gc.callbacks.append(self._track_gc)
        self._task = asyncio.create_task(self._measure())

    async def stop(self) -> None:
        """Stop measuring, because it uses CPU time."""
        if self._task:
            gc.callbacks.remove(self._track_gc)
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def _track_gc(self, phase: str, info: dict[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._gc_started_at = now
        else:
            self._gc_seconds += now - self._gc_started_at

    async def _measure(self) -> None:
        while True:
            before, gc_seconds = time.perf_counter(), self._gc_seconds
            await asyncio.sleep(0.001)
            late = time.perf_counter() - before - 0.001
            self.longest = max(self.longest, late)
            self.longest_without_gc = max(self.longest_without_gc, late - self._gc_seconds + gc_seconds)


class _Measurement:
    def __init__(self, candidate: Candidate, load: Load, server: PollingServer) -> None:
        self._candidate, self._load, self._server = candidate, load, server
        self._keys = candidate.list_keys(load.waits)
        self._targets = list(dict.fromkeys(self._keys))
        self._meter = StallMeter()
        self._waiting: list[asyncio.Task[float]] = []
        self._ends: dict[str, float] = {}

    async def run(self) -> Sample:
        await self._warm_up()
        self._server.reset(self._targets)
        waits = [(key, self._candidate.prepare(key, self._load.interval)) for key in self._keys]
        gc.collect()
        # Exclude the objects of Airflow and of this measurement, which would lengthen every full collection.
        gc.freeze()
        started_at = time.process_time()
        metered = self._load.metered
        first = len(waits) // _FIRST_FRACTION if metered and len(waits) >= _MIN_WAITS_FOR_MEMORY else 0
        before = await self._measure_memory_with(waits[:first]) if first else 0.0
        if metered:
            self._meter.start()
        await self._start(waits[first:], self._load.interval)
        await asyncio.sleep(self._load.interval + 2 * LATENCY_SECONDS)
        await self._meter.stop()
        memory = (await self._measure_memory() - before) / (len(self._keys) - first) if first else None
        cpu, counts = await self._measure_steady_state()
        if metered:
            self._meter.start()
        delay = await self._wait_for_ends()
        await self._meter.stop()
        # Additional polls within an interval are a cost, not additional rounds. Fewer polls are fewer rounds.
        total_counts, total_cpu = self._server.get_counts(), time.process_time() - started_at
        rounds = min(counts.polls / len(self._targets), self._load.rounds)
        if not rounds:
            raise RuntimeError(f"{self._candidate.title}: no poll in {self._load.rounds} intervals")
        return Sample(
            waits=len(self._keys),
            cpu=cpu / (len(self._keys) * rounds),
            lifetime_cpu=None if metered else total_cpu / (len(self._keys) * total_counts.polls / len(self._targets)),
            requests=counts.requests / rounds,
            pace=counts.polls / len(self._targets) / self._load.rounds,
            connections=counts.connections / rounds,
            connections_opened=total_counts.connections,
            stall=self._meter.longest if metered else None,
            stall_without_gc=self._meter.longest_without_gc if metered else None,
            memory=memory,
            delay=delay,
        )

    async def _warm_up(self) -> None:
        """Wait for one short run, so that all modules are imported."""
        key = self._keys[0]
        self._server.reset([key])
        self._ends[key] = time.monotonic() + 10 * LATENCY_SECONDS
        self._server.end_runs(self._ends)
        await self._wait_for_event(self._candidate.prepare(key, LATENCY_SECONDS)(), key)
        self._ends.clear()

    async def _start(self, waits: Sequence[tuple[str, TriggerFactory]], over: float) -> None:
        batches = [waits[at : at + BATCH_SIZE] for at in range(0, len(waits), BATCH_SIZE)]
        for batch in batches:
            for key, make in batch:
                self._waiting.append(asyncio.create_task(self._wait_for_event(make(), key)))
                await asyncio.sleep(0)
            await asyncio.sleep(over / len(batches))

    async def _wait_for_event(self, trigger: Trigger, key: str) -> float:
        """Return the seconds from the run's end to the trigger's event."""
        async for event in trigger.run():
            fired_at = time.monotonic()
            if key in self._ends and self._candidate.has_succeeded(event.payload):
                return fired_at - self._ends[key]
            raise RuntimeError(f"{self._candidate.title}: unexpected event: {event.payload}")
        raise RuntimeError(f"{self._candidate.title}: no event")

    async def _measure_memory_with(self, waits: Sequence[tuple[str, TriggerFactory]]) -> float:
        await self._start(waits, 0.0)
        await asyncio.sleep(self._load.interval + 2 * LATENCY_SECONDS)
        return await self._measure_memory()

    async def _measure_memory(self) -> float:
        """Return the median of some measurements over one interval."""
        samples = []
        for _ in range(_MEMORY_SAMPLES):
            await asyncio.sleep(self._load.interval / _MEMORY_SAMPLES)
            samples.append(_get_memory())
        return median(samples)

    async def _measure_steady_state(self) -> tuple[float, Any]:
        counts, started_at = self._server.get_counts(), time.process_time()
        await asyncio.sleep(self._load.interval * self._load.rounds)
        cpu = time.process_time() - started_at
        return cpu, self._server.get_counts().since(counts)

    async def _wait_for_ends(self) -> float:
        now, span = time.monotonic() + 0.1, self._load.interval / 2
        self._ends |= {key: now + random.uniform(0.0, span) for key in self._targets}
        self._server.end_runs(self._ends)
        return median(await asyncio.gather(*self._waiting))


def _get_memory() -> int:
    """Return the unique set size of this process in bytes, without the allocator's free memory."""
    import psutil

    gc.collect()
    with suppress(OSError, AttributeError):  # only glibc can return it to the system
        ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_full_info().uss)
