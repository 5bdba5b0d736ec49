"""An argument of another provider breaks the DAG file with a message that names ours."""

from __future__ import annotations

import re
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException

from airflow_provider_flowruns.exceptions import InvalidArgumentError
from airflow_provider_flowruns.operators.activepieces import ActivepiecesRunFlowOperator
from airflow_provider_flowruns.operators.portable import (
    PortableCancelFlowOperator,
    PortableGetRunAttemptsOperator,
    PortableListFlowsOperator,
    PortableRunFlowOperator,
)
from airflow_provider_flowruns.sensors.portable import PortableFlowRunSensor, PortableFlowSensor

#: How Airflow itself reports an unknown argument: before 3.0 with its own exception.
REPORTED_BY_AIRFLOW = (TypeError, AirflowException)
ACTIVEPIECES_ID = "cPi5kjLQnJv89Z7KBGg7G"

INTERVALS = ("check_interval", "polling_period_seconds", "poll_frequency", "wait_seconds", "waiter_delay")
CASES: list[tuple[Any, dict[str, Any], str, str]] = [
    *((PortableRunFlowOperator, {"flow_id": 5}, name, "poll_interval") for name in (*INTERVALS, "poke_interval")),
    *((PortableFlowSensor, {"flow_id": 5}, name, "poll_interval") for name in INTERVALS),
    (PortableCancelFlowOperator, {"flow_id": 5}, "check_interval", "poll_interval"),
    (ActivepiecesRunFlowOperator, {"flow_id": ACTIVEPIECES_ID}, "wait_for_termination", "wait"),
    (PortableRunFlowOperator, {"flow_id": 5}, "wait_for_completion", "wait"),
    (PortableFlowSensor, {"flow_id": 5}, "completed_after_time", "completed_after"),
    (PortableFlowSensor, {"flow_id": 5}, "http_conn_id", "portable_conn_id"),
    (PortableListFlowsOperator, {}, "conn_id", "portable_conn_id"),
]


def make_sensor(**arguments: Any) -> PortableFlowSensor:
    return PortableFlowSensor(task_id="t", flow_id=5, **arguments)


@pytest.mark.parametrize(("cls", "arguments", "name", "ours"), CASES)
def test_the_message_names_our_argument(cls, arguments, name, ours) -> None:
    message = rf"^FR301: {name} is called {ours} in {cls.__name__}: pass {ours}$"
    with pytest.raises(InvalidArgumentError, match=message):
        cls(task_id="t", **arguments, **{name: 5})
    with DAG("dag", schedule=None), pytest.raises(InvalidArgumentError, match=message):
        cls.partial(task_id="t", **{name: 5})


def test_an_argument_with_the_opposite_meaning_is_explained() -> None:
    with pytest.raises(InvalidArgumentError, match=r"asynchronous is called wait .*asynchronous=True is wait=False"):
        PortableRunFlowOperator(task_id="t", flow_id=5, asynchronous=True)


@pytest.mark.parametrize("name", ["wait_for_termination", "wait_for_completion", "asynchronous"])
def test_a_sensor_always_waits(name) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^FR301: {name} is not needed: PortableFlowSensor always waits"):
        make_sensor(**{name: True})


@pytest.mark.parametrize(
    ("cls", "arguments", "name"),
    [
        (PortableRunFlowOperator, {"flow_id": 5}, "colour"),
        (PortableFlowSensor, {"flow_id": 5}, "colour"),
        # There is nothing of ours to name.
        (PortableFlowRunSensor, {"flow_id": 5, "run_id": 7}, "completed_after_time"),
        (PortableGetRunAttemptsOperator, {"flow_id": 5}, "wait_for_termination"),
        (PortableGetRunAttemptsOperator, {"flow_id": 5}, "check_interval"),
    ],
)
def test_airflow_reports_all_others(cls, arguments, name) -> None:
    with pytest.raises(REPORTED_BY_AIRFLOW, match=name) as caught:
        cls(task_id="t", **arguments, **{name: 1})
    assert not isinstance(caught.value, InvalidArgumentError)
    with DAG("dag", schedule=None), pytest.raises(TypeError, match=re.escape(name)):
        cls.partial(task_id="t", **{name: 1})


def test_airflow_reports_a_name_that_a_task_is_mapped_over() -> None:
    """Airflow checks the names that a task is mapped over before the task exists."""
    with DAG("dag", schedule=None):
        partial = PortableFlowSensor.partial(task_id="t", flow_id=5)
        with pytest.raises(TypeError, match="check_interval"):
            partial.expand(check_interval=[5])
        partial.expand(poll_interval=[5])


def test_what_other_tasks_of_the_dag_take_does_not_matter() -> None:
    with DAG("dag", schedule=None, default_args={"check_interval": 5, "http_conn_id": "other"}):
        assert PortableFlowSensor(task_id="t", flow_id=5).poke_interval == 60
