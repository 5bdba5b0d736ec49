"""A bar for each run."""

import pytest

from airflow_provider_flowruns.model.runs import Disposition, Lifecycle
from airflow_provider_flowruns.page.strip import MAX_HEIGHT, MIN_HEIGHT, build_bars
from tests.unit.page.runs import make_run


@pytest.mark.parametrize(
    ("run", "outcome"),
    [
        (make_run(), "succeeded"),
        (make_run(disposition=Disposition.FAILED), "failed"),
        (make_run(disposition=Disposition.CANCELED), "canceled"),
        (make_run(disposition=Disposition.NONE, lifecycle=Lifecycle.PENDING), "active"),
        (make_run(disposition=Disposition.NONE, lifecycle=Lifecycle.RUNNING), "active"),
        (make_run(disposition=Disposition.NONE, lifecycle=Lifecycle.PAUSED), "paused"),
        (make_run(disposition=Disposition.NONE), "unknown"),
    ],
)
def test_an_outcome_has_a_name_for_its_colour_and_sign(run, outcome) -> None:
    (bar,) = build_bars([run])
    assert bar.outcome == outcome


def test_the_oldest_run_comes_first() -> None:
    bars = build_bars([make_run("new"), make_run("old")])
    assert [("run old" in bar.label, "run new" in bar.label) for bar in bars] == [(True, False), (False, True)]
    assert bars[0].x < bars[1].x


def test_the_height_says_how_long_a_run_took() -> None:
    bars = build_bars([make_run(seconds=seconds) for seconds in (100, 50, 0, None)])
    heights = [bar.height for bar in reversed(bars)]
    assert heights == [MAX_HEIGHT, (MAX_HEIGHT + MIN_HEIGHT) // 2, MIN_HEIGHT, MIN_HEIGHT]


def test_the_label_says_everything_in_words() -> None:
    (bar,) = build_bars([make_run("658", Disposition.FAILED, seconds=182, errors=("no\nspace left", "other"))])
    assert bar.label == "FAILED · 2026-01-31 06:00:00 UTC · took 3 min 2 s · run 658 · no space left"


def test_a_run_links_to_its_own_page() -> None:
    runs = [make_run("2", url="https://flows.example.com/2"), make_run("1", url="https://flows.example.com/1")]
    assert [bar.url for bar in build_bars(runs)] == ["https://flows.example.com/1", "https://flows.example.com/2"]


def test_thirty_links_to_the_same_page_are_none() -> None:
    bars = build_bars([make_run(str(number), url="https://app.example.com") for number in range(30)])
    assert {bar.url for bar in bars} == {None}


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//elsewhere", "", None])
def test_only_a_web_address_becomes_a_link(url) -> None:
    (bar,) = build_bars([make_run(url=url)])
    assert bar.url is None


def test_no_runs_make_no_bars() -> None:
    assert build_bars([]) == []
