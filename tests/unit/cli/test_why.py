"""``why`` says what a saved trigger waits for. tests/airflow reads one from a real database."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy.exc

from airflow_provider_flowruns.cli import why
from airflow_provider_flowruns.cli.errors import CommandError
from airflow_provider_flowruns.cli.saved_triggers import DeferredTask, read_task_instances
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.targets import (
    FlowStatusTarget,
    NewestRunsTarget,
    RunTarget,
    StartedRunTarget,
    StartMarker,
    Target,
    WorkflowStatusTarget,
)
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import WaitConfig
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger

GUARD = datetime(2026, 1, 31, 6, tzinfo=UTC)
IDS = ("orders", "manual__1", "wait")
RUN = FlowRun(
    service="portable",
    kind=Kind.RUN,
    run_id="658423",
    flow_id="5",
    lifecycle=Lifecycle.RUNNING,
    disposition=Disposition.NONE,
    vendor_status="RUNNING",
)


def defer(target: Target, polled: list[FlowRun] | None = None, *, cancel_on_kill: bool = False, **config: Any):
    """Return a deferred task whose trigger waits for a target."""
    now = time.time()
    waiter = RunWaiter(WaitConfig(target=target, interval_seconds=60.0, deadline_at=now + 7_200.5, **config), now)
    if polled is not None:
        waiter.step(polled, now)
    path, arguments = FlowRunTrigger("my_conn", waiter.to_json(), cancel_on_kill).serialize()
    return DeferredTask(-1, "deferred", 2, path, arguments, GUARD, "7 on worker-1")


@pytest.fixture
def explain(run, monkeypatch):
    """Return a function that runs the command on a task with the given instances, and returns its lines by name."""

    def explain_instances(*instances: DeferredTask) -> dict[str, str]:
        monkeypatch.setattr(why, "read_task_instances", lambda *_: [*instances])
        result = run("why", *IDS)
        assert (result.code, result.err) == (0, "")
        assert result.first_line == "task wait of orders in DAG run manual__1 is deferred:"
        pairs = [re.split(r"  +", line, maxsplit=1) for line in result.out.splitlines()[1:] if line]
        return dict(pairs)

    return explain_instances


@pytest.mark.parametrize(
    ("target", "said", "command"),
    [
        (
            RunTarget("portable", "658423", "5"),
            "Portable run 658423 of flow 5",
            "run 658423 --flow 5 --conn-id my_conn",
        ),
        (RunTarget("tableflow", "Wp7k"), "TableFlow run Wp7k", "run Wp7k --conn-id my_conn"),
        (FlowStatusTarget("portable", "5"), "the last run of Portable flow 5", "runs 5 --conn-id my_conn"),
        (NewestRunsTarget("tableflow", "dk4g"), "the last run of TableFlow flow dk4g", "runs dk4g --conn-id my_conn"),
        (WorkflowStatusTarget("portable", "9"), "the last run of Portable workflow 9", None),
        (
            StartedRunTarget("activepieces", "f" * 21, StartMarker("value", "key")),
            f"the run of Activepieces flow {'f' * 21} that the task started, whose id was not known yet",
            f"runs {'f' * 21} --conn-id my_conn",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_it_says_what_is_waited_for_and_how_to_see_it_now(target, said, command, explain) -> None:
    shown = explain(defer(target))
    assert shown["waits for"] == said
    assert shown.get("see now") == command
    assert shown["connection"] == "my_conn"
    assert shown["deferred"] == "2026-01-31 06:00:00 UTC, try 2"
    assert shown["triggerer"] == "7 on worker-1"
    assert shown["when deferred"] == "no run had been seen"
    assert re.fullmatch(r"20\d\d-.* UTC, in 2 h \(timeout\)|20\d\d-.* UTC, in 1 h 59 min \(timeout\)", shown["until"])


def test_it_says_what_a_run_has_to_be(explain) -> None:
    guards: dict[str, Any] = {"completed_after_at": GUARD.timestamp(), "started_after_at": GUARD.timestamp() + 60}
    shown = explain(defer(NewestRunsTarget("portable", "5"), **guards, on_paused="skip"))
    assert shown["accepts"] == "a run that ended at 2026-01-31 06:00:00 UTC or later (completed_after)"
    assert shown[""] == "a run that started at 2026-01-31 06:01:00 UTC or later (started_after)"
    assert shown["paused run"] == "skip"


def test_it_says_what_was_seen_before_the_deferral(explain) -> None:
    shown = explain(defer(NewestRunsTarget("portable", "5"), [RUN], cancel_on_kill=True))
    assert shown["when deferred"] == "run 658423 is RUNNING"
    assert shown["waits for"] == "run 658423 of Portable flow 5"
    assert shown["see now"] == "run 658423 --flow 5 --conn-id my_conn"
    assert shown["if killed"] == "cancels the run"


def test_a_trigger_that_nobody_runs_is_pointed_out(explain) -> None:
    task = defer(RunTarget("tableflow", "Wp7k"))._replace(triggerer=None)
    assert explain(task)["triggerer"] == "none has taken the trigger over: is a triggerer running?"


def test_each_deferred_instance_of_a_mapped_task_is_shown(run, monkeypatch) -> None:
    instances = [
        defer(RunTarget("tableflow", name))._replace(map_index=index) for index, name in enumerate(("Aa", "Bb"))
    ]
    monkeypatch.setattr(why, "read_task_instances", lambda *_: [*instances, DeferredTask(2, "success", 1)])
    out = run("why", *IDS).out
    assert re.findall(r"map index +(\d)", out) == ["0", "1"]
    assert "TableFlow run Aa" in out
    assert "TableFlow run Bb" in out


def test_a_trigger_of_another_package_is_named(explain) -> None:
    task = DeferredTask(-1, "deferred", 1, "other.triggers.Trigger", {}, GUARD, "1 on here")
    assert explain(task)["trigger"] == "other.triggers.Trigger, which is not of this package"


@pytest.mark.parametrize(
    ("instances", "said"),
    [
        ([], "Airflow's database has no task wait of orders in DAG run manual__1"),
        ([DeferredTask(-1, "success", 1)], "is not deferred: it is success"),
        ([DeferredTask(0, None, 0), DeferredTask(1, "running", 1)], "it is without a state, running"),
        (
            [DeferredTask(-1, "deferred", 1, why.TRIGGER_CLASS, {"waiter": '{"schema": 99}'}, GUARD, None)],
            "the saved SavedWait has schema 99",
        ),
    ],
    ids=["unknown", "ended", "mapped", "other release"],
)
def test_what_cannot_be_explained_is_an_error(instances, said, run, monkeypatch) -> None:
    monkeypatch.setattr(why, "read_task_instances", lambda *_: instances)
    result = run("why", *IDS)
    assert result.code == 1
    assert said in result.err


def test_a_database_that_cannot_be_read_is_not_named(monkeypatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception("postgresql://user:made-up@db/airflow"))

    monkeypatch.setattr("airflow.utils.session.create_session", fail)
    with pytest.raises(CommandError, match=r"cannot be read from here \(OperationalError\)") as raised:
        read_task_instances(*IDS)
    assert "made-up" not in str(raised.value)
