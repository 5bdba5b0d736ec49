"""A wait in virtual time, as the waiter and the scheduler of the package decide it, for the docs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import griffe

from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.targets import RunTarget
from airflow_provider_flowruns.polling.durations import RunDurations
from airflow_provider_flowruns.polling.polled_targets import BatchRule, ScheduledWait
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.scheduler import PollScheduler
from airflow_provider_flowruns.polling.wait_state import WaitConfig

ROOT = Path(__file__).resolve().parents[1]
START = 1_800_000_000.0
TIMEOUT_SECONDS = 3_600.0
#: When the run begins and ends, in seconds after the start of the task.
RUN_BEGINS, RUN_ENDS = 20.0, 400.0
#: How long the flow's recent runs took, in seconds.
USUAL_SECONDS = (350.0, 380.0, 400.0)


class SeenPoll(NamedTuple):
    """What a poll showed.

    :param at: seconds since the start of the task.
    :param state: the run's state.
    """

    at: float
    state: str


def build_timeline() -> str:
    """Return a sequence diagram of a deferred wait, and when it polls, as Markdown."""
    polls, later_polls = run_wait(RunDurations()), run_wait(_learn_durations())
    diagram = "\n".join(["```mermaid", "sequenceDiagram", *(f"    {line}" for line in _draw(polls)), "```"])
    usual = " to ".join(map(_format, (min(USUAL_SECONDS), max(USUAL_SECONDS))))
    return f"""A deferrable sensor with the default interval of {_read_interval():.0f} s waits for a run that begins at
{_format(RUN_BEGINS)} and ends at {_format(RUN_ENDS)}, in minutes and seconds after the start of the task:

{diagram}

When the polls are sent, in this example:

| The flow's usual duration | Polls at | The end is noticed after |
|---|---|---|
| not known yet | {_list_times(polls)} | {polls[-1].at - RUN_ENDS:.0f} s |
| {usual}, from its last runs | {_list_times(later_polls)} | {later_polls[-1].at - RUN_ENDS:.0f} s |"""


def run_wait(durations: RunDurations) -> list[SeenPoll]:
    """Return the polls of a wait: the first one in the worker, the others in the triggerer.

    :param durations: what is known of the flow's runs.
    """
    config = WaitConfig(
        target=RunTarget("portable", "1", "1"), interval_seconds=_read_interval(), deadline_at=START + TIMEOUT_SECONDS
    )
    waiter = RunWaiter(config, START)
    waiter.step((_show_run(START),), START)
    return [
        SeenPoll(0.0, _get_state(_show_run(START))),
        *_run_deferred(RunWaiter.from_json(waiter.to_json()), durations),
    ]


def _run_deferred(waiter: RunWaiter, durations: RunDurations) -> Iterator[SeenPoll]:
    waiter.durations = durations
    scheduler = PollScheduler(lambda target: BatchRule(), spread=lambda: 0.0)
    wait = ScheduledWait(waiter.deadline, waiter.error_budget)
    scheduler.add(wait, waiter.target, _read_first_delay(), START)
    while True:
        now = scheduler.next_wakeup()
        run = _show_run(now)
        yield SeenPoll(now - START, _get_state(run))
        (poll,) = scheduler.due(now)
        scheduler.take_recipients(poll, scheduler.on_result(poll, (run,), now), now)
        action = waiter.step((run,), now)
        if action.result:
            return
        wait.deadline = waiter.deadline
        scheduler.reschedule(wait, waiter.target, action.wait, now)


def _show_run(now: float) -> FlowRun:
    """Return the run as the service shows it at a time."""
    begins, ends = START + RUN_BEGINS, START + RUN_ENDS
    lifecycle = Lifecycle.PENDING if now < begins else Lifecycle.RUNNING if now < ends else Lifecycle.NOT_RUNNING
    return _build_run("1", lifecycle, began=begins if now >= begins else None, ended=ends if now >= ends else None)


def _build_run(run_id: str, lifecycle: Lifecycle, *, began: float | None, ended: float | None) -> FlowRun:
    started_at, completed_at = (None if time is None else datetime.fromtimestamp(time, UTC) for time in (began, ended))
    disposition = Disposition.SUCCEEDED if lifecycle is Lifecycle.NOT_RUNNING else Disposition.NONE
    return FlowRun(
        service="portable",
        kind=Kind.RUN,
        run_id=run_id,
        flow_id="1",
        lifecycle=lifecycle,
        disposition=disposition,
        vendor_status=str(lifecycle),
        started_at=started_at,
        completed_at=completed_at,
    )


def _learn_durations() -> RunDurations:
    durations = RunDurations()
    durations.learn(
        _build_run(f"earlier {number}", Lifecycle.NOT_RUNNING, began=START - 86_400, ended=START - 86_400 + seconds)
        for number, seconds in enumerate(USUAL_SECONDS)
    )
    return durations


def _get_state(run: FlowRun) -> str:
    return str(run.lifecycle if run.disposition is Disposition.NONE else run.disposition)


def _read_interval() -> float:
    return float(_read_value("sensors.base", "_DEFAULT_INTERVAL_SECONDS"))


def _read_first_delay() -> float:
    return float(_read_value("triggers.flow_run", "FlowRunTrigger.first_wait").strip("()").split(",")[0])


def _read_value(module: str, name: str) -> str:
    """Return the source of a constant: these modules import Airflow, which the docs are built without."""
    path = ROOT.joinpath("airflow_provider_flowruns", *module.split(".")).with_suffix(".py")
    return str(griffe.visit(module, path, path.read_text(encoding="utf-8"))[name].value)


def _draw(polls: Sequence[SeenPoll]) -> Iterator[str]:
    first, *deferred, last = polls
    yield '%%{init: {"sequence": {"actorMargin": 110}}}%%'
    yield "participant W as worker"
    yield "participant T as triggerer"
    yield "participant S as service"
    yield f"W->>S: {_format(first.at)} poll"
    yield f"S-->>W: {first.state}"
    yield "W->>T: defers, with target, deadline and state"
    yield "Note over W: the worker slot is free"
    for state, group in groupby(deferred, key=lambda poll: poll.state):
        yield from _draw_polls(state, list(group))
    yield f"Note over S: {_format(RUN_ENDS)} the run ends"
    yield f"T->>S: {_format(last.at)} poll"
    yield f"S-->>T: {last.state}"
    yield "T->>W: event with the result"
    yield "Note over W: the task succeeds,<br/>the summary goes to XCom"


def _draw_polls(state: str, polls: Sequence[SeenPoll]) -> Iterator[str]:
    gaps = [round(after.at - before.at) for before, after in pairwise(polls)]
    apart = " to ".join(dict.fromkeys([str(min(gaps)), str(max(gaps))]))
    yield f"loop {len(polls)} polls, {apart} s apart"
    yield f"T->>S: {_format(polls[0].at)} to {_format(polls[-1].at)} poll"
    yield f"S-->>T: {state}"
    yield "end"


def _list_times(polls: Sequence[SeenPoll]) -> str:
    return ", ".join(_format(poll.at) for poll in polls)


def _format(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
