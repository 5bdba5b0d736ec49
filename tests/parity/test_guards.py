"""A guard that was given but renders to nothing is no guard that was not given: it is refused before any request."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator, timezone

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.base import FlowRunSensor, FlowSensor
from airflow_provider_flowruns.testing.task_modes import MODES, run_in, task_context
from tests.parity.cases import KINDS, Kind

GUARDED = [
    pytest.param(kind, name, id=f"{kind.name}-{name}")
    for kind in KINDS
    for name in ("completed_after", "started_after")
    if kind.sensor.takes_guard and (name == "completed_after" or issubclass(kind.sensor, FlowSensor))
]
#: Templates that find nothing, and whether the DAG renders to Python's own values.
TEMPLATES = [
    ("{{ dag_run.conf.get('since', '') }}", False),
    ("  {{ dag_run.conf.get('since', '') }} ", False),
    ("{% if 'since' in dag_run.conf %}{{ dag_run.conf['since'] }}{% endif %}", False),
    ("{{ dag_run.conf.get('since') }}", True),
]


class UpstreamTask:
    """The task instance of a DAG run in which no other task has a result."""

    def xcom_pull(self, *_: Any, **__: Any) -> None:
        """Return what other tasks have returned."""

    def get_relevant_upstream_map_indexes(self, *_: Any, **__: Any) -> None:
        """Return which instances of a mapped task count; Airflow 2 asks before it pulls."""


CONTEXT: Any = {"dag_run": SimpleNamespace(conf={}), "ti": UpstreamTask(), "expanded_ti_count": None}


def rendered(kind: Kind, sandbox: Sandbox, flow_id: Any, native: bool, **arguments: Any) -> Any:
    """Return what makes a sensor whose templates are rendered, in a DAG of its own."""

    def make(**mode: Any) -> FlowRunSensor:
        with DAG("a_dag", schedule=None, render_template_as_native_obj=native):
            given = {name: value() if callable(value) else value for name, value in arguments.items()}
            sensor = kind.sensor(
                task_id="wait", poke_interval=0.1, timeout=5.0, **kind.arguments(flow_id, None), **given, **mode
            )
        sensor.render_template_fields(CONTEXT)
        return sensor

    return make


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kind", "name"), GUARDED)
def test_a_guard_that_renders_to_nothing_is_refused(kind: Kind, name: str, mode: str, sandbox: Sandbox) -> None:
    flow = kind.add_flow(sandbox)
    flow.add_run(outcome="SUCCEEDED", ago=30 * 24 * 60 * 60.0)
    for template, native in TEMPLATES:
        end = run_in(mode, rendered(kind, sandbox, flow.id, native, **{name: template}))
        assert (end.state, end.error) == ("failed", "InvalidArgumentError"), (template, end)
        assert end.message.startswith(f"FR301: {name} rendered to nothing"), end.message
    assert sandbox.ledger.count() == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kind", "name"), GUARDED)
def test_a_guard_from_a_task_without_a_result_is_refused(kind: Kind, name: str, mode: str, sandbox: Sandbox) -> None:
    flow = kind.add_flow(sandbox)
    flow.add_run(outcome="SUCCEEDED", ago=60.0)
    result = {name: lambda: BaseOperator(task_id="above").output}
    end = run_in(mode, rendered(kind, sandbox, flow.id, False, **result))
    assert (end.state, end.error) == ("failed", "InvalidArgumentError"), end
    assert sandbox.ledger.count() == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kind", "name"), GUARDED)
def test_none_in_the_dag_file_is_no_guard(kind: Kind, name: str, mode: str, sandbox: Sandbox) -> None:
    flow = kind.add_flow(sandbox)
    flow.add_run(outcome="SUCCEEDED", ago=60.0)
    assert run_in(mode, rendered(kind, sandbox, flow.id, False, **{name: None})).state == "success"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("value", ["1764331200000", "1999-12-31", "2999-01-01"])
def test_a_guard_that_cannot_be_right_is_refused_when_it_is_rendered(value: str, mode: str, sandbox: Sandbox) -> None:
    kind = KINDS[0]
    flow = kind.add_flow(sandbox)
    flow.add_run(outcome="SUCCEEDED", ago=60.0)
    end = run_in(mode, rendered(kind, sandbox, flow.id, False, completed_after=f"{{{{ '{value}' }}}}"))
    assert (end.state, end.error) == ("failed", "InvalidArgumentError"), end
    assert end.message.startswith("FR301: completed_after must"), end.message
    assert sandbox.ledger.count() == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("due", ["data_interval_end", "run_after"])
def test_a_run_that_ended_before_the_dag_run_was_due_is_warned_about(
    mode: str, due: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, moment = KINDS[0], timezone.utcnow() - timedelta(hours=1)
    # A DAG run that an asset has started has no data interval.
    dag_run = SimpleNamespace(conf={}, **({"run_after": moment} if due == "run_after" else {}))
    for ago, is_warned in ((30.0, False), (7200.0, True)):
        log = MagicMock(spec=logging.Logger)
        monkeypatch.setattr(FlowRunSensor, "log", log, raising=False)
        flow = kind.add_flow(sandbox)
        flow.add_run(outcome="SUCCEEDED", ago=ago, running=1.0)
        context = {**task_context(), "dag_run": dag_run, **({} if due == "run_after" else {due: moment})}
        end = run_in(mode, rendered(kind, sandbox, flow.id, native=False), context)
        assert end.state == "success", end
        assert any("before this DAG run was due" in call.args[0] for call in log.warning.mock_calls) is is_warned


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("due", ["data_interval_end", "run_after"])
@pytest.mark.parametrize(("kind", "name"), GUARDED)
def test_the_automatic_guard_accepts_what_is_newer_than_the_dag_runs_due_time(
    kind: Kind, name: str, due: str, mode: str, sandbox: Sandbox
) -> None:
    moment = timezone.utcnow() - timedelta(hours=1)
    dag_run = SimpleNamespace(conf={}, run_after=moment if due == "run_after" else timezone.utcnow())
    for ago, end_of_wait in ((30.0, ("success", None)), (7200.0, ("failed", "AirflowSensorTimeout"))):
        flow = kind.add_flow(sandbox)
        flow.add_run(outcome="SUCCEEDED", ago=ago, running=1.0)
        context = {**task_context(), "dag_run": dag_run, **({} if due == "run_after" else {due: moment})}
        given = {**kind.arguments(flow.id, None), name: "auto", "timeout": 0.3 if ago > 3600.0 else 20.0}
        make = partial(kind.sensor, task_id="wait", poll_interval=0.1, **given)
        end = run_in(mode, make, context)
        assert (end.state, end.error) == end_of_wait, end
