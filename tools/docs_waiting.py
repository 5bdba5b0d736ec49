"""Write the page about how waiting works from the table of the waiter's transitions."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the docs are built without the package installed

from airflow_provider_flowruns.polling.transitions import TRANSITIONS, Phase, Transition

PAGE = "how-waiting-works.md"

INTRODUCTION = """# How waiting works

One state machine decides every wait, in every mode: `RunWaiter` in `polling/run_waiter.py`. It is given what a poll
brought and the current time, and returns whether to poll again, and when, or how the wait ended.

A poll leads to a **phase**, in which the wait continues, or to an **outcome**, with which it ends. Some phases last
only for a time, counted from the first poll that led to them. A response that shows the run ends all other phases.

This page is generated from `polling/transitions.py`. A test compares that table with what the waiter does, for every
kind of target, event and time.
"""
DEADLINE = """
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
    diagram = "\n".join(["```mermaid", "flowchart LR", *(f"    {line}" for line in _draw()), "```"])
    table = f"| A poll shows: | if | the wait |\n|---|---|---|\n{rows}\n"
    return f"{INTRODUCTION}\n{diagram}\n\n{table}{DEADLINE}"


def _format_state(row: Transition) -> str:
    verb = "continues" if isinstance(row.after, Phase) else "ends"
    return f"{verb}: **{row.after.replace('_', ' ')}**"


def _draw() -> Iterator[str]:
    """Yield the lines of the diagram: events have no border, phases are round, and outcomes have corners."""
    for event in dict.fromkeys(row.event for row in TRANSITIONS):
        yield f'{event.name}["{event}"]:::event'
    for state in dict.fromkeys(row.after for row in TRANSITIONS):
        name = state.replace("_", " ")
        yield f'{_get_node(state)}(["{name}"])' if isinstance(state, Phase) else f'{_get_node(state)}["{name}"]'
    phases = {row.event: row.after for row in TRANSITIONS if isinstance(row.after, Phase)}
    for row in TRANSITIONS:
        start = _get_node(phases[row.event]) if row.lasts else row.event.name
        arrow = "-.->" if row.lasts else "-->"
        label = f'|"{row.condition}"|' if row.condition else ""
        yield f"{start} {arrow}{label} {_get_node(row.after)}"
    yield "classDef event fill:none,stroke:none"


def _get_node(state: str) -> str:
    return re.sub(r"[ _]", "-", state)
