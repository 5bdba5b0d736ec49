"""OpenLineage events of starts whose tasks begin in one process and end in another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.tasks.lineage import RUN_FACET
from tests.starting_dag_run import SERVICES, StartingDagRun
from tools.celery_airflow import CeleryAirflow

pytestmark = pytest.mark.airflow


def test_each_deferred_start_reports_its_run_when_it_has_ended(
    airflow: CeleryAirflow, sandbox: Sandbox, document: Path, lineage_events: Path
) -> None:
    dag_run = StartingDagRun(airflow, sandbox, document, "lineage_starts")
    assert airflow.wait_for_run(dag_run.dag_id, dag_run.run_id, timeout=400) == "success"

    def get_reported_runs() -> dict[str, str]:
        events = [json.loads(path.read_text() or "{}") for path in lineage_events.glob("event*")]
        jobs = {f"{dag_run.dag_id}.{service}": service for service in SERVICES}
        return {
            jobs[event["job"]["name"]]: event["run"]["facets"][RUN_FACET]["run_id"]
            for event in events
            if event.get("eventType") == "COMPLETE" and event["job"]["name"] in jobs
        }

    airflow.wait_for("the events of all tasks", lambda: get_reported_runs().keys() == {*SERVICES}, 60)
    assert get_reported_runs() == {service: dag_run.list_started(service)[0] for service in SERVICES}
