"""The page about metrics lists all of them, and the dashboard asks for no other."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import airflow_provider_flowruns
from airflow_provider_flowruns.metrics import TAGS_IN_NAME, Metric

PACKAGE = Path(airflow_provider_flowruns.__file__).parent
DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "metrics.md").read_text()
DASHBOARD: dict[str, Any] = json.loads((DOCS / "examples" / "grafana" / "flowruns.json").read_text())
SOURCES = {path: path.read_text() for path in PACKAGE.rglob("*.py")}


def read_table() -> dict[str, tuple[str, set[str]]]:
    """Return the type and the tags of each metric of the table."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("| `")]
    return {name.strip("`"): (kind, set(re.findall(r"`(\w+)`", tags))) for name, kind, tags, *_ in rows}


def get_prometheus_names() -> dict[str, str]:
    """Return the metrics by the names that the StatsD exporter gives them."""
    names = {}
    for metric, (kind, _) in read_table().items():
        name = f"airflow_{metric.replace('.', '_')}"
        names |= dict.fromkeys((name, f"{name}_sum", f"{name}_count") if kind == "timer" else (name,), metric)
    return names


def list_queries() -> list[str]:
    """Return all queries of the dashboard."""
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return queries + [
        variable["query"]["query"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"
    ]


def test_the_table_lists_all_metrics_and_no_other() -> None:
    assert [*read_table()] == [str(metric) for metric in Metric]


@pytest.mark.parametrize("metric", Metric)
def test_every_documented_metric_is_reported(metric: Metric) -> None:
    uses = [path for path, text in SOURCES.items() for _ in re.findall(rf"\bMetric\.{metric.name}\b", text)]
    assert [path for path in uses if path.name != "__init__.py"]
    assert len(uses) > (metric in TAGS_IN_NAME)  # not only in the table of tags


def test_a_name_is_written_in_one_place() -> None:
    """Whatever is reported is a ``Metric``, so that none is missing from the page."""
    places = {path.name for path, text in SOURCES.items() if re.search(r'"flowruns\.(wait|poll|run)\.', text)}
    assert places == {"metrics.py"}
    callers = {path.name for path, text in SOURCES.items() if "get_stats" in text}
    assert callers == {"metrics.py", "stats.py"}


def test_tags_that_move_into_the_name_are_documented() -> None:
    for metric, tags in TAGS_IN_NAME.items():
        assert set(tags) <= read_table()[metric][1]
        assert f"`{metric}.{'.'.join(f'<{tag}>' for tag in tags)}`" in PAGE


def test_every_query_of_the_dashboard_is_about_a_metric_that_exists() -> None:
    names = get_prometheus_names()
    for query in list_queries():
        found = re.findall(r"\bairflow_\w+", query)
        assert found, query
        assert {*found} <= names.keys(), query


def test_every_query_uses_tags_that_its_metric_has() -> None:
    names, table = get_prometheus_names(), read_table()
    for query in list_queries():
        tags = set(re.findall(r"(\w+)=~?\"", query))
        tags |= {tag for group in re.findall(r"by \(([^)]*)\)", query) for tag in group.split(", ")}
        for name in re.findall(r"\bairflow_\w+", query):
            kind, known = table[names[name]]
            assert tags <= known | ({"quantile"} if kind == "timer" else set()), query


def test_the_dashboard_shows_every_metric() -> None:
    names = get_prometheus_names()
    shown = {names[name] for query in list_queries() for name in re.findall(r"\bairflow_\w+", query)}
    assert shown == {str(metric) for metric in Metric}


#: Queries of a counter. The second one shows a counter's first value as well: it appears with its first event, which
#: ``increase`` would not count.
RATE = re.compile(r"rate\((\w+)\{[^}]*\}\[\$__rate_interval\]\)")
EVENTS = re.compile(r"clamp_min\(((\w+)\{[^}]*\}) - \(\1 offset \$__rate_interval or \1 \* 0\), 0\)")


def test_counters_are_shown_by_what_is_added_and_gauges_are_not() -> None:
    names, table = get_prometheus_names(), read_table()
    for panel in DASHBOARD["panels"]:
        for query in (target["expr"] for target in panel["targets"]):
            changes = {*RATE.findall(query), *(name for _, name in EVENTS.findall(query))}
            assert {table[names[name]][0] for name in changes} <= {"counter"}, query
            others = re.findall(r"\bairflow_\w+", EVENTS.sub("", RATE.sub("", query)))
            assert "counter" not in {table[names[name]][0] for name in others}, query


def test_the_panels_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
