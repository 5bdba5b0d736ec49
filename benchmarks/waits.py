"""What waiting costs: this package, its peers and a bare loop, in turns."""

from __future__ import annotations

from dataclasses import fields
from statistics import median

from benchmarks.candidates import CANDIDATES, PEERS
from benchmarks.measure import Load, Sample, measured
from benchmarks.polling_server import LATENCY, PollingServer, polling_server
from benchmarks.sections import Bound, Section, table

WAITS = 1_000
MANY = 5_000
INTERVAL = 3.0
TURNS = 3
#: Measured in every turn; the others once, for they bear no bound.
_EVERY_TURN = ("activepieces", "portable_shared", "portable", "bare", "dbt", "databricks", "fivetran", "http")
_ONCE = ("tableflow", "airbyte", "bursts")

_TEXT = """\
Each candidate waits for {waits:,} runs that go on, looking every {interval:g} s, against a local TLS server with \
{latency:.0f} ms latency in a process of its own. Each measurement has a fresh process, and the candidates take turns \
({turns} turns; medians). Waits start fifty at a time, as core picks them up, spread over one interval.

- A round is one look at everything; looks beyond one an interval count as cost. *Rounds an interval* says how well \
the interval was kept.
- Processor time is that of the whole measuring process over one interval in which nothing ends, logging at ERROR. \
*Whole life* is the same for all looks from the first wait's start to the last one's end: connecting, beginning and \
ending are in it, and what measuring the stalls costs.
- The longest stall is how late the loop woke a coroutine while waits started, looked and ended.
- Memory is what a further wait adds to the process's own pages (USS), objects and TLS state alike.
- In the end all runs end, each at a moment of its own; the delay runs from there to the event.

Airbyte's trigger asks from within the event loop, one wait after the other, so it was given {airbyte} waits only. \
Airbyte, TableFlow and the bare loop in bursts were measured once."""


def sections(quick: bool) -> list[Section]:
    """Measure; with ``quick`` a tenth of the waits, once."""
    waits, many, turns = (WAITS // 10, MANY // 10, 1) if quick else (WAITS, MANY, TURNS)
    with polling_server() as server:
        samples = _in_turns(server, waits, turns)
        crowd = _middle([_measured(server, "activepieces", Load(many, INTERVAL)) for _ in range(turns)])
    return [_waiting(samples, turns, waits), _crowd(crowd)]


def _in_turns(server: PollingServer, waits: int, turns: int) -> dict[str, Sample]:
    taken: dict[str, list[Sample]] = {}
    for turn in range(turns):
        for name in (*_EVERY_TURN, *_ONCE) if turn == 0 else _EVERY_TURN:
            load = Load(CANDIDATES[name].waits(waits), INTERVAL, with_memory=turn == 0)
            taken.setdefault(name, []).append(_measured(server, name, load))
    return {name: _middle(taken[name]) for name in CANDIDATES}


def _measured(server: PollingServer, name: str, load: Load) -> Sample:
    print(f"measuring {load.waits:,} waits of {CANDIDATES[name].title} ...", flush=True)
    return measured(name, load, server)


def _middle(samples: list[Sample]) -> Sample:
    """Return the median of each figure that was taken."""

    def middle(name: str) -> float | None:
        taken = [value for value in (getattr(sample, name) for sample in samples) if value is not None]
        return median(taken) if taken else None

    return Sample(**{one.name: middle(one.name) for one in fields(Sample)})  # type: ignore[arg-type]


def _waiting(samples: dict[str, Sample], turns: int, waits: int) -> Section:
    titles = {name: CANDIDATES[name].title for name in samples}
    cpu = {name: sample.cpu for name, sample in samples.items()}
    leanest = min(sample.memory for name, sample in samples.items() if name in PEERS and sample.memory)
    own_memory = max(samples[name].memory or 0.0 for name in ("activepieces", "portable_shared", "portable"))
    runs, shared, single = samples["activepieces"], samples["portable_shared"], samples["portable"]
    best = min(samples[name].cpu_of_life for name in PEERS)
    bounds = [
        Bound(f"{waits:,} Activepieces runs: requests a round", runs.requests, 20),
        Bound(
            "Activepieces runs: processor time per wait and round, as a part of dbt Cloud's",
            runs.cpu / cpu["dbt"],
            1 / 20,
        ),
        Bound("the same, as a part of Databricks'", runs.cpu / cpu["databricks"], 1 / 8),
        Bound(f"{waits:,} waits for {waits // 100} Portable flows: requests a round", shared.requests, 10),
        Bound(f"{waits:,} Portable flows: TCP connections", single.connections_opened, 20),
        Bound(
            "Portable flows: processor time per look, as a multiple of the bare loop's", single.cpu / cpu["bare"], 1.25
        ),
        Bound("the same over the whole life, as a part of the best peer's", single.cpu_of_life / best, 1 / 2),
        Bound("memory per wait, as a part of the leanest peer's", own_memory / leanest, 1),
    ]
    columns = (
        *("candidate", "waits", "requests a round", "rounds an interval", "processor time per wait and round"),
        *(
            "beside dbt Cloud's",
            "whole life",
            "connections a round",
            "connections in all",
            "longest stall",
            "memory per wait",
        ),
        "run's end to event",
    )
    rows = [
        (
            titles[name],
            f"{one.waits:,.0f}",
            f"{one.requests:,.0f}",
            f"{one.pace:.2f}",
            f"{one.cpu * 1_000:.3f} ms",
            f"1/{cpu['dbt'] / one.cpu:.1f}",
            f"{one.cpu_of_life * 1_000:.3f} ms",
            f"{one.connections:,.0f}",
            f"{one.connections_opened:,.0f}",
            f"{one.stall * 1_000:,.0f} ms",
            f"{one.memory / 1_024:.1f} KB" if one.memory else "-",
            f"{one.delay:.2f} s",
        )
        for name, one in samples.items()
    ]
    bars = {
        "processor time per wait and round, ms": {titles[name]: one.cpu * 1_000 for name, one in samples.items()},
        "TCP connections opened": {titles[name]: one.connections_opened for name, one in samples.items()},
    }
    text = _TEXT.format(
        waits=waits,
        interval=INTERVAL,
        latency=LATENCY * 1_000,
        turns=turns,
        airbyte=CANDIDATES["airbyte"].waits(waits),
    )
    return Section("What does waiting cost?", text, table(columns, rows), bounds, bars)


def _crowd(crowd: Sample) -> Section:
    text = f"{crowd.waits:,.0f} waits for as many Activepieces runs in one event loop, measured as above."
    row = (
        f"{crowd.requests:,.0f}",
        f"{crowd.connections_opened:,.0f}",
        f"{crowd.stall * 1_000:.1f} ms",
        f"{crowd.delay:.2f} s",
    )
    return Section(
        "Does the loop stay free under a crowd?",
        text,
        table(("requests a round", "connections in all", "longest stall", "run's end to event"), [row]),
        [Bound(f"longest stall under {crowd.waits:,.0f} waits, ms", crowd.stall * 1_000, 50)],
    )
