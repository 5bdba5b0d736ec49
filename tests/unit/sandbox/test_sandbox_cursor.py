"""Cursor paging of the sandbox's Activepieces, including the runs it loses."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from pathlib import Path

import pytest

RECORDED = Path(__file__).parents[2] / "fixtures" / "activepieces"


@pytest.fixture
def page(sandbox, call):
    """Return a function that gets a page of runs: the ids and the cursor of the next page."""

    def get(**query):
        params = {"projectId": sandbox.activepieces.project_id, **query}
        answer = call("activepieces", "GET", "/api/v1/flow-runs", params=params)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        return [row["id"] for row in body["data"]], body["next"]

    return get


@pytest.fixture
def flow(sandbox):
    return sandbox.activepieces.add_flow()


@pytest.fixture
def list_all(page):
    def follow(**query):
        seen, cursor = [], None
        while True:
            ids, cursor = page(cursor=cursor, **query)
            seen += ids
            if cursor is None:
                return seen

    return follow


def test_paging_loses_the_same_runs_as_the_real_server(flow, list_all, clock):
    """Twelve runs created at the times of a recorded burst: the same five are lost."""
    recording = json.loads((RECORDED / "cursor-walk-same-second.json").read_text())
    times = [datetime.fromisoformat(run["created"]) for run in recording["runs_in_one_page_of_100"]]
    clock.now = times[0].timestamp() + 1
    runs = [flow.add_run(ago=clock.now - time.timestamp()) for time in times]
    ours = dict(zip((run["id"] for run in recording["runs_in_one_page_of_100"]), (run.id for run in runs), strict=True))
    assert list_all(limit=3) == [ours[run_id] for run_id in recording["ids_seen_by_the_walk"]]
    assert len(recording["missed"]) == 5


def test_paging_over_different_seconds_loses_nothing(flow, list_all):
    runs = [flow.add_run(ago=100 - number) for number in range(7)]
    assert list_all(limit=3) == [run.id for run in reversed(runs)]


def test_cursors_are_encoded_as_by_the_real_server(flow, page, clock):
    clock.now = 1_795_326_667.166
    run = flow.add_run(ago=0)
    flow.add_run(ago=50)
    ids, following = page(limit=1)
    assert ids == [run.id]
    assert following == "bmV4dF9ZM0psWVhSbFpEb3hOemsxTXpJMk5qWTNNVFky"


def encode(text):
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("cursor", ["!!nonsense", "", "%%%", encode("sideways_x")])
def test_a_cursor_without_direction_is_ignored(flow, page, cursor):
    run = flow.add_run(ago=10)
    assert page(cursor=cursor)[0] == [run.id]


@pytest.mark.parametrize("payload", ["next_", "next_!", f"next_{encode('created:soon')}"])
def test_an_invalid_cursor_is_a_500(sandbox, call, payload):
    params = {"projectId": sandbox.activepieces.project_id, "cursor": encode(payload)}
    answer = call("activepieces", "GET", "/api/v1/flow-runs", params=params)
    assert answer.status_code == 500
    assert answer.json()["error"] == "Internal Server Error"


def test_a_page_beyond_the_end_is_empty(flow, page):
    flow.add_run(ago=10)
    assert page(cursor=encode(f"next_{encode('created:1000')}")) == ([], None)
