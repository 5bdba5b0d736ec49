"""The link, the asset events and the lineage of a task are the same in every mode."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_flowruns.compat.versions import build_alias_extra
from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.tasks.base import WaitingTask
from airflow_provider_flowruns.tasks.lineage import RUN_FACET
from airflow_provider_flowruns.tasks.outlets import EXTRA_FIELDS
from airflow_provider_flowruns.testing.adapter import SensorKind
from airflow_provider_flowruns.testing.task_modes import MODES, End, run_in, run_task, task_context
from tests.adapters import KINDS
from tests.asset_events import OutletEventAccessors, alias_events

TABLE, FLOWS = Asset("a_table"), AssetAlias("some_flows")
COMMON: dict[str, Any] = {"task_id": "wait", "timeout": 20.0, "outlets": [TABLE, FLOWS, "no asset at all"]}

all_kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
all_modes = pytest.mark.parametrize("mode", MODES)


class TaskRecorder:
    """Runs tasks and records their results. The last task object created is the one that ended the task."""

    def __init__(self) -> None:
        self.context = {**task_context(), "outlet_events": OutletEventAccessors()}
        self.task: WaitingTask | None = None

    def run_sensor(self, kind: SensorKind, mode: str, arguments: dict[str, Any]) -> End:
        return run_in(
            mode, lambda **more: self._create_task(kind.sensor, poke_interval=0.1, **arguments, **more), self.context
        )

    def run_operator(self, **arguments: Any) -> End:
        return run_task(
            lambda: self._create_task(PortableRunFlowOperator, poll_interval=0.1, **arguments), self.context
        )

    def _create_task(self, task_class: Any, **arguments: Any) -> Any:
        self.task = task_class(**{**COMMON, **arguments})
        return self.task

    @property
    def url(self) -> str | None:
        return self.context["ti"].xcoms.get("run_url")

    @property
    def extra(self) -> dict[str, Any]:
        return self.context["outlet_events"][TABLE].extra

    @property
    def alias_events(self) -> list[tuple[str, dict[str, Any]]]:
        return alias_events(self.context["outlet_events"][FLOWS])

    def get_facets(self, *, failed: bool = False) -> dict[str, Any]:
        assert self.task is not None
        get_facets = (
            self.task.get_openlineage_facets_on_failure if failed else self.task.get_openlineage_facets_on_complete
        )
        lineage = get_facets(None)
        assert lineage is not None
        return lineage.run_facets


@pytest.fixture
def recorder() -> TaskRecorder:
    return TaskRecorder()


@all_modes
@all_kinds
def test_a_sensor_shows_the_run_it_waited_for(
    kind: SensorKind, mode: str, sandbox: Sandbox, recorder: TaskRecorder
) -> None:
    flow = kind.add_flow(sandbox)
    run = flow.add_run(waiting=0.2, running=0.4)
    end = recorder.run_sensor(kind, mode, kind.arguments(flow.id, run.id))
    assert end.state == "success", end
    assert recorder.url == end.xcom["url"]
    assert recorder.extra == {name: end.xcom[name] for name in EXTRA_FIELDS}
    assert recorder.alias_events == [(f"flowruns://{kind.service}/{flow.id}", build_alias_extra(recorder.extra))]
    assert recorder.get_facets()[RUN_FACET].disposition == "SUCCEEDED"
    assert recorder.get_facets()[RUN_FACET].completed_at == end.xcom["completed_at"]


@all_modes
@all_kinds
def test_a_sensor_shows_the_run_that_failed(
    kind: SensorKind, mode: str, sandbox: Sandbox, recorder: TaskRecorder
) -> None:
    flow = kind.add_flow(sandbox)
    run = flow.add_run(outcome="FAILED", waiting=0.2, running=0.4)
    end = recorder.run_sensor(kind, mode, kind.arguments(flow.id, run.id))
    assert end.error == "FlowRunFailed"
    assert recorder.url
    assert (recorder.extra, recorder.alias_events) == ({}, [])
    facets = recorder.get_facets(failed=True)
    assert facets[RUN_FACET].disposition == "FAILED"
    assert [facets["errorMessage"].message] == ["\n".join(facets[RUN_FACET].errors)]


@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])
class TestRunOperator:
    def test_it_shows_the_run_it_started(self, deferrable: bool, sandbox: Sandbox, recorder: TaskRecorder) -> None:
        flow = sandbox.portable.add_flow()
        flow.next_run(waiting=0.2, running=0.4)
        end = recorder.run_operator(flow_id=flow.id, deferrable=deferrable)
        assert end.state == "success", end
        assert (recorder.url, recorder.extra) == (end.xcom["url"], {name: end.xcom[name] for name in EXTRA_FIELDS})
        assert recorder.get_facets()["externalQuery"].externalQueryId == end.xcom["run_id"]

    def test_it_shows_the_run_that_failed(self, deferrable: bool, sandbox: Sandbox, recorder: TaskRecorder) -> None:
        flow = sandbox.portable.add_flow()
        flow.next_run(outcome="FAILED", waiting=0.2, running=0.4)
        end = recorder.run_operator(flow_id=flow.id, deferrable=deferrable)
        assert end.error == "FlowRunFailed"
        assert recorder.extra == {}
        (event,) = sandbox.ledger.started
        assert recorder.get_facets(failed=True)["externalQuery"].externalQueryId == str(event.run_id)


def test_an_operator_that_does_not_wait_shows_the_started_run(sandbox: Sandbox, recorder: TaskRecorder) -> None:
    flow = sandbox.portable.add_flow()
    flow.next_run(running=600.0)
    end = recorder.run_operator(flow_id=flow.id, wait=False)
    assert (recorder.extra["run_id"], recorder.extra["disposition"]) == (end.xcom["run_id"], "NONE")


def test_another_run_that_was_waited_for_is_not_shown(sandbox: Sandbox, recorder: TaskRecorder) -> None:
    flow = sandbox.portable.add_flow()
    flow.add_run(running=600.0)
    end = recorder.run_operator(flow_id=flow.id, if_running="wait", timeout=0.5)
    assert end.error == "FlowRunTimeout"
    assert recorder.task is not None
    assert recorder.task.get_openlineage_facets_on_failure(None) is None
    assert recorder.url is None


def test_there_is_no_lineage_if_no_run_was_found(sandbox: Sandbox, recorder: TaskRecorder) -> None:
    kind = next(kind for kind in KINDS if kind.name == "ActivepiecesFlowRunSensor")
    end = recorder.run_sensor(kind, "deferrable", kind.unknown(sandbox))
    assert end.state == "failed"
    assert recorder.task is not None
    assert recorder.task.get_openlineage_facets_on_failure(None) is None


def test_lineage_sends_nothing_and_reads_no_connection(
    sandbox: Sandbox, recorder: TaskRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = sandbox.portable.add_flow()
    flow.add_run(ago=60)
    kind = next(kind for kind in KINDS if kind.name == "PortableFlowSensor")
    assert recorder.run_sensor(kind, "deferrable", {"flow_id": flow.id}).state == "success"
    sent = sandbox.ledger.count()
    for name in sandbox.connections():
        monkeypatch.delenv(name)
    assert recorder.get_facets()
    assert sandbox.ledger.count() == sent
