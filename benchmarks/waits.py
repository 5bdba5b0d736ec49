"""Measure the cost of waiting: this package, its peers and a bare loop, in turns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from statistics import median

from benchmarks.candidates import CANDIDATES, PEERS
from benchmarks.measure import Load, Sample, measure
from benchmarks.polling_server import LATENCY_SECONDS, PollingServer, run_polling_server
from benchmarks.sections import Bound, Section, build_table

WAIT_COUNT = 1_000
LARGE_WAIT_COUNT = 5_000
INTERVAL_SECONDS = 3.0
TURNS = 3
#: Turns in which stalls and memory are measured; lifetime CPU time is measured in the others.
METERED = (True, False, True)
#: Number of turns per candidate: two for those without a bound.
_TURNS_BY_CANDIDATE = dict.fromkeys(CANDIDATES, TURNS) | dict.fromkeys(("tableflow", "airbyte", "bursts"), 2)
#: Candidates measured with many waits, and their number of turns.
_LARGE_SCALE_TURNS = {"activepieces": TURNS, "bare": 1}

_TEXT = """\
Each candidate waits for {waits:,} runs in progress with a polling interval of {interval:g} s, against a local TLS \
server with {latency:.0f} ms latency in a separate process. Every measurement has its own process, and the candidates \
are measured in turns ({turns} turns; medians). Waits start in batches of fifty, as in the triggerer, over one interval.

- A round is one poll of every run; additional polls within an interval count as cost. *Rounds per interval* shows how \
well the interval was kept.
- CPU time is that of the whole measuring process over one interval in which no run ends, with log level ERROR. \
*Lifetime* is the same for all polls from the start of the first wait to the end of the last one, four or five per \
wait: it includes connecting, starting and ending.
- The longest stall is how late the event loop woke a coroutine while waits started, polled and ended. Stalls and \
memory are measured in the first and last turn, lifetime CPU time in the other one, because measuring uses CPU time.
- Memory is the unique set size (USS) that one additional wait adds, including objects and TLS state.
- Finally all runs end at different times; the delay is the time from a run's end to the event.

Airbyte's trigger polls synchronously in the event loop, so it was measured with {airbyte} waits only. \
Airbyte, TableFlow and the bare loop in bursts were measured in two turns."""


def build_sections(quick: bool) -> list[Section]:
    """Measure and return the sections. ``quick`` measures a tenth of the waits."""
    waits, many, turns = (
        (WAIT_COUNT // 10, LARGE_WAIT_COUNT // 10, 2) if quick else (WAIT_COUNT, LARGE_WAIT_COUNT, TURNS)
    )
    with run_polling_server() as server:
        samples = _measure_in_turns(server, waits, turns, _TURNS_BY_CANDIDATE, METERED)
        large_scale_samples = _measure_in_turns(server, many, TURNS, _LARGE_SCALE_TURNS, [True] * TURNS)
    return [_build_waiting_section(samples, turns, waits), _build_large_scale_section(large_scale_samples)]


def _measure_in_turns(
    server: PollingServer, waits: int, turns: int, turns_by_candidate: Mapping[str, int], metered: Sequence[bool]
) -> dict[str, Sample]:
    samples: dict[str, list[Sample]] = {}
    for turn in range(turns):
        for name in (name for name, turn_count in turns_by_candidate.items() if turn < turn_count):
            load = Load(CANDIDATES[name].get_wait_count(waits), INTERVAL_SECONDS, metered=metered[turn])
            samples.setdefault(name, []).append(_measure_once(server, name, load))
    return {name: _compute_medians(candidate_samples) for name, candidate_samples in samples.items()}


def _measure_once(server: PollingServer, name: str, load: Load) -> Sample:
    print(f"measuring {load.waits:,} waits of {CANDIDATES[name].title} ...", flush=True)
    return measure(name, load, server)


def _compute_medians(samples: list[Sample]) -> Sample:
    """Return the median of each figure that was measured."""

    def compute_median(name: str) -> float | None:
        values = [value for value in (getattr(sample, name) for sample in samples) if value is not None]
        return median(values) if values else None

    return Sample(**{figure.name: compute_median(figure.name) for figure in fields(Sample)})  # type: ignore[arg-type]


def _build_waiting_section(samples: dict[str, Sample], turns: int, waits: int) -> Section:
    titles = {name: CANDIDATES[name].title for name in samples}
    cpu = {name: sample.cpu for name, sample in samples.items()}
    lowest_peer_memory = min(sample.memory for name, sample in samples.items() if name in PEERS and sample.memory)
    own_memory = max(samples[name].memory or 0.0 for name in ("activepieces", "portable_shared", "portable"))
    runs, shared, single = samples["activepieces"], samples["portable_shared"], samples["portable"]
    best_peer_lifetime_cpu = min(samples[name].lifetime_cpu or math.inf for name in PEERS)
    bounds = [
        Bound(f"{waits:,} Activepieces runs: requests per round", runs.requests, 20),
        Bound(
            "Activepieces runs: CPU time per wait and round, relative to dbt Cloud",
            runs.cpu / cpu["dbt"],
            1 / 20,
        ),
        Bound("the same, relative to Databricks", runs.cpu / cpu["databricks"], 1 / 8),
        Bound(f"{waits:,} waits for {waits // 100} Portable flows: requests per round", shared.requests, 10),
        Bound(f"{waits:,} Portable flows: TCP connections", single.connections_opened, 20),
        Bound("Portable flows: CPU time per poll, relative to the bare loop", single.cpu / cpu["bare"], 1.25),
        Bound(
            "the same over the lifetime, relative to the best peer",
            (single.lifetime_cpu or math.inf) / best_peer_lifetime_cpu,
            1 / 2,
        ),
        Bound("memory per wait, relative to the best peer", own_memory / lowest_peer_memory, 1),
    ]
    columns = (
        *("candidate", "waits", "requests per round", "rounds per interval", "CPU time per wait and round"),
        *(
            "relative to dbt Cloud",
            "lifetime",
            "connections per round",
            "total connections",
            "longest stall",
            "memory per wait",
        ),
        "run's end to event",
    )
    rows = [
        (
            titles[name],
            f"{sample.waits:,.0f}",
            f"{sample.requests:,.0f}",
            f"{sample.pace:.2f}",
            f"{sample.cpu * 1_000:.3f} ms",
            f"1/{cpu['dbt'] / sample.cpu:.1f}",
            f"{(sample.lifetime_cpu or 0.0) * 1_000:.3f} ms",
            f"{sample.connections:,.0f}",
            f"{sample.connections_opened:,.0f}",
            _format_milliseconds(sample.stall),
            f"{sample.memory / 1_024:.1f} KB" if sample.memory else "-",
            f"{sample.delay:.2f} s",
        )
        for name, sample in samples.items()
    ]
    bars: dict[str, dict[str, float]] = {
        "CPU time per wait and round, ms": {titles[name]: sample.cpu * 1_000 for name, sample in samples.items()},
        "TCP connections opened": {titles[name]: sample.connections_opened for name, sample in samples.items()},
    }
    text = _TEXT.format(
        waits=waits,
        interval=INTERVAL_SECONDS,
        latency=LATENCY_SECONDS * 1_000,
        turns=turns,
        airbyte=CANDIDATES["airbyte"].get_wait_count(waits),
    )
    return Section("What does waiting cost?", text, build_table(columns, rows), bounds, bars)


_LARGE_SCALE_TEXT = """\
{waits:,} waits in one event loop, measured as above. A full collection of Python's garbage collector visits every \
object of every wait; half of them belong to the event loop and exist with any trigger. The bound applies to the \
stalls without garbage collections."""


def _build_large_scale_section(large_scale_samples: dict[str, Sample]) -> Section:
    columns = (
        "candidate",
        "requests per round",
        "total connections",
        "longest stall",
        "longest stall without garbage collections",
        "run's end to event",
    )
    rows = [
        (
            CANDIDATES[name].title,
            f"{sample.requests:,.0f}",
            f"{sample.connections_opened:,.0f}",
            _format_milliseconds(sample.stall),
            _format_milliseconds(sample.stall_without_gc),
            f"{sample.delay:.2f} s",
        )
        for name, sample in large_scale_samples.items()
    ]
    own_sample = large_scale_samples["activepieces"]
    stall = (own_sample.stall_without_gc or 0.0) * 1_000
    return Section(
        "Does the event loop stay responsive with many waits?",
        _LARGE_SCALE_TEXT.format(waits=own_sample.waits),
        build_table(columns, rows),
        [Bound(f"longest stall under {own_sample.waits:,.0f} waits without garbage collections, ms", stall, 50)],
    )


def _format_milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1_000:.1f} ms"
