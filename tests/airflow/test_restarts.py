"""A triggerer that is killed during waits: each wait keeps its baseline and deadline and ends correctly."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox, SandboxFlow
from tools.real_airflow import RealAirflow

pytestmark = pytest.mark.airflow

SERVICES = ("portable", "workflow", "activepieces", "tableflow")


def load_wait_configs(airflow: RealAirflow) -> list[dict[str, Any]]:
    """Return the configuration of all waits from the database."""
    with closing(sqlite3.connect(f"file:{airflow.database}?mode=ro", uri=True, timeout=30)) as database:
        rows = database.execute("select kwargs from trigger where classpath like '%FlowRunTrigger'").fetchall()
    texts = [row[0] for row in rows]
    configs = [json.loads(_find_waiter(json.loads(text)))["config"] for text in texts]
    return sorted(configs, key=lambda config: json.dumps(config["target"]))


def _find_waiter(kwargs: Any) -> str:
    # Airflow wraps mappings when it serializes them.
    while "waiter" not in kwargs:
        kwargs = kwargs.get("__var", kwargs.get("__data__"))
    return str(kwargs["waiter"])


def test_waits_survive_the_death_of_the_triggerer(airflow: RealAirflow, live_sandbox: Sandbox) -> None:
    sandbox = live_sandbox
    flows: dict[str, SandboxFlow[Any]] = {
        "portable": sandbox.portable.add_flow(),
        "workflow": sandbox.portable.add_workflow(),
        "activepieces": sandbox.activepieces.add_flow(),
        "tableflow": sandbox.tableflow.add_flow(),
        "never": sandbox.portable.add_flow(),
    }
    for flow in flows.values():
        flow.add_run(outcome="SUCCEEDED", waiting=0.1, running=1.0, ago=3.1)  # ended two seconds ago
    conf = {name: str(flow.id) for name, flow in flows.items()}
    dag = "deferred_waits"
    run_id = airflow.trigger(dag, {**conf, "completed_after": datetime.now(UTC).isoformat()})
    for task_id in flows:
        airflow.wait_for_task(dag, run_id, task_id, ["deferred"])
    polls = sandbox.ledger.count()
    airflow.wait_for("polls by the triggerer", lambda: sandbox.ledger.count() > polls + 10, 120)
    before = load_wait_configs(airflow)

    airflow.kill("triggerer")
    fresh = {name: flows[name].add_run(outcome="SUCCEEDED", waiting=1.0, running=2.0) for name in SERVICES}
    airflow.start("triggerer")
    assert load_wait_configs(airflow) == before

    assert airflow.wait_for_run(dag, run_id, timeout=240) == "failed"  # because of the task whose run is never created
    states = airflow.get_task_states(dag, run_id)
    assert states == {**dict.fromkeys(SERVICES, "success"), "never": "failed"}
    for task_id in ("portable", "activepieces", "tableflow"):
        assert airflow.get_xcom(dag, run_id, task_id)["run_id"] == str(fresh[task_id].id)
    completed = datetime.fromisoformat(airflow.get_xcom(dag, run_id, "workflow")["completed_at"])
    assert completed.timestamp() >= fresh["workflow"].created
    log = airflow.get_log(dag, run_id, "never")
    assert "AirflowSensorTimeout: FR103: timed out after 45 s (timeout): no fresh run yet" in log
