"""Measure the cost of waiting: this package, its peers and a bare loop, in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from statistics import median

from benchmarks.bounds import Bound, Figure
from benchmarks.candidates import CANDIDATES, PEERS
from benchmarks.measure import Load, Sample, measure
from benchmarks.polling_server import LATENCY_SECONDS, PollingServer, run_polling_server
from benchmarks.sections import Section, build_table

_LOAD = Load(1_000)
_LARGE_SCALE_LOAD = Load(5_000, metered=True)
#: So few waits that a turn takes seconds, over so many rounds that their CPU time can be measured.
_QUICK_LOAD = Load(300, interval=1.0, rounds=4)
#: For each turn, whether stalls and memory are measured in it; lifetime CPU time is measured in the others.
METERED = (True, False, True, False, True, False)
#: Number of turns per candidate: two for those without a bound.
_TURNS = dict.fromkeys(CANDIDATES, len(METERED)) | dict.fromkeys(("tableflow", "airbyte", "bursts"), 2)
#: Candidates measured with many waits, and their number of turns.
_LARGE_SCALE_TURNS = {"activepieces": 3, "bare": 1}
#: Candidates that need no other package.
_QUICK_TURNS = dict.fromkeys(("activepieces", "portable", "bare"), 3)

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
memory are measured in every second turn, lifetime CPU time in the others, because measuring uses CPU time.
- Memory is the unique set size (USS) that one additional wait adds, including objects and TLS state: the difference \
between a tenth of the waits and all of them, each the median of some measurements over one interval.
- Finally all runs end at different times; the delay is the time from a run's end to the event.

Airbyte's trigger polls synchronously in the event loop, so it was measured with {airbyte} waits only. \
Airbyte, TableFlow and the bare loop in bursts were measured in two turns."""


def build_sections(quick: bool) -> list[Section]:
    """Measure and return the sections. ``quick`` measures few waits in few turns, beside the bare loop only."""
    with run_polling_server() as server:
        if quick:
            return [_build_waiting_section(_measure_in_turns(server, _QUICK_LOAD, _QUICK_TURNS), _QUICK_LOAD)]
        samples = _measure_in_turns(server, _LOAD, _TURNS, METERED)
        large_scale_samples = _measure_in_turns(server, _LARGE_SCALE_LOAD, _LARGE_SCALE_TURNS)
    return [_build_waiting_section(samples, _LOAD), _build_large_scale_section(large_scale_samples)]


def _measure_in_turns(
    server: PollingServer, load: Load, turns_by_candidate: Mapping[str, int], metered: Sequence[bool] = ()
) -> dict[str, list[Sample]]:
    """Measure the candidates in turns.

    :param server: the server to poll.
    :param load: the load of a candidate that can handle all waits.
    :param turns_by_candidate: the candidates, and their number of turns.
    :param metered: for each turn, whether to measure stalls and memory; by default as ``load`` says.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in turns_by_candidate}
    for turn in range(max(turns_by_candidate.values())):
        for name in (name for name, turn_count in turns_by_candidate.items() if turn < turn_count):
            waits = CANDIDATES[name].get_wait_count(load.waits)
            is_metered = metered[turn] if metered else load.metered
            samples[name].append(_measure_once(server, name, replace(load, waits=waits, metered=is_metered)))
    return samples


def _measure_once(server: PollingServer, name: str, load: Load) -> Sample:
    print(f"measuring {load.waits:,} waits of {CANDIDATES[name].title} ...", flush=True)
    return measure(name, load, server)


def _list_turns(samples: Sequence[Sample], quantity: str) -> list[float]:
    """Return a quantity of each turn in which it was measured."""
    return [value for value in (getattr(sample, quantity) for sample in samples) if value is not None]


def _compute_medians(samples: Sequence[Sample]) -> Sample:
    """Return the median of each quantity that was measured."""
    turns = {field.name: _list_turns(samples, field.name) for field in fields(Sample)}
    return Sample(**{name: median(values) if values else None for name, values in turns.items()})  # type: ignore[arg-type]


def _build_waiting_section(samples: dict[str, list[Sample]], load: Load) -> Section:
    bounds = _build_own_bounds(samples, load.waits)
    if samples.keys() >= {*PEERS}:
        bounds += _build_peer_bounds(samples)
    medians = {name: _compute_medians(candidate_samples) for name, candidate_samples in samples.items()}
    text = _TEXT.format(
        waits=load.waits,
        interval=load.interval,
        latency=LATENCY_SECONDS * 1_000,
        turns=max(map(len, samples.values())),
        airbyte=CANDIDATES["airbyte"].get_wait_count(load.waits),
    )
    return Section("What does waiting cost?", text, _build_table(medians), bounds, _build_bars(medians))


def _build_own_bounds(samples: dict[str, list[Sample]], waits: int) -> list[Bound]:
    connections = Figure.from_turns(_list_turns(samples["portable"], "connections_opened"))
    requests = Figure.from_turns(_list_turns(samples["activepieces"], "requests"))
    cpu = "CPU time per wait and round, relative to the bare loop"
    return [
        Bound(f"{waits:,} Activepieces runs: requests per round", requests, waits / 50),
        Bound(f"{waits:,} Portable flows: TCP connections", connections, 20, slack=1.0),
        Bound(f"{waits:,} Activepieces runs: {cpu}", _compare(samples, "cpu", "activepieces", "bare"), 0.2),
        Bound(f"{waits:,} Portable flows: {cpu}", _compare(samples, "cpu", "portable", "bare"), 0.7),
    ]


def _build_peer_bounds(samples: dict[str, list[Sample]]) -> list[Bound]:
    def get_median(quantity: str) -> Callable[[str], float]:
        return lambda name: median(_list_turns(samples[name], quantity))

    peers = [name for name in PEERS if CANDIDATES[name].waits_percent == 100]
    largest = max(("activepieces", "portable_shared", "portable"), key=get_median("memory"))
    smallest_peer = min(peers, key=get_median("memory"))
    best_peer = min(peers, key=get_median("lifetime_cpu"))
    runs = "Activepieces runs: CPU time per wait and round, relative to"
    return [
        Bound(f"{runs} dbt Cloud", _compare(samples, "cpu", "activepieces", "dbt"), 1 / 40),
        Bound(f"{runs} Databricks", _compare(samples, "cpu", "activepieces", "databricks"), 1 / 12),
        Bound(
            f"Portable flows: CPU time per poll over the lifetime, relative to the best peer "
            f"({CANDIDATES[best_peer].title})",
            _compare(samples, "lifetime_cpu", "portable", best_peer),
            0.4,
        ),
        Bound(
            f"memory per wait, relative to the best peer ({CANDIDATES[smallest_peer].title})",
            _compare(samples, "memory", largest, smallest_peer),
            1,
        ),
    ]


def _compare(samples: dict[str, list[Sample]], quantity: str, own: str, other: str) -> Figure:
    return Figure.from_ratios(_list_turns(samples[own], quantity), _list_turns(samples[other], quantity))


def _build_table(samples: dict[str, Sample]) -> str:
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
            CANDIDATES[name].title,
            f"{sample.waits:,.0f}",
            f"{sample.requests:,.0f}",
            f"{sample.pace:.2f}",
            f"{sample.cpu * 1_000:.3f} ms",
            f"1/{samples['dbt'].cpu / sample.cpu:.1f}" if "dbt" in samples else "-",
            f"{(sample.lifetime_cpu or 0.0) * 1_000:.3f} ms",
            f"{sample.connections:,.0f}",
            f"{sample.connections_opened:,.0f}",
            _format_milliseconds(sample.stall),
            f"{sample.memory / 1_024:.1f} KB" if sample.memory else "-",
            f"{sample.delay:.2f} s",
        )
        for name, sample in samples.items()
    ]
    return build_table(columns, rows)


def _build_bars(samples: dict[str, Sample]) -> dict[str, dict[str, float]]:
    titles = {name: CANDIDATES[name].title for name in samples}
    return {
        "CPU time per wait and round, ms": {titles[name]: sample.cpu * 1_000 for name, sample in samples.items()},
        "TCP connections opened": {titles[name]: sample.connections_opened for name, sample in samples.items()},
    }


_LARGE_SCALE_TEXT = """\
{waits:,} waits in one event loop, measured as above. A full collection of Python's garbage collector visits every \
object of every wait; half of them belong to the event loop and exist with any trigger. The bound applies to the \
stalls without garbage collections."""


def _build_large_scale_section(samples: dict[str, list[Sample]]) -> Section:
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
        for name, sample in ((name, _compute_medians(candidate)) for name, candidate in samples.items())
    ]
    own_samples = samples["activepieces"]
    waits = own_samples[0].waits
    stalls = [seconds * 1_000 for seconds in _list_turns(own_samples, "stall_without_gc")]
    description = f"longest stall under {waits:,} waits without garbage collections, ms"
    return Section(
        "Does the event loop stay responsive with many waits?",
        _LARGE_SCALE_TEXT.format(waits=waits),
        build_table(columns, rows),
        [Bound(description, Figure.from_turns(stalls), 50)],
    )


def _format_milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1_000:.1f} ms"
