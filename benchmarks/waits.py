"""What waiting costs: this package, its peers and a bare loop, in turns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
#: In which turns stalls and memory are measured; in the others the whole life is.
METERED = (True, False, True)
#: In how many turns each is measured: those that bear no bound in two.
_TURNS_OF = dict.fromkeys(CANDIDATES, TURNS) | dict.fromkeys(("tableflow", "airbyte", "bursts"), 2)
#: Who is measured under a crowd, and in how many turns.
_CROWD = {"activepieces": TURNS, "bare": 1}

_TEXT = """\
Each candidate waits for {waits:,} runs that go on, looking every {interval:g} s, against a local TLS server with \
{latency:.0f} ms latency in a process of its own. Each measurement has a fresh process, and the candidates take turns \
({turns} turns; medians). Waits start fifty at a time, as core picks them up, spread over one interval.

- A round is one look at everything; looks beyond one an interval count as cost. *Rounds an interval* says how well \
the interval was kept.
- Processor time is that of the whole measuring process over one interval in which nothing ends, logging at ERROR. \
*Whole life* is the same for all looks from the first wait's start to the last one's end, four or five a wait: \
connecting, beginning and ending are in it.
- The longest stall is how late the loop woke a coroutine while waits started, looked and ended. It and memory are \
measured in the first and last turn, the whole life in the other one: measuring takes time of its own.
- Memory is what a further wait adds to the process's own pages (USS), objects and TLS state alike.
- In the end all runs end, each at a moment of its own; the delay runs from there to the event.

Airbyte's trigger asks from within the event loop, one wait after the other, so it was given {airbyte} waits only. \
Airbyte, TableFlow and the bare loop in bursts were measured in two turns."""


def sections(quick: bool) -> list[Section]:
    """Measure; with ``quick`` a tenth of the waits, once."""
    waits, many, turns = (WAITS // 10, MANY // 10, 2) if quick else (WAITS, MANY, TURNS)
    with polling_server() as server:
        samples = _in_turns(server, waits, turns, _TURNS_OF, METERED)
        crowds = _in_turns(server, many, TURNS, _CROWD, [True] * TURNS)
    return [_waiting(samples, turns, waits), _crowd(crowds)]


def _in_turns(
    server: PollingServer, waits: int, turns: int, turns_of: Mapping[str, int], metered: Sequence[bool]
) -> dict[str, Sample]:
    taken: dict[str, list[Sample]] = {}
    for turn in range(turns):
        for name in (name for name, most in turns_of.items() if turn < most):
            load = Load(CANDIDATES[name].waits(waits), INTERVAL, metered=metered[turn])
            taken.setdefault(name, []).append(_measured(server, name, load))
    return {name: _middle(samples) for name, samples in taken.items()}


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
    best = min(samples[name].cpu_of_life or math.inf for name in PEERS)
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
        Bound(
            "the same over the whole life, as a part of the best peer's", (single.cpu_of_life or math.inf) / best, 1 / 2
        ),
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
            f"{(one.cpu_of_life or 0.0) * 1_000:.3f} ms",
            f"{one.connections:,.0f}",
            f"{one.connections_opened:,.0f}",
            _milliseconds(one.stall),
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


_CROWD_TEXT = """\
{waits:,} waits in one event loop, measured as above. A full collection of Python's garbage \
collector looks at every object of every wait; half of them are the event loop's own and come with any trigger. What \
the loop stands still for besides is what the bound is on."""


def _crowd(crowds: dict[str, Sample]) -> Section:
    columns = (
        "candidate",
        "requests a round",
        "connections in all",
        "longest stall",
        "the same without garbage collections",
        "run's end to event",
    )
    rows = [
        (
            CANDIDATES[name].title,
            f"{one.requests:,.0f}",
            f"{one.connections_opened:,.0f}",
            _milliseconds(one.stall),
            _milliseconds(one.stall_but_collections),
            f"{one.delay:.2f} s",
        )
        for name, one in crowds.items()
    ]
    own = crowds["activepieces"]
    stall = (own.stall_but_collections or 0.0) * 1_000
    return Section(
        "Does the loop stay free under a crowd?",
        _CROWD_TEXT.format(waits=own.waits),
        table(columns, rows),
        [Bound(f"longest stall under {own.waits:,.0f} waits but for garbage collections, ms", stall, 50)],
    )


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1_000:.1f} ms"
