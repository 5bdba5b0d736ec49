"""Arguments with other tasks' results in them arrive as those results, in every task and however they are rendered."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from tools.real_airflow import RealAirflow

pytestmark = pytest.mark.airflow

ROWS = [{"id": 1}, {"id": 2}]
AT = "2026-01-31T12:00:00+00:00"
#: What each task is to send to the webhook, in order of the tasks' map indexes.
SENT: dict[str, list[Any]] = {
    "in_a_dict": [{"rows": ROWS, "deep": {"of": [7, {"at": AT}]}}],
    "in_a_list": [[ROWS, {"order": {"id": 7, "at": AT}}]],
    "all_of_a_mapped_task": [{"squares": [1, 4, 9]}],
    "as_json_text": [ROWS],
    "shared": [{"rows": [ROWS]}, {"rows": [ROWS]}],
    "mapped": [{"n": 1}, [2]],
    "group.start": [{"number": 1, "rows": [ROWS]}, {"number": 2, "rows": [ROWS]}],
}


class Played:
    """Both DAG runs, and the flows they started."""

    def __init__(self, airflow: RealAirflow, sandbox: Sandbox, document: Path) -> None:
        self.airflow, self.sandbox = airflow, sandbox
        self.leads, self.invoices = sandbox.activepieces.add_flow(), sandbox.tableflow.add_flow()
        for flow in (self.leads, self.invoices):
            flow.next_run(outcome="SUCCEEDED", waiting=0.0, running=1.0, always=True)
        orders = sandbox.portable.add_flow()
        self.conf = {
            "leads": self.leads.id,
            "invoices": self.invoices.id,
            "document": str(document),
            "orders": str(orders.id),
            "orders_run": str(orders.add_run(ago=60).id),
        }
        self.runs = {
            dag_id: airflow.trigger(dag_id, self.conf) for dag_id in ("nested_results", "nested_results_native")
        }

    def states(self, dag_id: str) -> dict[str, str | None]:
        self.airflow.wait_run(dag_id, self.runs[dag_id], timeout=240)
        return {task.task_id: task.state for task in self.airflow.task_instances(dag_id, self.runs[dag_id])}

    def sent(self, dag_id: str) -> dict[str, list[Any]]:
        """Return what each task of a DAG run sent to the webhook, without the task's own value."""
        found: dict[str, dict[int, Any]] = {}
        for request in self.sandbox.ledger.requests:
            if not request.path.endswith(f"/webhooks/{self.leads.id}"):
                continue
            body, query = json.loads(request.body), dict(request.query)
            keys = {"airflow_run", "one", "two"}
            [own] = [(query or body)[key] for key in keys if key in (query or body)]
            dag, *_, task_id, map_index, _ = own.split("/")
            if dag == dag_id:
                sent = body if query else {key: value for key, value in body.items() if key not in keys}
                found.setdefault(task_id, {})[int(map_index)] = sent
        return {task_id: [sent[index] for index in sorted(sent)] for task_id, sent in found.items()}


@pytest.fixture(scope="module")
def played(airflow: RealAirflow, live_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Played:
    document = tmp_path_factory.mktemp("documents") / "order.pdf"
    document.write_bytes(b"%PDF-1.7 made up")
    return Played(airflow, live_sandbox, document)


def test_every_form_arrives_as_the_other_tasks_results(played: Played) -> None:
    states = played.states("nested_results")
    assert {task_id: state for task_id, state in states.items() if state != "success"} == {}
    assert played.sent("nested_results") == SENT


def test_a_tableflow_start_takes_them_in_all_its_objects(played: Played) -> None:
    played.states("nested_results")
    [run] = played.invoices.runs
    parts = {part.name: part for part in run.parts}
    assert parts["document_1"].filename == "order.pdf"
    assert json.loads(parts["document_metadata"].text) == {"order": {"id": 7, "at": AT}}
    assert parts["document_guidance"].text == "7"
    assert json.loads(parts["metadata"].text)["x"] == [ROWS]


def test_natively_rendered_values_arrive_as_they_are(played: Played) -> None:
    states = played.states("nested_results_native")
    # A history whose end rendered to None is not the whole history.
    assert states == {"rows": "success", "native": "success", "sensor": "success", "history": "failed"}
    [sent] = played.sent("nested_results_native")["native"]
    assert (sent["rows"], sent["conf"]) == (ROWS, played.conf)
    assert date.fromisoformat(sent["day"])


def test_a_filter_that_rendered_to_nothing_says_so(played: Played) -> None:
    played.states("nested_results_native")
    log = played.airflow.log("nested_results_native", played.runs["nested_results_native"], "history")
    assert "InvalidArgument: end_time rendered to nothing" in log
