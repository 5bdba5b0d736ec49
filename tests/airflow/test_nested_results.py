"""Arguments that contain other tasks' results are resolved in every task and with every kind of rendering."""

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
#: The payloads that each task sends to the webhook, in order of the map indexes.
EXPECTED_PAYLOADS: dict[str, list[Any]] = {
    "in_a_dict": [{"rows": ROWS, "deep": {"of": [7, {"at": AT}]}}],
    "in_a_list": [[ROWS, {"order": {"id": 7, "at": AT}}]],
    "all_of_a_mapped_task": [{"squares": [1, 4, 9]}],
    "as_json_text": [ROWS],
    "shared": [{"rows": [ROWS]}, {"rows": [ROWS]}],
    "mapped": [{"n": 1}, [2]],
    "group.start": [{"number": 1, "rows": [ROWS]}, {"number": 2, "rows": [ROWS]}],
}


class NestedResults:
    """Both DAG runs, and the flows they start."""

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

    def wait_for_states(self, dag_id: str) -> dict[str, str | None]:
        self.airflow.wait_for_run(dag_id, self.runs[dag_id], timeout=240)
        return self.airflow.get_task_states(dag_id, self.runs[dag_id])

    def list_payloads(self, dag_id: str) -> dict[str, list[Any]]:
        """Return the payloads that each task of a DAG run sent to the webhook, without the correlation value."""
        payloads: dict[str, dict[int, Any]] = {}
        for request in self.sandbox.ledger.requests:
            if not request.path.endswith(f"/webhooks/{self.leads.id}"):
                continue
            body, query = json.loads(request.body), dict(request.query)
            keys = {"airflow_run", "one", "two"}
            [correlation] = [(query or body)[key] for key in keys if key in (query or body)]
            dag, *_, task_id, map_index, _ = correlation.split("/")
            if dag == dag_id:
                payload = body if query else {key: value for key, value in body.items() if key not in keys}
                payloads.setdefault(task_id, {})[int(map_index)] = payload
        return {task_id: [by_index[index] for index in sorted(by_index)] for task_id, by_index in payloads.items()}


@pytest.fixture(scope="module")
def nested_results(
    airflow: RealAirflow, live_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> NestedResults:
    document = tmp_path_factory.mktemp("documents") / "order.pdf"
    document.write_bytes(b"%PDF-1.7 made up")
    return NestedResults(airflow, live_sandbox, document)


def test_every_form_of_payload_contains_the_other_tasks_results(nested_results: NestedResults) -> None:
    states = nested_results.wait_for_states("nested_results")
    assert {task_id: state for task_id, state in states.items() if state != "success"} == {}
    assert nested_results.list_payloads("nested_results") == EXPECTED_PAYLOADS


def test_every_object_of_a_tableflow_start_contains_them(nested_results: NestedResults) -> None:
    nested_results.wait_for_states("nested_results")
    [run] = nested_results.invoices.runs
    parts = {part.name: part for part in run.parts}
    assert parts["document_1"].filename == "order.pdf"
    assert json.loads(str(parts["document_metadata"].text)) == {"order": {"id": 7, "at": AT}}
    assert parts["document_guidance"].text == "7"
    assert json.loads(str(parts["metadata"].text))["x"] == [ROWS]


def test_natively_rendered_values_keep_their_types(nested_results: NestedResults) -> None:
    states = nested_results.wait_for_states("nested_results_native")
    # An end time that is rendered as None must not return the whole history.
    assert states == {"rows": "success", "native": "success", "sensor": "success", "history": "failed"}
    [sent] = nested_results.list_payloads("nested_results_native")["native"]
    assert (sent["rows"], sent["conf"]) == (ROWS, nested_results.conf)
    assert date.fromisoformat(sent["day"])


def test_a_filter_that_is_rendered_as_none_is_reported(nested_results: NestedResults) -> None:
    nested_results.wait_for_states("nested_results_native")
    log = nested_results.airflow.get_log(
        "nested_results_native", nested_results.runs["nested_results_native"], "history"
    )
    assert "end_time rendered to nothing" in log
