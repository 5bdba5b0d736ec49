"""Write the page about how waiting works from the table of the waiter's transitions and a wait in virtual time."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import wrap
from typing import Any

import msgspec
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the docs are built without the package installed

from airflow_provider_flowruns.polling.transitions import TRANSITIONS, Phase, Transition
from airflow_provider_flowruns.polling.wait_state import WaitConfig
from tools.wait_timeline import build_timeline

PAGE = "how-waiting-works.md"
#: Longest line of a label in the diagram: the renderer breaks longer ones, and leaves too little room for them.
LABEL_CHARS = 22

PAGE_TEXT = """# How waiting works

One state machine decides every wait, in every mode. It is given what a poll brought and the current time, and returns
whether to poll again, and when, or how the wait ended. This page shows a wait from its start to its end, then all that
can happen in between. [Waiting](waiting.md) explains the arguments.

## A wait from start to end

{timeline}

In `poke` mode the worker sends all polls itself, `poke_interval` apart; in `reschedule` mode a new process of the task
sends each of them. An operator that starts a run polls more often at first in every mode. [Pace](scale.md#pace) gives
the rules.

## States

A poll leads to a **phase**, in which the wait continues, or to an **outcome**, with which it ends. Some phases last
only for a time, counted from the first poll that led to them. A response that shows the run ends all other phases.

{diagram}

| A poll shows: | if | the wait |
|---|---|---|
{rows}

{defaults}

The last poll is sent at the deadline. With `silent_fail`, a sensor waits on after any outcome but success and skipping,
until its deadline. Guards such as `completed_after` are applied before: a run that is not fresh enough is absent.
"""


def on_files(files: Files, config: Any) -> Files:
    """Write the page."""
    files.append(File.generated(config, PAGE, content=build_page()))
    return files


def build_page() -> str:
    """Return the page as Markdown."""
    rows = "\n".join(f"| {row.event} | {row.condition or 'always'} | {_format_state(row)} |" for row in TRANSITIONS)
    diagram = "\n".join(["```mermaid", "stateDiagram-v2", *(f"    {line}" for line in _draw()), "```"])
    return PAGE_TEXT.format(timeline=build_timeline(), diagram=diagram, rows=rows, defaults=_format_defaults())


def _format_defaults() -> str:
    defaults = {field.name: field.default for field in msgspec.structs.fields(WaitConfig)}
    names = ("error_budget", "recovery_grace", "gone_grace")
    *some, last = (f"`{name}` {defaults[f'{name}_seconds']:.0f} s" for name in names)
    return f"By default, {', '.join(some)} and {last} long."


def _format_state(row: Transition) -> str:
    verb = "continues" if isinstance(row.after, Phase) else "ends"
    return f"{verb}: **{row.after.replace('_', ' ')}**"


def _draw() -> Iterator[str]:
    """Yield the lines of the diagram: phases stand in a box, with the events that lead to them."""
    phases = {row.event: row.after for row in TRANSITIONS if isinstance(row.after, Phase)}
    ends = [row for row in TRANSITIONS if not isinstance(row.after, Phase)]
    yield "direction LR"
    yield 'state "the wait continues" as waiting {'
    yield from _declare(phases.values())
    yield from (f"{_get_node(row.after)} : {_label(row)}" for row in TRANSITIONS if isinstance(row.after, Phase))
    yield "}"
    yield from _declare(row.after for row in ends)
    yield "[*] --> waiting : first poll"
    labels: dict[tuple[str, str], list[str]] = {}
    for row in ends:
        source = _get_node(phases[row.event]) if row.lasts else "waiting"
        labels.setdefault((source, row.after), []).append(row.condition if row.lasts else _label(row))
    for (source, outcome), texts in labels.items():
        lines = (line for text in texts for line in wrap(text, LABEL_CHARS))
        yield f"{source} --> {_get_node(outcome)} : {'<br/>'.join(lines)}"


def _declare(states: Iterable[str]) -> Iterator[str]:
    for state in dict.fromkeys(states):
        yield f'state "{_get_name(state)}" as {_get_node(state)}'


def _label(row: Transition) -> str:
    return f"{row.event}, {row.condition}" if row.condition else str(row.event)


def _get_name(state: str) -> str:
    return state.replace("_", " ")


def _get_node(state: str) -> str:
    return state.replace(" ", "_")
