"""``watch`` waits as a sensor does, and its exit code says how the run ended."""

from __future__ import annotations

import logging
import os
import signal
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from functools import partial
from typing import Any

import pytest

from airflow_provider_flowruns.cli import watch
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import WaitConfig
from airflow_provider_flowruns.sensors.activepieces import ActivepiecesFlowRunSensor
from airflow_provider_flowruns.sensors.portable import PortableFlowRunSensor
from airflow_provider_flowruns.sensors.tableflow import TableFlowFlowRunSensor
from airflow_provider_flowruns.testing.task_modes import run_task, task_context
from tests.worker_time import WorkerTime

SENSORS: dict[str, Any] = {
    "portable": PortableFlowRunSensor,
    "activepieces": ActivepiecesFlowRunSensor,
    "tableflow": TableFlowFlowRunSensor,
}


@pytest.fixture(autouse=True)
def watch_in_worker_time(worker_time: WorkerTime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "time", worker_time)


def watch_line(service: str, flow: Any, run_id: Any) -> tuple[str, ...]:
    flow_id = ("--flow", str(flow.id)) if service == "portable" else ()
    return ("watch", str(run_id), *flow_id, "--conn-id", f"{service}_default")


@pytest.mark.parametrize("service", SENSORS)
def test_it_shows_each_change_and_how_the_run_ended(service, timed_sandbox, run) -> None:
    flow = getattr(timed_sandbox, service).add_flow()
    made = flow.add_run(waiting=0.0 if service == "tableflow" else 10.0, running=300.0)
    result = run(*watch_line(service, flow, made.id))
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    states = [line.partition("UTC  ")[2] for line in lines[:-1]]
    assert f"run {made.id} is RUNNING" in " ".join(states)
    assert "SUCCEEDED" in states[-1]
    assert lines[-1].startswith("Run: http")
    assert timed_sandbox.ledger.count(method="GET") < 30


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ({"outcome": "FAILED", "errors": ["Source is down"]}, 3, "failed\n- Source is down\nRun: https://"),
        ({"outcome": "CANCELED"}, 4, "was cancelled\nRun: https://"),
        ({"outcome": "RUNNING"}, 5, "timed out after 1 h (timeout)"),
    ],
    ids=["failed", "cancelled", "timeout"],
)
def test_the_exit_code_says_how_the_run_ended(options, code, said, timed_sandbox, run) -> None:
    flow = timed_sandbox.portable.add_flow()
    made = flow.add_run(waiting=5.0, running=60.0, **options)
    result = run(*watch_line("portable", flow, made.id), "--timeout", "3600")
    assert result.code == code
    assert said in result.err
    assert result.err.startswith("error: FR10")
    assert "clear this task" not in result.err


def test_a_run_that_cannot_be_observed_is_not_called_failed(timed_sandbox, run) -> None:
    flow = timed_sandbox.portable.add_flow()
    made = flow.add_run(outcome="RUNNING")
    timed_sandbox.faults.add("status", status=503, times=None, after=2)
    result = run(*watch_line("portable", flow, made.id))
    assert result.code == 6
    assert "the run may still be in progress" in result.err
    assert "warning: the poll failed, trying again" in result.out


def test_a_run_that_is_not_there_is_an_error(timed_sandbox, run) -> None:
    flow = timed_sandbox.portable.add_flow()
    result = run(*watch_line("portable", flow, 99))
    assert result.code == 1
    assert f"flow {flow.id} has no run attempt 99" in result.err


@pytest.mark.parametrize("argument", ["--timeout", "--poll-interval"])
def test_a_duration_that_cannot_be_is_named(argument, sandbox, run) -> None:
    flow = sandbox.portable.add_flow()
    result = run(*watch_line("portable", flow, 1), argument, "0")
    assert result.code == 2
    assert result.err.startswith(f"error: FR301: {argument} must be a number of seconds above 0")


class ConfigTaken(Exception):
    """Ends a wait before it begins."""


@pytest.mark.parametrize("service", SENSORS)
def test_it_waits_as_the_sensor_with_its_defaults_does(service, timed_sandbox, run, monkeypatch) -> None:
    taken: list[WaitConfig] = []

    class Taking(RunWaiter):
        def __init__(self, config: WaitConfig, *args: Any) -> None:
            taken.append(config)
            raise ConfigTaken

    flow = getattr(timed_sandbox, service).add_flow()
    made = flow.add_run(outcome="RUNNING")
    monkeypatch.setattr(watch, "RunWaiter", Taking)
    monkeypatch.setattr("airflow_provider_flowruns.sensors.wait.RunWaiter", Taking)
    with pytest.raises(ConfigTaken):
        run(*watch_line(service, flow, made.id))
    flow_id = {"flow_id": str(flow.id)} if service == "portable" else {}
    sensor = SENSORS[service](task_id="wait", run_id=str(made.id), mode="poke", **flow_id)
    with pytest.raises(ConfigTaken):
        sensor.poke({"ti": type("TaskInstance", (), {"try_number": 1, "max_tries": 1})()})
    assert taken[0] == taken[1]


@pytest.mark.parametrize(
    "options", [{}, {"outcome": "FAILED", "errors": ["Source is down"]}], ids=["succeeds", "fails"]
)
@pytest.mark.parametrize("service", SENSORS)
def test_it_prints_what_the_sensor_logs(service, options, timed_sandbox, run, caplog, monkeypatch) -> None:
    flow = getattr(timed_sandbox, service).add_flow()
    made = flow.add_run(waiting=0.0, running=60.0, ago=300.0, **options)
    printed = run(*watch_line(service, flow, made.id))
    monkeypatch.setattr(SENSORS[service], "log", logging.getLogger("sensor"))
    caplog.set_level(logging.INFO, "sensor")
    flow_id = {"flow_id": str(flow.id)} if service == "portable" else {}
    make = partial(SENSORS[service], task_id="wait", run_id=str(made.id), mode="poke", **flow_id)
    end = run_task(make, task_context())
    assert end.error == ("FlowRunFailed" if options else None)
    logged = [record.getMessage() for record in caplog.records if record.name == "sensor"]
    lines = [line.partition("UTC  ")[2] for line in printed.out.splitlines() if "UTC  " in line]
    errors = printed.err.removeprefix("error: ").splitlines()
    # Airflow's own line, and what to do with the task.
    expected = [line for line in logged if not line.startswith(("Success criteria met", "Do: "))]
    assert [*lines, *errors] == expected
    assert len(expected) >= (7 if options else 4)


def test_ctrl_c_leaves_the_run_as_it_is(sandbox) -> None:
    flow = sandbox.portable.add_flow()
    made = flow.add_run(outcome="RUNNING", waiting=0.0)
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_flowruns", *watch_line("portable", flow, made.id)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout
    assert any(f"run {made.id} is RUNNING" in line for line in iter(process.stdout.readline, ""))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == f"stopped watching run {made.id}, which is left as it is"
    assert "Traceback" not in errors
    assert sandbox.ledger.count(method="POST") == 0
