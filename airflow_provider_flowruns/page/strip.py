"""A flow's newest runs as a strip: a bar for each, whose colour and sign say its outcome and whose height its time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from airflow_provider_flowruns.cli.output import clean_line, describe_state, format_duration, format_time, get_seconds
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Lifecycle

#: In the units of the drawing, which are pixels.
BAR_WIDTH, BAR_GAP, MIN_HEIGHT, MAX_HEIGHT = 10, 3, 5, 30
_MAX_ERROR_CHARS = 200

_OUTCOMES = {
    Disposition.SUCCEEDED: "succeeded",
    Disposition.FAILED: "failed",
    Disposition.CANCELED: "canceled",
}
_STATES = {Lifecycle.PENDING: "active", Lifecycle.RUNNING: "active", Lifecycle.PAUSED: "paused"}


class Bar(NamedTuple):
    """The bar of a run.

    :param outcome: names its colour and its sign.
    :param x: its left edge.
    :param height: its height.
    :param label: the run in words.
    :param url: the run's page in the service's app, None where runs have none of their own.
    """

    outcome: str
    x: int
    height: int
    label: str
    url: str | None


def build_bars(runs: Sequence[FlowRun]) -> list[Bar]:
    """Return the bars of a flow's runs, the oldest run first.

    :param runs: the runs, newest first.
    """
    longest = max((get_seconds(run) or 0.0 for run in runs), default=0.0)
    # Where all runs have the same address, it is that of the service's app.
    has_own_urls = len(runs) == 1 or len({run.url for run in runs}) > 1
    return [
        Bar(
            get_outcome(run),
            number * (BAR_WIDTH + BAR_GAP),
            _get_height(get_seconds(run), longest),
            describe_run(run),
            get_link(run) if has_own_urls else None,
        )
        for number, run in enumerate(reversed(runs))
    ]


def get_outcome(run: FlowRun) -> str:
    """Return how a run ended or what it does, as the name of a colour and a sign.

    :param run: the run.
    """
    return _OUTCOMES.get(run.disposition) or _STATES.get(run.lifecycle, "unknown")


def get_link(run: FlowRun) -> str | None:
    """Return a run's address if a browser may open it: it is made of what the service sent.

    :param run: the run.
    """
    return run.url if run.url and run.url.startswith(("https://", "http://")) else None


def describe_run(run: FlowRun) -> str:
    """Return a run in one line: state, time, duration, id and first error.

    :param run: the run.
    """
    duration = format_duration(get_seconds(run))
    parts = (
        describe_state(run),
        format_time(run.created_at or run.started_at),
        f"took {duration}" if duration else "",
        f"run {run.run_id}" if run.run_id else "",
        run.errors[0][:_MAX_ERROR_CHARS] if run.errors else "",
    )
    return clean_line(" · ".join(part for part in parts if part))


def _get_height(seconds: float | None, longest: float) -> int:
    """Return the height for a duration; a run whose duration is unknown is as low as the shortest one."""
    if not seconds or not longest:
        return MIN_HEIGHT
    return MIN_HEIGHT + round((MAX_HEIGHT - MIN_HEIGHT) * seconds / longest)
