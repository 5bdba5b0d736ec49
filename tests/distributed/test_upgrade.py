"""Waits that an older release deferred continue in this one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox, SandboxFlow
from tools.celery_airflow import CeleryAirflow

pytestmark = pytest.mark.airflow

DAG_ID = "upgraded_waits"
RELEASES = sorted((Path(__file__).parents[1] / "fixtures" / "serialized").glob("*.json"))
#: The name that a task's wait has among those that a release saved.
SAVED_NAMES = {
    "run": "one run, nothing seen yet",
    "flow_status": "a flow's status, seen running",
    "followed_flow": "a flow, following its active run",
    "workflow": "a guarded workflow",
    "start": "a run that was started and found",
}
#: The parts of a wait that have keys of their own.
PARTS = frozenset({"config", "state", "target", "marker"})


def write_as_saved(saved: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, Any]:
    """Return the current values under the keys that a release saved, and nothing that it did not save."""
    return {
        key: write_as_saved(value, current[key]) if key in PARTS else current.get(key, value)
        for key, value in saved.items()
    }


def find_arguments(kwargs: Any) -> dict[str, Any]:
    """Return a trigger's arguments. Airflow wraps mappings when it serializes them."""
    while "waiter" not in kwargs:
        kwargs = kwargs.get("__var", kwargs.get("__data__"))
    found: dict[str, Any] = kwargs
    return found


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.stem)
def test_waits_deferred_by_a_release_end_with_their_own_runs(
    airflow: CeleryAirflow, sandbox: Sandbox, release: Path
) -> None:
    flows: dict[str, SandboxFlow[Any]] = {
        "run": sandbox.activepieces.add_flow(),
        "flow_status": sandbox.portable.add_flow(),
        "followed_flow": sandbox.activepieces.add_flow(),
        "workflow": sandbox.portable.add_workflow(),
        "start": sandbox.portable.add_flow(),
    }
    flows["start"].next_run(outcome="RUNNING", always=True)
    for name, flow in flows.items():
        if name != "start":
            flow.add_run(outcome="RUNNING")
    conf = {name: str(flow.id) for name, flow in flows.items()} | {"run": str(flows["run"].runs[-1].id)}
    run_id = airflow.trigger(DAG_ID, {**conf, "after": datetime.now(UTC).isoformat()})
    for task_id in flows:
        airflow.wait_for_task(DAG_ID, run_id, task_id, ["deferred"], timeout=240)
    airflow.kill("triggerer-1")
    airflow.kill("triggerer-2")

    replace_by_saved_waits(airflow, json.loads(release.read_bytes())["triggers"])

    airflow.restore()
    for flow in flows.values():
        flow.runs[-1].end()
    assert airflow.wait_for_run(DAG_ID, run_id, timeout=300) == "success"
    for task_id in ("run", "followed_flow", "start"):
        assert airflow.get_xcom(DAG_ID, run_id, task_id)["run_id"] == str(flows[task_id].runs[-1].id)
    assert len(flows["start"].runs) == 1


def replace_by_saved_waits(airflow: CeleryAirflow, saved: list[dict[str, Any]]) -> None:
    """Replace the triggers in the database by those that a release would have saved for the same tasks."""
    saved_by_name = {trigger["name"]: trigger for trigger in saved}
    rows = airflow.fetch_rows(
        "select task_id, trigger.id, kwargs from trigger join task_instance on trigger_id = trigger.id"
        " where dag_id = 'upgraded_waits'"
    )
    assert {task_id for task_id, *_ in rows} == SAVED_NAMES.keys()
    for task_id, trigger_id, text in rows:
        trigger = saved_by_name[SAVED_NAMES[task_id]]
        kwargs = json.loads(text)
        arguments = find_arguments(kwargs)
        old, current = json.loads(trigger["kwargs"]["waiter"]), json.loads(arguments["waiter"])
        assert current["config"]["target"].keys() >= old["config"]["target"].keys(), task_id
        arguments["waiter"] = json.dumps(write_as_saved(old, current))
        airflow.execute_statement(
            "update trigger set classpath = %s, kwargs = %s where id = %s",
            (trigger["classpath"], json.dumps(kwargs), trigger_id),
        )
