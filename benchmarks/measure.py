"""
One measurement: so many waits of one candidate, in a process that does nothing else.

The waits are started as core starts them, fifty at a time and one per turn of the loop, but over one interval instead
of a second for every fifty. Then the clock of the process is read over some intervals in which nothing ends, and at
last all runs end, each at a moment of its own.
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

from benchmarks.candidates import CANDIDATES, CONN_ID, Candidate, Make, Waiting
from benchmarks.polling_server import LATENCY, PollingServer, allow_many_connections

#: So many triggers core picks up at a time.
BATCH = 50
#: Seconds after which a measurement has gone wrong.
_LONGEST = 300.0
#: One trigger in so many is started before memory is first looked at: what all share is there by then.
_SHARE_OF_FIRST = 10


@dataclass(frozen=True)
class Load:
    """
    What a candidate is put under: so many waits, looking every ``interval`` seconds, measured over ``rounds``.

    :param metered: measure stalls and memory too. That takes processor time of its own, so then the one of the whole
        life is not measured.
    """

    waits: int
    interval: float = 3.0
    rounds: int = 1
    metered: bool = False


@dataclass(frozen=True)
class Sample:
    """
    What came out.

    :param waits: how many there were.
    :param cpu: seconds of processor time for one wait and round of looks, while nothing begins or ends.
    :param cpu_of_life: the same over the waits' whole life, with connecting, beginning and ending; None if metered.
    :param requests: for one round of looks at everything that is waited for.
    :param pace: looks at everything in an interval: 1 if the interval was kept.
    :param connections: TCP connections opened in a round.
    :param connections_opened: from the beginning to the end.
    :param stall: seconds the event loop stood still at the longest while waits started, looked and ended; None if not
        metered.
    :param stall_but_collections: the same without the time that Python's garbage collector took in it.
    :param memory: bytes for one more wait; None if not metered.
    :param delay: seconds from a run's end to the event, median.
    """

    waits: int
    cpu: float
    cpu_of_life: float | None
    requests: float
    pace: float
    connections: float
    connections_opened: int
    stall: float | None
    stall_but_collections: float | None
    memory: float | None
    delay: float


def measured(name: str, load: Load, server: PollingServer) -> Sample:
    """Measure a candidate in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(there, name, load, server))
    process.start()
    there.close()
    try:
        if not here.poll(_LONGEST):
            raise RuntimeError(f"measuring {name} did not end within {_LONGEST:.0f} s")
        return here.recv()  # type: ignore[no-any-return]
    except EOFError:
        raise RuntimeError(f"measuring {name} failed, see above") from None
    finally:
        process.join(timeout=10)
        process.kill()


def _child(pipe: Any, name: str, load: Load, server: PollingServer) -> None:
    # All candidates trust the server in the same way; set before anything makes a TLS context.
    os.environ |= dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), server.ca_file)
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"
    allow_many_connections()
    candidate = CANDIDATES[name]
    connection = candidate.connection(f"127.0.0.1:{server.port}")
    os.environ[f"AIRFLOW_CONN_{CONN_ID.upper()}"] = json.dumps(connection)
    pipe.send(asyncio.run(_Measurement(candidate, load, server).run()))


class StallMeter:
    """Measures by how much a loop is late to wake a coroutine that asks for it all the time."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.longest_but_collections = 0.0
        self._collecting = 0.0
        self._collection_begun = 0.0
        self._measuring: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Measure from now on."""
        gc.callbacks.append(self._collection)
        self._measuring = asyncio.create_task(self._measure())

    async def stop(self) -> None:
        """Leave off; measuring costs time of its own."""
        if self._measuring:
            gc.callbacks.remove(self._collection)
            self._measuring.cancel()
            with suppress(asyncio.CancelledError):
                await self._measuring

    def _collection(self, phase: str, info: dict[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._collection_begun = now
        else:
            self._collecting += now - self._collection_begun

    async def _measure(self) -> None:
        while True:
            before, collecting = time.perf_counter(), self._collecting
            await asyncio.sleep(0.001)
            late = time.perf_counter() - before - 0.001
            self.longest = max(self.longest, late)
            self.longest_but_collections = max(self.longest_but_collections, late - self._collecting + collecting)


class _Measurement:
    def __init__(self, candidate: Candidate, load: Load, server: PollingServer) -> None:
        self._candidate, self._load, self._server = candidate, load, server
        self._keys = candidate.keys(load.waits)
        self._targets = list(dict.fromkeys(self._keys))
        self._meter = StallMeter()
        self._waiting: list[asyncio.Task[float]] = []
        self._ends: dict[str, float] = {}

    async def run(self) -> Sample:
        await self._warm_up()
        self._server.reset(self._targets)
        waits = [(key, self._candidate.prepared(key, self._load.interval)) for key in self._keys]
        gc.collect()
        # What Airflow itself and this measurement hold would lengthen every full collection, with any trigger.
        gc.freeze()
        begun = time.process_time()
        metered = self._load.metered
        first = len(waits) // _SHARE_OF_FIRST if metered else 0
        before = await self._memory_with(waits[:first]) if first else 0
        if metered:
            self._meter.start()
        await self._start(waits[first:], self._load.interval)
        await asyncio.sleep(self._load.interval + 2 * LATENCY)
        await self._meter.stop()
        memory = (_memory() - before) / (len(self._keys) - first) if first else None
        cpu, seen = await self._steady()
        if metered:
            self._meter.start()
        delay = await self._until_the_end()
        await self._meter.stop()
        # Looks beyond one an interval are a cost, no further rounds; who looks less often has fewer.
        all_seen, life = self._server.counts(), time.process_time() - begun
        rounds = min(seen.looks / len(self._targets), self._load.rounds)
        return Sample(
            waits=len(self._keys),
            cpu=cpu / (len(self._keys) * rounds),
            cpu_of_life=None if metered else life / (len(self._keys) * all_seen.looks / len(self._targets)),
            requests=seen.requests / rounds,
            pace=seen.looks / len(self._targets) / self._load.rounds,
            connections=seen.connections / rounds,
            connections_opened=all_seen.connections,
            stall=self._meter.longest if metered else None,
            stall_but_collections=self._meter.longest_but_collections if metered else None,
            memory=memory,
            delay=delay,
        )

    async def _warm_up(self) -> None:
        """Wait for one short run: what is imported or read once is left behind."""
        key = self._keys[0]
        self._server.reset([key])
        self._ends[key] = time.monotonic() + 10 * LATENCY
        self._server.end(self._ends)
        await self._event(self._candidate.prepared(key, LATENCY)(), key)
        self._ends.clear()

    async def _start(self, waits: Sequence[tuple[str, Make]], over: float) -> None:
        batches = [waits[at : at + BATCH] for at in range(0, len(waits), BATCH)]
        for batch in batches:
            for key, make in batch:
                self._waiting.append(asyncio.create_task(self._event(make(), key)))
                await asyncio.sleep(0)
            await asyncio.sleep(over / len(batches))

    async def _event(self, trigger: Waiting, key: str) -> float:
        """Return how long after the run's end the trigger fired."""
        async for event in trigger.run():
            fired = time.monotonic()
            if key in self._ends and self._candidate.succeeded(event.payload):
                return fired - self._ends[key]
            raise RuntimeError(f"{self._candidate.title}: not the end that was expected: {event.payload}")
        raise RuntimeError(f"{self._candidate.title}: no event")

    async def _memory_with(self, waits: Sequence[tuple[str, Make]]) -> int:
        await self._start(waits, 0.0)
        await asyncio.sleep(self._load.interval + 2 * LATENCY)
        return _memory()

    async def _steady(self) -> tuple[float, Any]:
        seen, used = self._server.counts(), time.process_time()
        await asyncio.sleep(self._load.interval * self._load.rounds)
        used = time.process_time() - used
        return used, self._server.counts().since(seen)

    async def _until_the_end(self) -> float:
        now, span = time.monotonic() + 0.1, self._load.interval / 2
        self._ends |= {key: now + random.uniform(0.0, span) for key in self._targets}
        self._server.end(self._ends)
        return median(await asyncio.gather(*self._waiting))


def _memory() -> int:
    """Return the bytes that this process alone holds, without what the allocator keeps in reserve."""
    import psutil

    gc.collect()
    with suppress(OSError, AttributeError):  # only glibc can be asked to give it back
        ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_full_info().uss)
