"""A sensor that cannot work breaks the DAG file when it is parsed, not the task hours later."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException, BaseOperator

from airflow_provider_flowruns.exceptions import InvalidArgumentError
from airflow_provider_flowruns.sensors.activepieces import ActivepiecesFlowRunSensor, ActivepiecesFlowSensor
from airflow_provider_flowruns.sensors.base import FlowRunSensor, FlowSensor, FreshSensor
from airflow_provider_flowruns.sensors.portable import PortableFlowRunSensor, PortableFlowSensor, PortableWorkflowSensor
from airflow_provider_flowruns.sensors.tableflow import TableFlowFlowRunSensor, TableFlowFlowSensor

ACTIVEPIECES_ID, TABLEFLOW_ID = "cPi5kjLQnJv89Z7KBGg7G", "Wp7kRnT2mX4vQ9bL"

#: The ids with which each sensor can be made.
GOOD: dict[type[FlowRunSensor], dict[str, Any]] = {
    PortableFlowSensor: {"flow_id": 5},
    PortableFlowRunSensor: {"flow_id": 5, "run_id": 7},
    PortableWorkflowSensor: {"workflow_id": 5},
    ActivepiecesFlowRunSensor: {"run_id": ACTIVEPIECES_ID},
    ActivepiecesFlowSensor: {"flow_id": ACTIVEPIECES_ID},
    TableFlowFlowRunSensor: {"run_id": TABLEFLOW_ID},
    TableFlowFlowSensor: {"flow_id": TABLEFLOW_ID},
}
SENSORS = [*GOOD]
IDS = [(sensor, name) for sensor, ids in GOOD.items() for name in ids]
GUARDS = [
    *((sensor, "completed_after") for sensor in SENSORS if issubclass(sensor, FreshSensor)),
    *((sensor, "started_after") for sensor in SENSORS if issubclass(sensor, FlowSensor)),
]

#: How Airflow itself refuses an argument: before 3.2 (3.0 for a missing or unknown one) with its own exception.
REFUSED = (TypeError, ValueError, AirflowException)

every_sensor = pytest.mark.parametrize("sensor", SENSORS)


def made(sensor: type[FlowRunSensor], **arguments: Any) -> FlowRunSensor:
    return sensor(task_id="wait", **{**GOOD[sensor], **arguments})


@pytest.mark.parametrize(("sensor", "name"), IDS)
def test_an_id_that_cannot_be_one_is_refused_by_name(sensor, name) -> None:
    for value in ("../x", "1/status?x=", "1#", "٣", "1.0", "", "..", "%2e%2e", True, 1.0, "A" * 200):
        with pytest.raises(InvalidArgumentError, match=rf"^FR301: {name} must look like"):
            made(sensor, **{name: value})


@pytest.mark.parametrize(("sensor", "name"), IDS)
def test_a_sensor_does_not_do_without_its_id(sensor, name) -> None:
    arguments = {other: value for other, value in GOOD[sensor].items() if other != name}
    with pytest.raises(REFUSED, match=name):
        sensor(task_id="wait", **arguments)


@pytest.mark.parametrize("name", ["error_budget", "poke_interval"])
@pytest.mark.parametrize("value", [0, 0.0])
def test_a_span_of_no_time_is_refused_by_name(name, value) -> None:
    for sensor in SENSORS:
        with pytest.raises(InvalidArgumentError, match=rf"^FR301: {name} must be a number of seconds above 0"):
            made(sensor, **{name: value})


@pytest.mark.parametrize("value", [-1, "900", None, True, float("nan")])
def test_an_error_budget_that_is_no_span_is_refused(value) -> None:
    for sensor in SENSORS:
        with pytest.raises(InvalidArgumentError, match=r"^FR301: error_budget must be a number of seconds above 0"):
            made(sensor, error_budget=value)


@pytest.mark.parametrize("value", [-1, "soon"])
def test_a_poke_interval_that_is_no_span_is_refused(value) -> None:
    for sensor in SENSORS:
        with pytest.raises(REFUSED, match="poke_interval"):
            made(sensor, poke_interval=value)


@pytest.mark.parametrize(("value", "seconds"), [(0.5, 0.5), (60, 60), (timedelta(minutes=1), 60)])
def test_a_poke_interval_in_seconds_and_as_timedelta(value, seconds) -> None:
    assert [made(sensor, poke_interval=value).poke_interval for sensor in SENSORS] == [seconds] * len(SENSORS)


def test_its_interval_may_have_the_name_that_it_has_in_operators() -> None:
    for sensor in SENSORS:
        for value in (90, timedelta(seconds=90)):
            assert made(sensor, poll_interval=value).poke_interval == 90
        assert made(sensor, poll_interval=90, poke_interval=timedelta(seconds=90)).poke_interval == 90
        assert made(sensor).poke_interval == 60


def test_two_intervals_that_differ_are_refused_by_name() -> None:
    for sensor in SENSORS:
        with pytest.raises(
            InvalidArgumentError, match=r"^FR301: poke_interval \(60\) and poll_interval \(90\) are the same"
        ):
            made(sensor, poke_interval=60, poll_interval=90)


@every_sensor
@pytest.mark.parametrize("name", ["poke_interval", "poll_interval"])
def test_a_mapped_sensor_has_the_interval_of_either_name(sensor, name) -> None:
    conn_id = sensor.info.conn_id_argument
    with DAG("dag", schedule=None) as dag:
        sensor.partial(task_id="fixed", **GOOD[sensor], **{name: 90}).expand(**{conn_id: ["one"]})
        sensor.partial(task_id="mapped", **GOOD[sensor]).expand(**{name: [90, 30]})
    fixed: Any = dag.get_task("fixed").unmap({conn_id: "one"})
    mapped: Any = dag.get_task("mapped").unmap({name: 30})
    assert (fixed.poke_interval, mapped.poke_interval) == (90, 30)


def test_what_a_dag_shares_among_sensors_and_operators_reaches_sensors() -> None:
    for sensor in SENSORS:
        with DAG("dag", schedule=None, default_args={"poll_interval": 90}):
            assert made(sensor).poke_interval == 90


CHOICES = {"on_paused": ["wait", "succeed", "fail", "skip"], "on_canceled": ["fail", "skip"]}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in CHOICES.items() for value in values])
def test_every_choice_is_taken(name, value) -> None:
    assert {getattr(made(sensor, **{name: value}), name) for sensor in SENSORS} == {value}


@pytest.mark.parametrize(
    ("name", "value"),
    [("on_paused", "ignore"), ("on_paused", "WAIT"), ("on_paused", None), ("on_canceled", "wait"), ("on_canceled", "")],
)
def test_what_is_no_choice_is_refused_with_the_choices(name, value) -> None:
    for sensor in SENSORS:
        with pytest.raises(InvalidArgumentError, match=rf"^FR301: {name} must be one of {', '.join(CHOICES[name])},"):
            made(sensor, **{name: value})


@pytest.mark.parametrize(("sensor", "name"), GUARDS)
def test_a_guard_that_is_no_point_in_time_is_refused_by_name(sensor, name) -> None:
    for value in ("soon", "None", "2026-13-01", 1682366228, True):
        with pytest.raises(InvalidArgumentError, match=rf"^FR301: {name} must be 'auto', a datetime or ISO-8601 text"):
            made(sensor, **{name: value})


@pytest.mark.parametrize(("sensor", "name"), GUARDS)
@pytest.mark.parametrize("value", [None, "2026-01-31", "2026-01-31T12:00:00+01:00", datetime(2026, 1, 31, tzinfo=UTC)])
def test_a_guard_in_every_form(sensor, name, value) -> None:
    assert getattr(made(sensor, **{name: value}), name) == value


@pytest.mark.parametrize(("sensor", "name"), GUARDS)
@pytest.mark.parametrize("value", ["", "  "])
def test_a_guard_that_is_empty_is_refused_by_name(sensor, name, value) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^FR301: {name} rendered to nothing"):
        made(sensor, **{name: value})


@pytest.mark.parametrize(("sensor", "name"), GUARDS)
@pytest.mark.parametrize("value", ["1764331200000", "1999-12-31", datetime(1768, 1, 1, tzinfo=UTC)])
def test_a_guard_that_cannot_be_right_is_refused_by_name(sensor, name, value) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^FR301: {name} must"):
        made(sensor, **{name: value})


@pytest.mark.parametrize(("sensor", "name"), GUARDS)
def test_a_guard_in_the_future_passes_until_the_task_runs(sensor, name) -> None:
    """The DAG's first run may be years ahead."""
    task = made(sensor, **{name: "2999-01-01"})
    assert task.is_guarded
    with pytest.raises(InvalidArgumentError, match=rf"^FR301: {name} must not be more than a day ahead"):
        task.waiting.validate_guard(name, {})


@pytest.mark.parametrize(("sensor", "name"), GUARDS)
def test_the_automatic_guard_is_when_the_dag_run_was_due(sensor, name) -> None:
    due, later = datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    task: Any = made(sensor, **{name: "auto"})
    assert task.is_guarded
    with_interval = {"data_interval_end": due, "dag_run": SimpleNamespace(run_after=later)}
    assert task.waiting.validate_guard(name, with_interval) == due.timestamp()
    # One that an asset started, or a request without a logical date, has no data interval.
    for context in ({}, {"data_interval_end": None}):
        assert (
            task.waiting.validate_guard(name, {**context, "dag_run": SimpleNamespace(run_after=later)})
            == later.timestamp()
        )


@pytest.mark.parametrize(("sensor", "name"), GUARDS)
def test_the_automatic_guard_needs_a_dag_run(sensor, name) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^FR301: {name}='auto' requires a DAG run"):
        made(sensor, **{name: "auto"}).waiting.validate_guard(name, {})


@pytest.mark.parametrize(("sensor", "name"), GUARDS)
def test_the_guard_of_a_mapped_sensor_can_be_automatic(sensor, name) -> None:
    conn_id = sensor.info.conn_id_argument
    with DAG("dag", schedule=None) as dag:
        sensor.partial(task_id="fixed", **GOOD[sensor], **{name: "auto"}).expand(**{conn_id: ["one"]})
        sensor.partial(task_id="mapped", **GOOD[sensor]).expand(**{name: ["auto", "2026-01-31"]})
    tasks: list[Any] = [dag.get_task("fixed").unmap({conn_id: "one"}), dag.get_task("mapped").unmap({name: "auto"})]
    assert [getattr(task, name) for task in tasks] == ["auto", "auto"]


@pytest.mark.parametrize(("sensor", "name"), GUARDS)
def test_an_empty_guard_among_the_values_of_a_mapped_task_is_refused(sensor, name) -> None:
    """There None is what another task, or one row of a table, did not say."""
    with DAG("dag", schedule=None) as dag:
        sensor.partial(task_id="wait", **GOOD[sensor]).expand(**{name: ["2026-01-31", None]})
    task: Any = dag.get_task("wait").unmap({name: "2026-01-31"})
    assert task.is_guarded
    for empty in (None, ""):
        with pytest.raises(InvalidArgumentError, match=rf"^FR301: {name} rendered to nothing"):
            dag.get_task("wait").unmap({name: empty})


@pytest.mark.parametrize(("sensor", "name"), GUARDS)
def test_a_mapped_task_without_a_guard_has_none(sensor, name) -> None:
    conn_id = sensor.info.conn_id_argument
    with DAG("dag", schedule=None) as dag:
        sensor.partial(task_id="wait", **GOOD[sensor]).expand(**{conn_id: ["one"]})
    task: Any = dag.get_task("wait").unmap({conn_id: "one"})
    assert (task.is_guarded, getattr(task, name)) == (False, None)


@pytest.mark.parametrize("sensor", [sensor for sensor in SENSORS if (sensor, "completed_after") not in GUARDS])
@pytest.mark.parametrize("name", ["completed_after", "started_after"])
def test_a_sensor_on_one_run_takes_no_guard(sensor, name) -> None:
    with pytest.raises(REFUSED, match=name):
        made(sensor, **{name: "2026-01-31"})


@every_sensor
@pytest.mark.parametrize("template", ["{{ params.value }}", "{% if x %}1{% endif %}"])
def test_a_template_passes_unchecked(sensor, template) -> None:
    templated = dict.fromkeys(sensor.template_fields, template)
    task = made(sensor, **templated)
    assert {name: getattr(task, name) for name in templated} == templated


@every_sensor
def test_another_tasks_result_passes_unchecked_and_makes_it_upstream(sensor) -> None:
    with DAG("dag", schedule=None):
        above = BaseOperator(task_id="above")
        results = {name: above.output for name in sensor.template_fields if name != sensor.info.conn_id_argument}
        task = made(sensor, **results)
    assert task.upstream_task_ids == {"above"}


@every_sensor
def test_ids_guards_and_the_connection_are_templated(sensor) -> None:
    guards = {name for guarded, name in GUARDS if guarded is sensor}
    assert {*sensor.template_fields} == {*GOOD[sensor], sensor.info.conn_id_argument, *guards}


@every_sensor
def test_the_default_connection_is_the_hooks(sensor) -> None:
    assert made(sensor).conn_id == sensor.info.default_conn_id


@pytest.mark.parametrize(("sensor", "name"), IDS)
def test_it_can_be_mapped_over_its_id(sensor, name) -> None:
    others = {other: value for other, value in GOOD[sensor].items() if other != name}
    with DAG("dag", schedule=None) as dag:
        sensor.partial(task_id="wait", mode="reschedule", poke_interval=5, **others).expand(
            **{name: [GOOD[sensor][name]]}
        )
    task = dag.get_task("wait").unmap({name: GOOD[sensor][name]})
    assert isinstance(task, sensor)
    assert (getattr(task, name), task.mode) == (GOOD[sensor][name], "reschedule")


@every_sensor
def test_it_can_be_mapped_over_its_connection(sensor) -> None:
    conn_id = sensor.info.conn_id_argument
    with DAG("dag", schedule=None) as dag:
        sensor.partial(task_id="wait", **GOOD[sensor]).expand(**{conn_id: ["one", "two"]})
    task: Any = dag.get_task("wait").unmap({conn_id: "two"})
    assert task.conn_id == "two"


@pytest.mark.parametrize(("sensor", "name"), IDS)
@pytest.mark.parametrize("rendered", ["../x", "", None])
def test_a_template_that_rendered_to_an_invalid_value_is_refused_before_the_first_poll(sensor, name, rendered) -> None:
    task = made(sensor, **{name: "{{ params.value }}"})
    setattr(task, name, rendered)
    with pytest.raises(InvalidArgumentError, match=name):
        task.target()
