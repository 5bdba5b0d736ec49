"""The page as HTML, without any script. What services and users wrote is escaped by the template engine."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from statistics import median
from typing import Any, NamedTuple
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from airflow_provider_flowruns.cli.output import clean_line, describe_state, format_duration, format_time, get_seconds
from airflow_provider_flowruns.model.errors import FlowRunsError
from airflow_provider_flowruns.page import strip
from airflow_provider_flowruns.page.flow_history import MAX_FLOWS, RUNS_SHOWN, ConnectionHistory, FlowHistory
from airflow_provider_flowruns.page.waits import MAX_WAITS, Wait, Waits
from airflow_provider_flowruns.services.registry import get_service

_PACKAGE = "airflow_provider_flowruns.page"
#: Number of waits that are shown at one flow.
_MAX_WAITS_SHOWN = 10


class Card(NamedTuple):
    """What the page shows of a connection.

    :param conn_id: its id.
    :param service: its type.
    :param history: what was read of it, None while it is being read.
    :param waits: the waits that poll it.
    """

    conn_id: str
    service: str
    history: ConnectionHistory | None
    waits: Sequence[Wait]


def render_page(cards: Sequence[Card], waits: Waits, now: datetime) -> str:
    """Return the page.

    :param cards: the connections that the user may read.
    :param waits: all waits that the user may see.
    :param now: the time.
    """
    return _render(
        "page.html",
        cards=[_build_card(card, now) for card in cards],
        unreadable_waits=waits.unreadable,
        are_waits_cut=len(waits.waits) + waits.unreadable >= MAX_WAITS,
        max_waits=MAX_WAITS,
        max_flows=MAX_FLOWS,
        runs_shown=RUNS_SHOWN,
        now=format_time(now),
        strip=strip,
    )


def render_refusal(title: str, text: str) -> str:
    """Return a page that says why the page is not shown.

    :param title: what is wrong.
    :param text: what to do.
    """
    return _render("refusal.html", title=title, text=text)


@cache
def get_style_hash() -> str:
    """Return the hash of the style sheet, as a Content-Security-Policy names it."""
    digest = hashlib.sha256(_read_style_sheet().encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


@cache
def _read_style_sheet() -> str:
    return files(_PACKAGE).joinpath("templates", "page.css").read_text(encoding="utf-8")


@cache
def _get_environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["style_sheet"] = Markup(_read_style_sheet())  # ruff: ignore[unsafe-markup-use]
    environment.filters["line"] = clean_line
    return environment


def _render(template: str, **values: Any) -> str:
    return _get_environment().get_template(template).render(**values)


def _build_card(card: Card, now: datetime) -> dict[str, Any]:
    history = card.history
    histories = history.histories if history else ()
    waits_by_flow: dict[str | None, list[Wait]] = {one.flow.flow_id: [] for one in histories}
    others: list[Wait] = []
    for wait in card.waits:
        waits_by_flow.get(wait.flow_id, others).append(wait)
    return {
        "conn_id": card.conn_id,
        "title": _get_title(card.service),
        "history": history,
        "age": format_duration(max(0, round((now - history.read_at).total_seconds()))) if history else "",
        "flows": [_build_flow(one, waits_by_flow[one.flow.flow_id], now) for one in histories],
        "other_waits": _build_waits(others, now),
    }


def _get_title(service: str) -> str:
    try:
        return get_service(service).info.title
    except FlowRunsError:
        return service


def _build_flow(history: FlowHistory, waits: Sequence[Wait], now: datetime) -> dict[str, Any]:
    runs = history.runs or ()
    newest = runs[0] if runs else None
    seconds = [taken for run in runs if (taken := get_seconds(run)) is not None]
    bars = strip.build_bars(runs)
    return {
        "flow": history.flow,
        "name": history.flow.name or history.flow.flow_id,
        "is_read": history.runs is not None,
        "error": history.error,
        "bars": bars,
        "link": strip.get_link(newest) if newest and not any(bar.url for bar in bars) else None,
        "rate": _describe_success_rate([bar.outcome for bar in bars]),
        "usual": format_duration(round(median(seconds), 1)) if seconds else "",
        "state": describe_state(newest) if newest else "",
        "outcome": strip.get_outcome(newest) if newest else "",
        "created_at": format_time(newest.created_at or newest.started_at) if newest else "",
        "took": format_duration(get_seconds(newest)) if newest else "",
        "waits": _build_waits(waits, now),
    }


def _describe_success_rate(outcomes: Sequence[str]) -> str:
    """Return which share of the runs that succeeded or failed did succeed, empty if none did either."""
    succeeded, failed = outcomes.count("succeeded"), outcomes.count("failed")
    total = succeeded + failed
    # Not rounded up: 100 % means that none failed.
    return f"{100 * succeeded // total} % ({succeeded} of {total})" if total else ""


def _build_waits(waits: Sequence[Wait], now: datetime) -> Mapping[str, Any]:
    return {
        "shown": [_build_wait(wait, now) for wait in waits[:_MAX_WAITS_SHOWN]],
        "more": max(0, len(waits) - _MAX_WAITS_SHOWN),
    }


def _build_wait(wait: Wait, now: datetime) -> dict[str, Any]:
    dag_id, run_id, task_id = (quote(text, safe="") for text in (wait.dag_id, wait.dag_run_id, wait.task_id))
    mapped = f"/mapped/{wait.map_index}" if wait.map_index >= 0 else ""
    left = round((wait.deadline - now).total_seconds())
    return {
        "wait": wait,
        # Relative, because Airflow may have a path of its own.
        "dag_run_url": f"../dags/{dag_id}/runs/{run_id}",
        "task_url": f"../dags/{dag_id}/runs/{run_id}/tasks/{task_id}{mapped}",
        "until": format_time(wait.deadline.astimezone(UTC)),
        "left": f"in {format_duration(left)}" if left > 0 else f"{format_duration(-left)} ago",
    }
