"""Runs and flows in the sandbox's Python API."""

from __future__ import annotations

import pytest

from airflow_provider_flowruns.sandbox import flows


@pytest.fixture
def flow(sandbox):
    return sandbox.portable.add_flow()


@pytest.mark.parametrize(
    ("service", "outcome", "statuses"),
    [
        ("portable", "SUCCEEDED", ["PENDING", "RUNNING", "SUCCEEDED"]),
        ("portable", "FAILED", ["PENDING", "RUNNING", "FAILED"]),
        ("portable", "CANCELED", ["PENDING", "RUNNING", "NONE"]),
        ("portable", "RUNNING", ["PENDING", "RUNNING", "RUNNING"]),
        ("portable", "WAITING", ["PENDING", "PENDING", "PENDING"]),
        ("activepieces", "SUCCEEDED", ["QUEUED", "RUNNING", "SUCCEEDED"]),
        ("activepieces", "FAILED", ["QUEUED", "RUNNING", "FAILED"]),
        ("activepieces", "CANCELED", ["QUEUED", "RUNNING", "CANCELED"]),
        ("activepieces", "PAUSED", ["QUEUED", "RUNNING", "PAUSED"]),
        ("activepieces", "RUNNING", ["QUEUED", "RUNNING", "RUNNING"]),
        ("activepieces", "WAITING", ["QUEUED", "QUEUED", "QUEUED"]),
        ("tableflow", "SUCCEEDED", ["processing", "processing", "completed"]),
        ("tableflow", "FAILED", ["processing", "processing", "failed"]),
        ("tableflow", "PAUSED", ["processing", "processing", "review"]),
        ("tableflow", "RUNNING", ["processing", "processing", "processing"]),
    ],
)
def test_outcomes_as_status_names_of_the_service(sandbox, clock, service, outcome, statuses):
    run = getattr(sandbox, service).add_flow().add_run(outcome=outcome, waiting=1, running=2)
    seen = []
    for seconds in (0.5, 1, 5):
        clock.advance(seconds)
        seen.append(run.status)
    assert seen == statuses
    assert (run.ended_at is not None) == (outcome in {"SUCCEEDED", "FAILED", "CANCELED"})


def test_a_waiting_time_of_zero_leaves_out_the_waiting_status(flow):
    assert flow.add_run(waiting=0).status == "RUNNING"


def test_an_outcome_that_the_service_does_not_have(flow):
    with pytest.raises(ValueError, match="PAUSED"):
        flow.add_run(outcome="PAUSED")


@pytest.mark.parametrize("timeline", [[], [(1, "RUNNING"), (0, "SUCCEEDED")]])
def test_an_invalid_timeline_is_rejected(flow, timeline):
    with pytest.raises(ValueError, match="ascend"):
        flow.add_run(timeline=timeline)


def test_a_timeline_cannot_be_combined_with_an_outcome(flow):
    with pytest.raises(ValueError, match="not both"):
        flow.add_run(timeline=[(0, "RUNNING")], waiting=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fields": [("a", "b")]}, "fields must be a mapping of key to text"),
        ({"fields": {"total": 7}}, r"fields\['total'\] must be text"),
        ({"fields": {"": "7"}}, "The keys of fields"),
        ({"tables": [{"a": "b"}]}, "tables must be a mapping of table key to rows"),
        ({"tables": {"t": {"a": "b"}}}, r"tables\['t'\] must be a list of rows"),
        ({"tables": {"t": "ab"}}, r"tables\['t'\] must be a list of rows"),
        ({"tables": {"t": [{"a": "b"}, "c"]}}, r"tables\['t'\]\[1\] must be a mapping"),
        ({"tables": {"t": [{"a": None}]}}, r"tables\['t'\]\[0\]\['a'\] must be text"),
        ({"tables": {1: []}}, "The keys of tables"),
        ({"steps": ["step_1"]}, "steps must be a mapping of step name to step"),
        ({"steps": {"step_1": 3}}, r"steps\['step_1'\] must be a mapping"),
    ],
)
def test_malformed_results_are_rejected(flow, options, message):
    for define in (flow.add_run, flow.next_run):
        with pytest.raises(ValueError, match=message):
            define(**options)


def test_the_default_run_takes_about_a_second(flow, clock):
    run = flow.add_run()
    assert (run.trigger, run.ended_at) == ("MANUAL", None)
    clock.advance(1)
    assert run.ended_at == run.created + 1


def test_runs_are_sorted_by_age(flow, clock):
    newer, older = flow.add_run(ago=10), flow.add_run(ago=20)
    assert flow.runs == [older, newer]
    assert (older.created, older.ended_at) == (clock.now - 20, clock.now - 19)


def test_times_are_rounded_down_to_milliseconds(flow, clock):
    clock.now += 0.0129
    assert f"{flow.add_run().created:.6f}" == "1800000000.012000"


def test_next_runs_are_a_queue_with_a_default(sandbox, call, flow, clock):
    flow.next_run(outcome="FAILED")
    flow.next_run(timeline=[(0, "NONE")], trigger="MANUAL")
    flow.next_run(outcome="RUNNING", always=True)
    for _ in range(4):
        call("portable", "POST", f"/v2/flows/{flow.id}/run")
        clock.advance(10)
    assert [run.status for run in flow.runs] == ["FAILED", "NONE", "RUNNING", "PENDING"]
    assert [run.trigger for run in flow.runs] == ["API", "MANUAL", "API", "API"]


def test_a_schedule_can_start_in_the_past(flow, clock):
    flow.schedule(every=10, ago=35, waiting=0, running=1)
    assert [clock.now - run.created for run in flow.runs] == [25, 15, 5]
    assert {run.trigger for run in flow.runs} == {"SCHEDULED"}


def test_a_second_schedule_replaces_the_first(flow, clock):
    flow.schedule(every=1)
    flow.schedule(every=100)
    clock.advance(50)
    assert flow.runs == []
    with pytest.raises(ValueError, match="positive"):
        flow.schedule(every=0)


def test_a_paused_schedule_resumes_in_its_rhythm(flow, clock):
    flow.schedule(every=10, ago=35, waiting=0, running=1)
    flow.pause_schedule(100)
    assert len(flow.runs) == 3
    clock.advance(104)
    assert len(flow.runs) == 3
    clock.advance(1)
    assert len(flow.runs) == 4
    clock.advance(10)
    assert len(flow.runs) == 5


def test_a_flow_without_a_schedule_has_nothing_to_pause(flow, clock):
    flow.pause_schedule(100)
    clock.advance(1_000)
    assert flow.runs == []


def test_a_schedule_creates_a_limited_number_of_overdue_runs(flow, clock):
    flow.schedule(every=1, waiting=0, running=0.1)
    clock.advance(1_000_000)
    runs = flow.runs
    assert len(runs) == flows.MAX_SCHEDULED_RUNS_PER_UPDATE
    assert runs[-1].created == clock.now
    clock.advance(1)
    assert len(flow.runs) == flows.MAX_SCHEDULED_RUNS_PER_UPDATE + 1


def test_a_flow_keeps_a_limited_number_of_runs(sandbox, monkeypatch):
    monkeypatch.setattr(flows, "MAX_RUNS_PER_FLOW", 3)
    flow = sandbox.tableflow.add_flow()
    runs = [flow.add_run(ago=10 - number) for number in range(5)]
    assert flow.runs == runs[2:]
    assert set(sandbox.tableflow.runs_by_id) == {run.id for run in runs[2:]}


def test_reading_a_runs_status_advances_its_flow(sandbox, call, flow, clock):
    first = flow.add_run(timeline=[(0, "RUNNING"), (10, "SUCCEEDED")])
    call("portable", "POST", f"/v2/flows/{flow.id}/run")
    second = flow.runs[1]
    clock.advance(10.5)
    assert (first.status, second.status) == ("SUCCEEDED", "RUNNING")
    assert second.ended_at is None
    clock.advance(1)
    assert second.ended_at == first.ended_at + 1


@pytest.mark.nightly
def test_long_queues_do_not_exhaust_the_stack(sandbox, flow, clock):
    flow.add_run(outcome="RUNNING", waiting=0)
    for _ in range(1100):
        flow.start_run(clock())
    assert flow.runs[-1].status == "PENDING"
    flow.cancel(clock())
    assert {run.status for run in flow.runs} == {"NONE"}


def test_row_counts_do_not_change_after_a_cancel(flow, clock):
    run = flow.add_run(waiting=0, running=100, resources=[{"name": "a", "extracted": 100, "loaded": 100}])
    clock.advance(50)
    flow.cancel(clock())
    clock.advance(50)
    assert run.list_resources(clock())[0]["extracted"] == 50


def test_row_counts_of_an_endless_run_keep_growing(flow, clock):
    run = flow.add_run(outcome="RUNNING", waiting=0)
    figures = []
    for _ in range(5):
        clock.advance(30)
        figures.append(run.list_resources(clock())[0]["extracted"])
    assert figures == sorted(set(figures))
    assert figures[-1] < 1200


def test_reprs(sandbox, flow):
    run = flow.add_run(outcome="WAITING")
    assert repr(run) == f"<PortableRun {run.id} PENDING>"
    assert repr(flow) == f"<PortableFlow {flow.id} 'Orders'>"
    assert repr(sandbox) == f"<Sandbox {sandbox.url}>"


@pytest.mark.parametrize(
    ("service", "outcome", "status"),
    [
        ("portable", "SUCCEEDED", "SUCCEEDED"),
        ("portable", "FAILED", "FAILED"),
        ("activepieces", "PAUSED", "PAUSED"),
        ("tableflow", "SUCCEEDED", "completed"),
    ],
)
def test_a_run_can_be_ended_at_any_time(sandbox, clock, service, outcome, status):
    run = getattr(sandbox, service).add_flow().add_run(outcome="RUNNING")
    clock.advance(100)
    assert run.ended_at is None
    run.end(outcome)
    clock.advance(100)
    assert run.status == status
    assert run.ended_at == (None if outcome == "PAUSED" else run.created + 100)


def test_a_run_cannot_be_ended_with_an_outcome_that_the_service_lacks(sandbox):
    run = sandbox.portable.add_flow().add_run(outcome="RUNNING")
    with pytest.raises(ValueError, match="no status for the outcome 'PAUSED'"):
        run.end("PAUSED")
    assert run.ended_at is None
