"""Print tables, records and errors: in colour on a terminal, plain elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Lifecycle

#: Colours by the first word of a cell: the state of a run, or the result of a check.
_STYLES = {
    "ok": "green",
    "note": "yellow",
    "PROBLEM": "bold red",
    Disposition.SUCCEEDED: "green",
    Disposition.FAILED: "bold red",
    Disposition.CANCELED: "magenta",
    Lifecycle.RUNNING: "cyan",
    Lifecycle.PENDING: "cyan",
    Lifecycle.PAUSED: "yellow",
}


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; one without rows is only its header.

    :param columns: titles of the columns.
    :param rows: texts of the cells, row by row.
    """
    cleaned = [[clean_line(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _print_in_colour(columns, cleaned)
        return
    widths = [max(len(row[number]) for row in [columns, *cleaned]) for number in range(len(columns))]
    for row in [columns, *cleaned]:
        print_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_in_colour(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, _STYLES.get(cell.partition(" ")[0], "")) for cell in row))
    Console().print(table)


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and values, one pair a line; further lines of a value are aligned with its first.

    :param pairs: name and value; a pair with an empty value is left out.
    """
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        first, *others = value.splitlines()
        print_line(f"{name:<{width}}  {clean_line(first)}")
        for line in others:
            print_line(f"{'':<{width}}  {clean_line(line)}")


def print_records(records: Any, form: str) -> None:
    """Print plain JSON as JSON or YAML.

    :param records: plain JSON.
    :param form: ``json`` or ``yaml``.
    """
    if form == "json":
        print_line(json.dumps(records, indent=2, ensure_ascii=False))
        return
    import yaml

    print_line(yaml.safe_dump(records, sort_keys=False, allow_unicode=True).rstrip())


def print_line(line: str) -> None:
    """Print one line, or several.

    :param line: the text, without its last line break.
    """
    # A terminal that cannot show a character gets a question mark instead of an exception.
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(f"{line.encode(encoding, 'replace').decode(encoding)}\n")


def print_error(text: str) -> None:
    """Print an error to standard error as one line.

    :param text: what is wrong and what to do.
    """
    sys.stdout.flush()
    print_note(f"error: {text}")


def print_note(text: str) -> None:
    """Print a line to standard error, beside the output.

    :param text: the line, which may be indented.
    """
    encoding = sys.stderr.encoding or "utf-8"
    indent = " " * (len(text) - len(text.lstrip(" ")))
    sys.stderr.write(f"{indent}{clean_line(text).encode(encoding, 'replace').decode(encoding)}\n")


def clean_line(text: str) -> str:
    """Return a text as one line without control characters, which a terminal would obey.

    :param text: any text, also of a service.
    """
    return "".join(character if character.isprintable() else " " for character in " ".join(text.split()))


def get_state(run: FlowRun) -> str:
    """Return a run's state in one word: how it ended, else its lifecycle.

    :param run: the run.
    """
    return str(run.lifecycle if run.disposition is Disposition.NONE else run.disposition)


def describe_state(run: FlowRun) -> str:
    """Return a run's state, with the service's own word where it says more.

    :param run: the run.
    """
    state = get_state(run)
    return state if not run.vendor_status or state in run.vendor_status.upper() else f"{state} ({run.vendor_status})"


def format_time(moment: datetime | None) -> str:
    """Return a time in UTC to the second, empty for None.

    :param moment: an aware time.
    """
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else ""


def format_duration(seconds: float | None) -> str:
    """Return a duration in at most two units, empty for None.

    :param seconds: the duration.
    """
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def get_seconds(run: FlowRun) -> float | None:
    """Return how long a run took, None while it has not ended.

    :param run: the run.
    """
    started, ended = run.started_at or run.created_at, run.completed_at
    return max(0.0, (ended - started).total_seconds()) if started and ended else None
