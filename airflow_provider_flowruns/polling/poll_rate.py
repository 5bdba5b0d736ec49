"""How often to poll a run at which age, learned from how long earlier runs of its flow took."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

#: Minimum number of seconds between two polls that the rate asks for.
MIN_INTERVAL_SECONDS = 2.0
#: After the longest expected duration, the interval grows to this fraction of the time since then.
OVERTIME_FRACTION = 0.5
#: Bounds of the number of polls of a run that are spent on its expected end, in addition to those at the maximum
#: interval. Between them, it is the number of polls at the maximum interval, so that requests at most double.
MIN_EXTRA_POLLS, MAX_EXTRA_POLLS = 6.0, 60.0

#: The spread of an expected end is the distance to the duration of this rank among the nearest ones,
_NEIGHBOR_RANK = 2
_NEIGHBOR_FRACTION = 0.7
#: but at least this fraction of the duration, divided by the number of known runs: few runs say little.
_MIN_SPREAD_FRACTION = 0.2
_MIN_SPREAD_SECONDS = 0.5
#: The edges of cells of one rate, as multiples of the spread on both sides of each duration.
_EDGES_IN_SPREADS = (-2.5, -1.0, 0.0, 1.0, 2.5)
#: Cells are at least this fraction of the whole range long.
_MIN_CELL_FRACTION = 1 / 200
#: Runs that take longer than most are rare, and still get their polls.
_MIN_SURVIVAL = 0.05
#: Steps of the search for the rate's scale; each halves a range of some 18 powers of ten.
_SCALE_STEPS = 40


class PollRate:
    """Polls per second by the age of a run: constant within each cell, and low outside of all cells.

    :param edges: the ages at which a cell begins or ends, ascending.
    :param rates: the rate of each cell, one fewer than the edges.
    :param max_interval: maximum number of seconds between two polls.
    """

    __slots__ = ("_edges", "_max_interval", "_rates")

    def __init__(self, edges: Sequence[float], rates: Sequence[float], max_interval: float) -> None:
        # There is one for each flow in a triggerer: arrays take a quarter of the memory of lists.
        self._edges = array("d", edges)
        self._rates = array("d", (1 / max_interval, *rates))
        self._max_interval = max_interval

    def get_interval(self, run_age: float) -> float:
        """Return the seconds until the next poll, at most the maximum interval.

        :param run_age: seconds since the run began.
        """
        last_interval = 1 / self._rates[-1]
        overtime = run_age - self._edges[-1]
        if overtime >= 0.0:
            return min(self._max_interval, max(last_interval, OVERTIME_FRACTION * overtime))
        left, age = 1.0, run_age  # a poll is due when the rate since the last one adds up to one poll
        for cell in range(bisect_right(self._edges, run_age), len(self._edges)):
            end, rate = self._edges[cell], self._rates[cell]
            if left <= (end - age) * rate:
                return min(self._max_interval, age - run_age + left / rate)
            left -= (end - age) * rate
            age = end
        return min(self._max_interval, age - run_age + left * last_interval)


def build_poll_rate(durations: Sequence[float], max_interval: float, *, is_batched: bool = False) -> PollRate:
    """Return the rate at which to poll, which is high where runs often end.

    It is proportional to the square root of the probability that a run ends that has not ended yet: for a given
    number of requests, that makes the mean delay as short as possible.

    :param durations: seconds that earlier runs took, at least one.
    :param max_interval: maximum number of seconds between two polls.
    :param is_batched: many runs share a request, so that more polls of one would mean more requests for all.
    """
    spreads = [_get_spread(duration, durations) for duration in durations]
    edges = list(_place_edges(durations, spreads))
    ended = [_get_probability(edge, durations, spreads) for edge in edges]
    sizes, weights, surviving = [], [], []
    for (begin, end), (ended_before, ended_by) in zip(pairwise(edges), pairwise(ended), strict=True):
        survival = max(_MIN_SURVIVAL, 1 - (ended_before + ended_by) / 2)
        surviving.append(survival)
        sizes.append(survival * (end - begin))
        weights.append(math.sqrt(max(0.0, ended_by - ended_before) / (end - begin) / survival))
    min_rate, max_rate = 1 / max_interval, 1 / min(MIN_INTERVAL_SECONDS, max_interval)
    extra = min(MAX_EXTRA_POLLS, max(MIN_EXTRA_POLLS, 0.0 if is_batched else median(durations) / max_interval))
    polls = sum(sizes) * min_rate + extra

    def scale_rates(scale: float) -> list[float]:
        return [min(max_rate, max(min_rate, scale * weight)) for weight in weights]

    smallest, greatest = min_rate / max(weights) * 1e-3, max_rate / max(weights) * 1e9
    for _ in range(_SCALE_STEPS):
        scale = math.sqrt(smallest * greatest)
        is_enough = sum(size * rate for size, rate in zip(sizes, scale_rates(scale), strict=True)) >= polls
        smallest, greatest = (smallest, scale) if is_enough else (scale, greatest)
    return PollRate(edges, scale_rates(smallest), max_interval)


def _get_spread(duration: float, durations: Sequence[float]) -> float:
    distances = sorted(abs(duration - other) for other in durations)
    nearby = distances[min(_NEIGHBOR_RANK, len(distances) - 1)]
    least = max(_MIN_SPREAD_SECONDS, _MIN_SPREAD_FRACTION * duration / len(durations))
    return max(least, _NEIGHBOR_FRACTION * nearby)


def _place_edges(durations: Sequence[float], spreads: Sequence[float]) -> Iterator[float]:
    wanted = sorted(
        max(0.0, duration + offset * spread)
        for duration, spread in zip(durations, spreads, strict=True)
        for offset in _EDGES_IN_SPREADS
    )
    min_size = max(MIN_INTERVAL_SECONDS / 2, (wanted[-1] - wanted[0]) * _MIN_CELL_FRACTION)
    last = wanted[0]
    yield last
    for edge in wanted:
        if edge >= last + min_size:
            last = edge
            yield last


def _get_probability(age: float, durations: Sequence[float], spreads: Sequence[float]) -> float:
    """Return the probability that a run has ended by an age."""
    parts = (math.erf((age - one) / spread / math.sqrt(2)) for one, spread in zip(durations, spreads, strict=True))
    return 0.5 + sum(parts) / 2 / len(durations)
