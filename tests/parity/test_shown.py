"""What a task shows of its run, its link, its outlets' events and its lineage, is the same in every mode."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_flowruns.compat import alias_extra
from airflow_provider_flowruns.lineage import RUN_FACET
from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator
from airflow_provider_flowruns.outlets import FACTS
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.task import WaitingTask
from tests.asset_events import OutletEventAccessors, alias_events
from tests.parity.cases import KINDS, Kind
from tests.parity.modes import MODES, End, run_in, run_task, task_context

TABLE, FLOWS = Asset("a_table"), AssetAlias("some_flows")
COMMON: dict[str, Any] = {"task_id": "wait", "timeout": 20.0, "outlets": [TABLE, FLOWS, "no asset at all"]}

all_kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
all_modes = pytest.mark.parametrize("mode", MODES)


class Stage:
    """Runs tasks and keeps what they left behind; the last object made of a task is the one that ended it."""

    def __init__(self) -> None:
        self.context = {**task_context(), "outlet_events": OutletEventAccessors()}
        self.task: WaitingTask | None = None

    def sensor(self, kind: Kind, mode: str, arguments: dict[str, Any]) -> End:
        return run_in(
            mode, lambda **more: self._made(kind.sensor, poke_interval=0.1, **arguments, **more), self.context
        )

    def operator(self, **arguments: Any) -> End:
        return run_task(lambda: self._made(PortableRunFlowOperator, poll_interval=0.1, **arguments), self.context)

    def _made(self, make: Any, **arguments: Any) -> Any:
        self.task = make(**{**COMMON, **arguments})
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

    def facets(self, *, failed: bool = False) -> dict[str, Any]:
        assert self.task is not None
        ask = self.task.get_openlineage_facets_on_failure if failed else self.task.get_openlineage_facets_on_complete
        lineage = ask(None)
        assert lineage is not None
        return lineage.run_facets


@pytest.fixture
def stage() -> Stage:
    return Stage()


@all_modes
@all_kinds
def test_a_sensor_shows_the_run_it_waited_for(kind: Kind, mode: str, sandbox: Sandbox, stage: Stage) -> None:
    flow = kind.add_flow(sandbox)
    run = flow.add_run(waiting=0.2, running=0.4)
    end = stage.sensor(kind, mode, kind.arguments(flow.id, run.id))
    assert end.state == "success", end
    assert stage.url == end.xcom["url"]
    assert stage.extra == {name: end.xcom[name] for name in FACTS}
    assert stage.alias_events == [(f"flowruns://{kind.service}/{flow.id}", alias_extra(stage.extra))]
    assert stage.facets()[RUN_FACET].disposition == "SUCCEEDED"
    assert stage.facets()[RUN_FACET].completed_at == end.xcom["completed_at"]


@all_modes
@all_kinds
def test_a_sensor_shows_the_run_that_failed(kind: Kind, mode: str, sandbox: Sandbox, stage: Stage) -> None:
    flow = kind.add_flow(sandbox)
    run = flow.add_run(outcome="FAILED", waiting=0.2, running=0.4)
    end = stage.sensor(kind, mode, kind.arguments(flow.id, run.id))
    assert end.error == "FlowRunFailed"
    assert stage.url
    assert (stage.extra, stage.alias_events) == ({}, [])
    facets = stage.facets(failed=True)
    assert facets[RUN_FACET].disposition == "FAILED"
    assert [facets["errorMessage"].message] == ["\n".join(facets[RUN_FACET].errors)]


@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])
class TestRunOperator:
    def test_it_shows_the_run_it_started(self, deferrable: bool, sandbox: Sandbox, stage: Stage) -> None:
        flow = sandbox.portable.add_flow()
        flow.next_run(waiting=0.2, running=0.4)
        end = stage.operator(flow_id=flow.id, deferrable=deferrable)
        assert end.state == "success", end
        assert (stage.url, stage.extra) == (end.xcom["url"], {name: end.xcom[name] for name in FACTS})
        assert stage.facets()["externalQuery"].externalQueryId == end.xcom["run_id"]

    def test_it_shows_the_run_that_failed(self, deferrable: bool, sandbox: Sandbox, stage: Stage) -> None:
        flow = sandbox.portable.add_flow()
        flow.next_run(outcome="FAILED", waiting=0.2, running=0.4)
        end = stage.operator(flow_id=flow.id, deferrable=deferrable)
        assert end.error == "FlowRunFailed"
        assert stage.extra == {}
        (event,) = sandbox.ledger.started
        assert stage.facets(failed=True)["externalQuery"].externalQueryId == str(event.run_id)


def test_an_operator_that_does_not_wait_tells_of_the_run_as_it_began(sandbox: Sandbox, stage: Stage) -> None:
    flow = sandbox.portable.add_flow()
    flow.next_run(running=600.0)
    end = stage.operator(flow_id=flow.id, wait=False)
    assert (stage.extra["run_id"], stage.extra["disposition"]) == (end.xcom["run_id"], "NONE")


def test_a_run_that_was_only_in_the_way_is_not_shown(sandbox: Sandbox, stage: Stage) -> None:
    flow = sandbox.portable.add_flow()
    flow.add_run(running=600.0)
    end = stage.operator(flow_id=flow.id, if_running="wait", timeout=0.5)
    assert end.error == "FlowRunTimeout"
    assert stage.task is not None
    assert stage.task.get_openlineage_facets_on_failure(None) is None
    assert stage.url is None


def test_lineage_is_silent_when_no_run_was_seen(sandbox: Sandbox, stage: Stage) -> None:
    kind = next(kind for kind in KINDS if kind.name == "ActivepiecesFlowRunSensor")
    end = stage.sensor(kind, "deferrable", kind.unknown(sandbox))
    assert end.state == "failed"
    assert stage.task is not None
    assert stage.task.get_openlineage_facets_on_failure(None) is None


def test_lineage_sends_nothing_and_reads_no_connection(
    sandbox: Sandbox, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = sandbox.portable.add_flow()
    flow.add_run(ago=60)
    kind = next(kind for kind in KINDS if kind.name == "PortableFlowSensor")
    assert stage.sensor(kind, "deferrable", {"flow_id": flow.id}).state == "success"
    sent = sandbox.ledger.count()
    for name in sandbox.connections():
        monkeypatch.delenv(name)
    assert stage.facets()
    assert sandbox.ledger.count() == sent
