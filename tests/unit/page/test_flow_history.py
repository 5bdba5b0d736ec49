"""What is read of a connection, and what is not when a service fails."""

import time

import pytest

from airflow_provider_flowruns.page import flow_history
from airflow_provider_flowruns.page.flow_history import MAX_FLOWS, RUNS_SHOWN, read_history
from airflow_provider_flowruns.sandbox import Sandbox


@pytest.fixture
def sandbox(monkeypatch):
    with Sandbox() as sandbox:
        for name, value in sandbox.connections().items():
            monkeypatch.setenv(name, value)
        yield sandbox


@pytest.mark.parametrize("service", ["portable", "activepieces", "tableflow"])
def test_the_flows_of_each_service_come_with_their_newest_runs(sandbox, service) -> None:
    flow = getattr(sandbox, service).add_flow("Orders")
    for number in range(RUNS_SHOWN + 5):
        flow.add_run(ago=1_000 * (number + 1))
    history = read_history(f"{service}_default")
    assert (history.error, history.is_complete) == (None, True)
    (found,) = [one for one in history.histories if one.flow.flow_id == str(flow.id)]
    assert found.flow.name == "Orders"
    assert found.runs is not None
    assert len(found.runs) == RUNS_SHOWN
    times = [run.created_at.timestamp() for run in found.runs]
    assert times == sorted(times, reverse=True)


def test_a_flow_without_runs_is_there(sandbox) -> None:
    sandbox.portable.add_flow("New")
    (found,) = read_history("portable_default").histories
    assert (found.runs, found.error) == ((), None)


def test_a_connection_that_is_not_defined_says_so(monkeypatch) -> None:
    history = read_history("nowhere")
    assert history.histories == []
    assert "nowhere" in history.error


def test_a_wrong_token_is_an_error_of_the_connection_and_is_not_shown(sandbox, monkeypatch) -> None:
    value = sandbox.connections()["AIRFLOW_CONN_PORTABLE_DEFAULT"].replace(sandbox.portable.token, "a-wrong-token")
    monkeypatch.setenv("AIRFLOW_CONN_PORTABLE_DEFAULT", value)
    history = read_history("portable_default")
    assert "401" in history.error
    assert "a-wrong-token" not in history.error


def test_one_flow_that_cannot_be_read_spoils_no_other(sandbox) -> None:
    flows = [sandbox.portable.add_flow(name) for name in ("First", "Gone", "Last")]
    sandbox.faults.add("status", path=f"/{flows[1].id}/", status=404, times=None)
    history = read_history("portable_default")
    assert history.error is None
    assert [(one.flow.name, bool(one.error)) for one in history.histories] == [
        ("First", False),
        ("Gone", True),
        ("Last", False),
    ]


@pytest.mark.parametrize("status", [401, 429, 500])
def test_an_error_that_would_repeat_itself_ends_the_reading(sandbox, status) -> None:
    flows = [sandbox.portable.add_flow(name) for name in ("First", "Second", "Third")]
    sandbox.faults.add("status", path=f"/{flows[1].id}/", status=status, times=None)
    history = read_history("portable_default")
    assert str(status) in history.error
    assert [one.runs is not None for one in history.histories] == [True, False, False]
    asked = [request for request in sandbox.ledger.requests if f"/{flows[1].id}/" in request.path]
    assert len(asked) == 1
    assert [request for request in sandbox.ledger.requests if f"/{flows[2].id}/" in request.path] == []


def test_at_most_so_many_flows_are_requested(sandbox) -> None:
    for number in range(MAX_FLOWS + 3):
        sandbox.portable.add_flow(f"Flow {number}")
    history = read_history("portable_default")
    assert len(history.histories) == MAX_FLOWS
    assert not history.is_complete
    assert len(sandbox.ledger.requests) == MAX_FLOWS + 1


def test_after_its_time_no_further_flow_is_requested(sandbox, monkeypatch) -> None:
    for name in ("First", "Second", "Third"):
        sandbox.portable.add_flow(name)
    times = iter([0.0, 1.0, flow_history.MAX_READING_SECONDS + 1.0])
    monkeypatch.setattr(flow_history, "time", type("Clock", (), {"monotonic": staticmethod(lambda: next(times))}))
    history = read_history("portable_default")
    assert [one.runs is not None for one in history.histories] == [True, False, False]
    assert time.monotonic() > 0


def test_a_bug_is_described_without_its_text(sandbox, monkeypatch) -> None:
    def fail(hook):
        raise KeyError("a-secret")

    monkeypatch.setattr(flow_history, "list_flows", fail)
    history = read_history("portable_default")
    assert "KeyError" in history.error
    assert "a-secret" not in history.error
