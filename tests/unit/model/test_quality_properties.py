"""Whatever the summaries contain: no exception, plain JSON, and the same result in every order."""

import json
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flowruns.model import past_runs
from airflow_provider_flowruns.model.quality import check_quality
from airflow_provider_flowruns.model.quality_limits import QualityLimits
from tests.unit.model.histories import NOW, make_run

JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
TIMES: Any = st.datetimes().map(lambda moment: moment.isoformat()) | st.sampled_from(
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "", "soon", "2026-01-31"]
)
NUMBERS: Any = (
    st.sampled_from([0, 1, -1, 10**400, 2**53, 1e308, 5e-324, float("nan"), float("inf"), True]) | st.integers()
)
SUMMARIES: Any = st.fixed_dictionaries(
    {"disposition": st.sampled_from(["SUCCEEDED", "FAILED", "CANCELED", "NONE", "succeeded", "odd"]) | JSON},
    optional={
        **dict.fromkeys(("created_at", "started_at", "completed_at"), TIMES | JSON),
        "rows": st.fixed_dictionaries({"loaded": NUMBERS | JSON}) | JSON,
        "details": st.fixed_dictionaries({"duration_seconds": NUMBERS | JSON}) | JSON,
        "run_id": st.sampled_from(["1", "2", "10", 3, None]) | JSON,
        "flow_id": st.just("5") | JSON,
        "service": st.just("portable") | JSON,
    },
)
STRICT = QualityLimits(
    last=3,
    min_success_rate=0.5,
    min_rows=1,
    min_rows_ratio=0.5,
    max_rows_ratio=2,
    max_duration_ratio=2,
    max_age=timedelta(days=1),
)


@settings(max_examples=300)
@given(runs=st.lists(SUMMARIES | JSON, max_size=12), order=st.randoms(use_true_random=False))
def test_anything_is_judged_without_an_exception_and_in_any_order_alike(runs, order) -> None:
    report = check_quality(runs, limits=STRICT, now=NOW)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    shuffled = [*runs]
    order.shuffle(shuffled)
    assert check_quality(shuffled, limits=STRICT, now=NOW) == report


PLAIN: Any = st.builds(
    lambda number, disposition, rows, seconds, hours: make_run(
        number, disposition, rows=rows, seconds=seconds, hours_ago=hours
    ),
    st.integers(1, 30),
    st.sampled_from(["SUCCEEDED", "FAILED", "CANCELED", "NONE"]),
    st.none() | st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 3),
)


@given(runs=st.lists(PLAIN, max_size=40), order=st.randoms(use_true_random=False))
def test_runs_that_end_at_the_same_time_are_judged_alike_in_any_order(runs, order) -> None:
    shuffled = [*runs]
    order.shuffle(shuffled)
    first, second = (check_quality(some, limits=STRICT, now=NOW) for some in (runs, shuffled))
    assert first == second


@given(runs=st.lists(PLAIN, max_size=15), last=st.integers(1, 5))
def test_nothing_passes_without_a_success(runs, last) -> None:
    report = check_quality(runs, limits=QualityLimits(last=last), now=NOW)
    assert not report["passed"] or any(run["disposition"] == "SUCCEEDED" for run in runs)


def test_a_long_history_is_judged_as_its_newest_runs_are(monkeypatch) -> None:
    monkeypatch.setattr(past_runs, "_MAX_EXTRA_RUNS", 5)
    endings = ["SUCCEEDED", "SUCCEEDED", "FAILED", "CANCELED"]
    runs = [make_run(number, endings[number % 4], rows=number, seconds=number) for number in range(1, 400)]
    limits = QualityLimits(last=7, min_success_rate=0.1, min_rows_ratio=0.1, max_duration_ratio=9, max_age=10**6)
    newest = check_quality(runs[-40:], limits=limits, now=NOW)["checks"][1:]
    for order in (runs, runs[::-1], runs[::3] + runs[1::3] + runs[2::3]):
        history = past_runs.History(8)
        history.add_all(order)
        assert len([*history.newest_first()]) < 50
        counted, *judged = check_quality(order, limits=limits, now=NOW)["checks"]
        assert counted["value"] == 399
        assert judged == newest
