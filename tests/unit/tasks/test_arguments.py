"""What is known of an argument at DAG parse, and durations in every form that Airflow's users write them in."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator, TaskDeferred, task_group

from airflow_provider_flowruns.exceptions import InvalidArgumentError
from airflow_provider_flowruns.operators.activepieces import (
    ActivepiecesRetryFlowRunOperator,
    ActivepiecesRunFlowOperator,
)
from airflow_provider_flowruns.operators.portable import PortableCancelFlowOperator, PortableRunFlowOperator
from airflow_provider_flowruns.operators.tableflow import TableFlowRunFlowOperator
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.activepieces import ActivepiecesFlowRunSensor, ActivepiecesFlowSensor
from airflow_provider_flowruns.sensors.portable import PortableFlowRunSensor, PortableFlowSensor, PortableWorkflowSensor
from airflow_provider_flowruns.sensors.tableflow import TableFlowFlowRunSensor, TableFlowFlowSensor
from airflow_provider_flowruns.tasks.arguments import (
    MAX_DURATION_SECONDS,
    check_when_known,
    get_known_part,
    is_known,
    parse_seconds,
    require_rendered,
)
from airflow_provider_flowruns.testing.task_modes import task_context
from airflow_provider_flowruns.triggers.flow_run import FlowRunFinishedTrigger

ACTIVEPIECES_ID, TABLEFLOW_ID = "cPi5kjLQnJv89Z7KBGg7G", "Wp7kRnT2mX4vQ9bL"


@pytest.fixture
def result() -> Any:
    """Another task's result."""
    with DAG("dag", schedule=None):
        return BaseOperator(task_id="above").output


# -- what is known at DAG parse


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        "",
        "text",
        "{ not a template }",
        {},
        {"a": ["b", ("c",), {"d"}]},
        Path("a/b"),  # has a resolve() of its own
        object(),
    ],
)
def test_what_has_no_template_in_it_is_known(value) -> None:
    assert is_known(value)
    assert get_known_part(value) is not None or value is None


@pytest.mark.parametrize("template", ["{{ ds }}", "{% if x %}1{% endif %}", "{# a remark #}1", "s3://b/{{ ds }}"])
def test_a_template_anywhere_is_not_known(template) -> None:
    for value in (template, [template], (1, template), {template}, {"a": {"b": [template]}}):
        assert not is_known(value)


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x], lambda x: (1, x), lambda x: {"a": {"b": [x]}}])
def test_another_tasks_result_anywhere_is_not_known(wrap, result) -> None:
    for one in (result, result["key"], result.map(str), result.zip(result)):
        assert not is_known(wrap(one))


def test_a_value_that_airflow_calls_when_it_renders_is_not_known() -> None:
    def payload(context: Any, jinja_env: Any) -> Any:
        return {}

    assert not is_known(payload)
    assert get_known_part(payload) is None


def test_a_mapped_task_groups_argument_is_not_known() -> None:
    seen = []

    @task_group
    def group(value: Any) -> None:
        seen.append((is_known(value), is_known({"a": value}), get_known_part({"a": value, "b": 1})))
        BaseOperator(task_id="inside")

    with DAG("dag", schedule=None):
        group.expand(value=[1, 2])
    assert seen == [(False, False, {"b": 1})]


def test_the_known_part_is_all_but_other_tasks_results(result) -> None:
    assert get_known_part({"a": 1, "b": result, "c": [result, 2, {"d": result, "e": 3}]}) == {
        "a": 1,
        "c": [2, {"e": 3}],
    }
    assert get_known_part({"day": "{{ ds }}", "n": 1}) == {"day": "{{ ds }}", "n": 1}
    assert get_known_part([(result, 1), {2}]) == [[1], [2]]
    assert get_known_part(result) is None
    assert get_known_part("{{ ds }}") is None


def test_a_container_of_itself_is_known_as_it_is() -> None:
    value: dict[str, Any] = {}
    value["self"] = [value]
    assert is_known(value)
    assert get_known_part(value) is value


def test_a_check_waits_for_all_of_a_value(result) -> None:
    checked: list[Any] = []
    for value in ("{{ ds }}", [result], {"a": (result,)}, "final", ["final"]):
        check_when_known(value, checked.append)
    assert checked == ["final", ["final"]]


def test_an_argument_that_rendered_to_nothing_is_refused_by_name() -> None:
    for value in (None, "", " \n"):
        with pytest.raises(
            InvalidArgumentError, match=r"^FR301: start_time rendered to nothing \(an empty text or None\): "
        ):
            require_rendered(value, argument="start_time")
    given: list[Any] = [0, False, [], {}, "None", "x"]
    for value in given:
        require_rendered(value, argument="start_time")


# -- durations

SENSOR, RUN, CANCEL = (
    ("poke_interval", "timeout", "error_budget"),
    ("poll_interval", "timeout", "error_budget"),
    ("timeout", "poll_interval"),
)
#: Arguments with which each class can be created, and which of them are durations.
CLASSES: dict[Any, tuple[dict[str, Any], tuple[str, ...]]] = {
    PortableFlowSensor: ({"flow_id": 5}, SENSOR),
    PortableFlowRunSensor: ({"flow_id": 5, "run_id": 7}, SENSOR),
    PortableWorkflowSensor: ({"workflow_id": 5}, SENSOR),
    ActivepiecesFlowRunSensor: ({"run_id": ACTIVEPIECES_ID}, SENSOR),
    ActivepiecesFlowSensor: ({"flow_id": ACTIVEPIECES_ID}, SENSOR),
    TableFlowFlowRunSensor: ({"run_id": TABLEFLOW_ID}, SENSOR),
    TableFlowFlowSensor: ({"flow_id": TABLEFLOW_ID}, SENSOR),
    PortableRunFlowOperator: ({"flow_id": 5}, RUN),
    ActivepiecesRunFlowOperator: ({"flow_id": ACTIVEPIECES_ID}, RUN),
    ActivepiecesRetryFlowRunOperator: ({"run_id": ACTIVEPIECES_ID}, RUN),
    TableFlowRunFlowOperator: ({"flow_id": TABLEFLOW_ID}, RUN),
    PortableCancelFlowOperator: ({"flow_id": 5}, CANCEL),
}
TASKS = [*CLASSES]
DURATIONS = [(cls, name) for cls, (_, names) in CLASSES.items() for name in names]
every_duration = pytest.mark.parametrize(("cls", "name"), DURATIONS, ids=lambda one: getattr(one, "__name__", one))

BAD: list[Any] = [
    *(0, -1, -0.5, 0.0),
    *(float("nan"), float("inf"), float("-inf"), 1e300, 10**400, 10**5000),
    *(MAX_DURATION_SECONDS + 1, 1e12),
    *(timedelta(0), timedelta(seconds=-1), timedelta.max, timedelta(days=3651)),
    *(True, False, "900", "soon", "", b"5", Decimal(5), [], {}, object()),
]


def make(cls: Any, **arguments: Any) -> Any:
    return cls(task_id="t", **{**CLASSES[cls][0], **arguments})


@every_duration
def test_a_duration_that_no_wait_can_have_is_refused_by_name_at_dag_parse(cls, name) -> None:
    for value in BAD:
        with pytest.raises(
            InvalidArgumentError, match=rf"^FR301: {name} must be a number of seconds above 0 and at most 3153600"
        ):
            make(cls, **{name: value})


@every_duration
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (5, 5.0),
        (0.5, 0.5),
        (timedelta(minutes=1, milliseconds=500), 60.5),
        (timedelta(days=3650), MAX_DURATION_SECONDS),
        (MAX_DURATION_SECONDS, MAX_DURATION_SECONDS),
    ],
)
def test_a_duration_in_seconds_and_as_timedelta(cls, name, value, seconds) -> None:
    assert getattr(make(cls, **{name: value}), name) == seconds


def test_a_watchers_interval_that_cannot_be_one_is_refused() -> None:
    for value in BAD:
        with pytest.raises(InvalidArgumentError, match=r"^FR301: poll_interval must be a number of seconds"):
            FlowRunFinishedTrigger("portable", 5, poll_interval=value)


def test_watchers_that_differ_in_how_their_interval_is_written_are_the_same() -> None:
    forms = (60, 60.0, timedelta(minutes=1))
    assert len({json.dumps(FlowRunFinishedTrigger("portable", 5, poll_interval=one).serialize()) for one in forms}) == 1


@every_duration
def test_what_a_dag_shares_among_its_tasks_may_be_a_timedelta(cls, name) -> None:
    with DAG("dag", schedule=None, default_args={name: timedelta(minutes=90)}):
        assert getattr(make(cls), name) == 5400


@every_duration
def test_what_a_dag_shares_among_its_tasks_is_checked_too(cls, name) -> None:
    with (
        DAG("dag", schedule=None, default_args={name: float("inf")}),
        pytest.raises(InvalidArgumentError, match=rf"^FR301: {name} must be a number of seconds"),
    ):
        make(cls)


@every_duration
def test_a_mapped_task_takes_its_durations_in_either_form(cls, name) -> None:
    with DAG("dag", schedule=None) as dag:
        cls.partial(task_id="one", **CLASSES[cls][0]).expand(**{name: [60, timedelta(minutes=2)]})
        cls.partial(task_id="other", **{name: timedelta(minutes=3)}).expand_kwargs([CLASSES[cls][0]])
    mapped = dag.get_task("one")
    assert [getattr(mapped.unmap({name: one}), name) for one in (60, timedelta(minutes=2))] == [60, 120]
    assert getattr(dag.get_task("other").unmap(CLASSES[cls][0]), name) == 180
    with pytest.raises(InvalidArgumentError, match=rf"^FR301: {name} must be a number of seconds"):
        mapped.unmap({name: 10**400})


def test_a_sensor_without_a_timeout_has_airflows_own() -> None:
    assert make(PortableFlowSensor).timeout == make(PortableFlowSensor, timeout=None).timeout == 7 * 24 * 60 * 60


@pytest.mark.parametrize("cls", [PortableFlowSensor, PortableRunFlowOperator])
def test_a_wait_lasts_as_long_as_its_timedeltas_say(cls, sandbox: Sandbox) -> None:
    flow = sandbox.portable.add_flow()
    flow.next_run(running=600, always=True)
    if cls is PortableFlowSensor:
        flow.add_run(running=600)
    interval = CLASSES[cls][1][0]
    task = cls(
        task_id="t",
        flow_id=flow.id,
        deferrable=True,
        timeout=timedelta(hours=1),
        error_budget=timedelta(minutes=2),
        **{interval: timedelta(seconds=45)},
    )
    before = time.time()
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(task_context())
    config = json.loads(deferred.value.trigger.serialize()[1]["waiter"])["config"]
    assert (config["interval_seconds"], config["error_budget_seconds"]) == (45, 120)
    assert before + 3600 <= config["deadline_at"] <= time.time() + 3600


def test_seconds_are_returned_as_a_float() -> None:
    assert [type(parse_seconds(value, argument="x")) for value in (1, 1.5, timedelta(1))] == [float] * 3
