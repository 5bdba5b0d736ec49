"""Freshness: a guard that was given counts, and one that renders to nothing is refused before any request."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator, timezone

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.base import FlowRunSensor, FlowSensor
from airflow_provider_flowruns.testing.adapter import SensorKind, ServiceAdapter
from airflow_provider_flowruns.testing.base import ConformanceBase, for_each, make_sensor
from airflow_provider_flowruns.testing.task_modes import MODES, MakeSensor, run_in, task_context

#: Templates that find nothing, and whether the DAG renders to Python's own values.
TEMPLATES = [
    ("{{ dag_run.conf.get('since', '') }}", False),
    ("  {{ dag_run.conf.get('since', '') }} ", False),
    ("{% if 'since' in dag_run.conf %}{{ dag_run.conf['since'] }}{% endif %}", False),
    ("{{ dag_run.conf.get('since') }}", True),
]


class _UpstreamTask:
    """The task instance of a DAG run in which no other task has a result."""

    def xcom_pull(self, *_: Any, **__: Any) -> None:
        """Return what other tasks have returned."""

    def get_relevant_upstream_map_indexes(self, *_: Any, **__: Any) -> None:
        """Return which instances of a mapped task count; Airflow 2 asks before it pulls."""


_CONTEXT: Any = {"dag_run": SimpleNamespace(conf={}), "ti": _UpstreamTask(), "expanded_ti_count": None}


def _list_guards(adapter: ServiceAdapter) -> Iterator[Any]:
    for kind in adapter.sensors:
        for name in ("completed_after", "started_after"):
            if kind.sensor.takes_guard and (name == "completed_after" or issubclass(kind.sensor, FlowSensor)):
                yield pytest.param(kind, name, id=f"{kind.name}-{name}")


def make_rendered(kind: SensorKind, flow_id: Any, /, *, native: bool = False, **arguments: Any) -> MakeSensor:
    """Return what makes a sensor whose templates are rendered, in a DAG of its own.

    :param kind: the sensor.
    :param flow_id: the flow's id.
    :param native: whether the DAG renders to Python's own values.
    """

    def make(**mode: Any) -> FlowRunSensor[Any]:
        with DAG("a_dag", schedule=None, render_template_as_native_obj=native):
            given = {name: value() if callable(value) else value for name, value in arguments.items()}
            ids = kind.arguments(flow_id, None)
            sensor = kind.sensor(task_id="wait", poke_interval=0.1, timeout=5.0, **ids, **given, **mode)
        sensor.render_template_fields(_CONTEXT)
        return sensor

    return make


class FreshnessTests(ConformanceBase):
    """The guards of the sensors on a last run, in every mode. The parity table has the stale runs."""

    @for_each("kind, name", _list_guards)
    def test_a_guard_that_renders_to_nothing_is_refused(self, kind: SensorKind, name: str, sandbox: Sandbox) -> None:
        """It is an error before any request: without it, a run of any age would count."""
        flow = kind.add_flow(sandbox)
        flow.add_run(outcome="SUCCEEDED", ago=30 * 24 * 60 * 60.0)
        for mode, (template, native) in product(MODES, TEMPLATES):
            end = run_in(mode, make_rendered(kind, flow.id, native=native, **{name: template}))
            assert (end.state, end.error) == ("failed", "InvalidArgumentError"), (mode, template, end)
            assert end.message.startswith(f"FR301: {name} rendered to nothing"), (mode, end.message)
        assert sandbox.ledger.count() == 0

    @for_each("kind, name", _list_guards)
    def test_a_guard_from_a_task_without_a_result_is_refused(
        self, kind: SensorKind, name: str, sandbox: Sandbox
    ) -> None:
        """It came out of another task's result, so it was given."""
        flow = kind.add_flow(sandbox)
        flow.add_run(outcome="SUCCEEDED", ago=60.0)
        for mode in MODES:
            result: dict[str, Any] = {name: lambda: BaseOperator(task_id="above").output}
            end = run_in(mode, make_rendered(kind, flow.id, **result))
            assert (end.state, end.error) == ("failed", "InvalidArgumentError"), (mode, end)
        assert sandbox.ledger.count() == 0

    @for_each("kind, name", _list_guards)
    def test_none_in_the_dag_file_is_no_guard(self, kind: SensorKind, name: str, sandbox: Sandbox) -> None:
        """An argument that is None was not given."""
        flow = kind.add_flow(sandbox)
        flow.add_run(outcome="SUCCEEDED", ago=60.0)
        given: dict[str, Any] = {name: None}
        for mode in MODES:
            assert run_in(mode, make_rendered(kind, flow.id, **given)).state == "success", mode

    @pytest.mark.parametrize("due", ["data_interval_end", "run_after"])
    @for_each("kind, name", _list_guards)
    def test_the_automatic_guard_accepts_what_is_newer_than_the_dag_runs_due_time(
        self, kind: SensorKind, name: str, due: str, sandbox: Sandbox
    ) -> None:
        """The end of the data interval, or what takes its place in a DAG run without one."""
        moment = timezone.utcnow() - timedelta(hours=1)
        dag_run = SimpleNamespace(conf={}, run_after=moment if due == "run_after" else timezone.utcnow())
        for ago, expected in ((30.0, ("success", None)), (7200.0, ("failed", "AirflowSensorTimeout"))):
            flow = kind.add_flow(sandbox)
            flow.add_run(outcome="SUCCEEDED", ago=ago, running=1.0)
            given = {**kind.arguments(flow.id, None), name: "auto", "timeout": 0.3 if ago > 3600.0 else 20.0}
            for mode in MODES:
                context = {**task_context(), "dag_run": dag_run, **({} if due == "run_after" else {due: moment})}
                end = run_in(mode, make_sensor(kind, given, poll_interval=0.1), context)
                assert (end.state, end.error) == expected, (mode, end)
