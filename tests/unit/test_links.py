"""The link: where it is set, and that drawing it asks for nothing but one XCom."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, XCom

from airflow_provider_flowruns.links import FlowRunLink
from airflow_provider_flowruns.operators.activepieces import (
    ActivepiecesGetFlowRunOperator,
    ActivepiecesGetStepOutputOperator,
    ActivepiecesListFlowRunsOperator,
    ActivepiecesRetryFlowRunOperator,
    ActivepiecesRunFlowOperator,
)
from airflow_provider_flowruns.operators.portable import (
    PortableCancelFlowOperator,
    PortableGetRunAttemptsOperator,
    PortableRunFlowOperator,
)
from airflow_provider_flowruns.operators.tableflow import (
    TableFlowGetFlowRunOperator,
    TableFlowGetRunAttemptsOperator,
    TableFlowListFlowRunsOperator,
    TableFlowRunFlowOperator,
)
from airflow_provider_flowruns.sensors.activepieces import ActivepiecesFlowRunSensor, ActivepiecesFlowSensor
from airflow_provider_flowruns.sensors.portable import PortableFlowRunSensor, PortableFlowSensor, PortableWorkflowSensor
from airflow_provider_flowruns.sensors.tableflow import TableFlowFlowRunSensor, TableFlowFlowSensor

try:
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:  # Airflow below 3.2 has one class for both
    from airflow.serialization.serialized_objects import (  # type: ignore[assignment]
        SerializedDAG as DagSerialization,
    )

KEY: Any = object()
ID, TABLE_ID = "cPi5kjLQnJv89Z7KBGg7G", "Wp7kRnT2mX4vQ9bL"

ABOUT_ONE_RUN = [
    (PortableFlowSensor, {"flow_id": 5}),
    (PortableFlowRunSensor, {"flow_id": 5, "run_id": 7}),
    (PortableWorkflowSensor, {"workflow_id": 5}),
    (PortableRunFlowOperator, {"flow_id": 5}),
    (ActivepiecesFlowRunSensor, {"run_id": ID}),
    (ActivepiecesFlowSensor, {"flow_id": ID}),
    (ActivepiecesRunFlowOperator, {"flow_id": ID}),
    (ActivepiecesRetryFlowRunOperator, {"run_id": ID}),
    (ActivepiecesGetFlowRunOperator, {"run_id": ID}),
    (ActivepiecesGetStepOutputOperator, {"run_id": ID, "step": "step_1"}),
    (TableFlowFlowRunSensor, {"run_id": TABLE_ID}),
    (TableFlowFlowSensor, {"flow_id": TABLE_ID}),
    (TableFlowRunFlowOperator, {"flow_id": TABLE_ID}),
    (TableFlowGetFlowRunOperator, {"run_id": TABLE_ID}),
    (TableFlowGetRunAttemptsOperator, {"run_id": TABLE_ID}),
]
ABOUT_MANY = [
    (PortableGetRunAttemptsOperator, {"flow_id": 5}),
    (PortableCancelFlowOperator, {"flow_id": 5}),
    (ActivepiecesListFlowRunsOperator, {}),
    (TableFlowListFlowRunsOperator, {}),
]


def shown_links(dag: DAG) -> dict[str, str]:
    """Return the links of a DAG's task as the webserver receives them: name and XCom."""
    [task] = DagSerialization.from_dict(DagSerialization.to_dict(dag)).tasks
    return {link.name: link.xcom_key for link in task.operator_extra_links or ()}


def links_of(make, arguments) -> dict[str, str]:
    with DAG("links", schedule=None) as dag:
        make(task_id="task", **arguments)
    return shown_links(dag)


@pytest.mark.parametrize(("make", "arguments"), ABOUT_ONE_RUN, ids=lambda one: getattr(one, "__name__", ""))
def test_a_task_about_one_run_has_the_link(make, arguments) -> None:
    assert links_of(make, arguments) == {"Flow run": "run_url"}


@pytest.mark.parametrize(("make", "arguments"), ABOUT_MANY, ids=lambda one: getattr(one, "__name__", ""))
def test_a_task_about_many_runs_has_none(make, arguments) -> None:
    assert links_of(make, arguments) == {}


@pytest.mark.parametrize(("make", "arguments"), ABOUT_ONE_RUN, ids=lambda one: getattr(one, "__name__", ""))
def test_a_mapped_task_has_the_link(make, arguments) -> None:
    with DAG("links", schedule=None) as dag:
        make.partial(task_id="task", **arguments).expand(**{make.info.conn_id_argument: ["one", "two"]})
    assert shown_links(dag) == {"Flow run": "run_url"}


@pytest.mark.parametrize(
    ("make", "arguments"), [*ABOUT_ONE_RUN, *ABOUT_MANY], ids=lambda one: getattr(one, "__name__", "")
)
def test_a_mapped_task_has_the_inlets_and_outlets_that_airflow_iterates_over(make, arguments) -> None:
    mapped = make.partial(task_id="task", **arguments).expand(**{make.info.conn_id_argument: ["one", "two"]})
    assert (mapped.inlets, mapped.outlets) == ([], [])


@pytest.mark.parametrize(("make", "arguments"), ABOUT_ONE_RUN, ids=lambda one: getattr(one, "__name__", ""))
def test_xcom_is_asked_only_for_what_may_have_been_pushed(make, arguments, monkeypatch) -> None:
    """Airflow logs an error about an XCom that is not there."""
    asked = []
    monkeypatch.setattr(XCom, "get_value", lambda **names: asked.append(names) or "https://pushed.before/")

    def shown(task) -> str:
        return FlowRunLink().get_link(task, ti_key=KEY)

    class TaskInstance:
        def xcom_push(self, key: str, value: str) -> None:
            assert (key, value) == ("run_url", "https://a.run/")

    task = make(task_id="task", **arguments)
    assert (shown(task), asked) == ("", [])
    task.record_run({"url": "https://a.run/"}, {"ti": TaskInstance()})
    assert (shown(task), asked) == ("https://a.run/", [])

    resumed = make(task_id="task", **arguments)
    resumed.goes_on = lambda context: None
    resumed.resume_execution("goes_on", {}, {})
    assert shown(resumed) == "https://pushed.before/"
    resumed.record_run({"url": "https://a.run/"}, {"ti": TaskInstance()})
    assert shown(resumed) == "https://a.run/"
    assert len(asked) == 1


@pytest.mark.parametrize(("pushed", "shown"), [("https://app.portable.io/", "https://app.portable.io/"), (None, "")])
def test_it_reads_the_address_from_xcom_and_nothing_else(pushed, shown, monkeypatch) -> None:
    asked = []

    def get_value(*, ti_key: object, key: str) -> str | None:
        asked.append((ti_key, key))
        return pushed

    monkeypatch.setattr(XCom, "get_value", get_value)
    assert FlowRunLink().get_link(None, ti_key=KEY) == shown
    assert asked == [(KEY, "run_url")]
