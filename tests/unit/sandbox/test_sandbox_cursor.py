"""Activepieces' paging in the sandbox, with the runs it loses."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from pathlib import Path

import pytest

RECORDED = Path(__file__).parents[2] / "fixtures" / "activepieces"


@pytest.fixture
def page(sandbox, call):
    """Get a page of runs: ids, next, previous."""

    def get(**query):
        params = {"projectId": sandbox.activepieces.project_id, **query}
        answer = call("activepieces", "GET", "/api/v1/flow-runs", params=params)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        return [row["id"] for row in body["data"]], body["next"], body["previous"]

    return get


@pytest.fixture
def flow(sandbox):
    return sandbox.activepieces.add_flow()


@pytest.fixture
def walk(page):
    def follow(**query):
        seen, cursor = [], None
        while True:
            ids, cursor, _ = page(cursor=cursor, **query)
            seen += ids
            if cursor is None:
                return seen

    return follow


def test_a_walk_loses_what_the_real_servers_walk_loses(flow, walk, clock):
    """Twelve runs at the moments of a recorded burst: the same five are lost."""
    recording = json.loads((RECORDED / "cursor-walk-same-second.json").read_text())
    moments = [datetime.fromisoformat(run["created"]) for run in recording["runs_in_one_page_of_100"]]
    clock.now = moments[0].timestamp() + 1
    runs = [flow.add_run(ago=clock.now - moment.timestamp()) for moment in moments]
    ours = dict(zip((run["id"] for run in recording["runs_in_one_page_of_100"]), (run.id for run in runs), strict=True))
    assert walk(limit=3) == [ours[run_id] for run_id in recording["ids_seen_by_the_walk"]]
    assert len(recording["missed"]) == 5


def test_a_walk_over_different_seconds_loses_nothing(flow, walk):
    runs = [flow.add_run(ago=100 - number) for number in range(7)]
    assert walk(limit=3) == [run.id for run in reversed(runs)]


def test_cursors_are_written_as_the_real_server_writes_them(flow, page, clock):
    clock.now = 1_795_326_667.166
    run = flow.add_run(ago=0)
    flow.add_run(ago=50)
    ids, following, previous = page(limit=1)
    assert ids == [run.id]
    assert following == "bmV4dF9ZM0psWVhSbFpEb3hOemsxTXpJMk5qWTNNVFky"
    assert previous is None


def test_pages_lead_forth_and_back(flow, page):
    runs = [flow.add_run(ago=100 - number) for number in range(5)]
    newest_first = [run.id for run in reversed(runs)]
    first, to_second, _ = page(limit=2)
    second, to_third, to_first = page(limit=2, cursor=to_second)
    third, end, to_second_again = page(limit=2, cursor=to_third)
    assert first + second + third == newest_first
    assert end is None
    assert page(limit=2, cursor=to_second_again)[0] == second
    assert page(limit=2, cursor=to_first) == (first, page(limit=2, cursor=to_first)[1], None)


@pytest.mark.parametrize(
    ("limit", "expected"), [(None, 10), (0, 100), (-1, 120), (100_000, 120), ("", 100), ("3.7", 3)]
)
def test_odd_limits(flow, page, limit, expected):
    for number in range(120):
        flow.add_run(ago=1000 - number)
    ids, following, _ = page(limit=limit)
    assert len(ids) == expected
    assert (following is None) == (expected == 120)


def encoded(text):
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("cursor", ["!!nonsense", "", "%%%", encoded("sideways_x")])
def test_a_cursor_without_direction_is_ignored(flow, page, cursor):
    run = flow.add_run(ago=10)
    assert page(cursor=cursor)[0] == [run.id]


@pytest.mark.parametrize("payload", ["next_", "prev_!", f"next_{encoded('created:soon')}"])
def test_a_cursor_that_leads_nowhere_is_a_500(sandbox, call, payload):
    params = {"projectId": sandbox.activepieces.project_id, "cursor": encoded(payload)}
    answer = call("activepieces", "GET", "/api/v1/flow-runs", params=params)
    assert answer.status_code == 500
    assert answer.json()["error"] == "Internal Server Error"


def test_a_page_beyond_the_end_is_empty(flow, page):
    flow.add_run(ago=10)
    assert page(cursor=encoded(f"next_{encoded('created:1000')}")) == ([], None, None)
    assert page(cursor=encoded(f"prev_{encoded('created:9999999999999')}")) == ([], None, None)
