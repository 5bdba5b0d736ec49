"""What a start is given, as authors of DAGs write it: nested results, JSON text, lists, datetimes, native rendering."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator

from airflow_provider_flowruns.exceptions import InvalidArgumentError
from airflow_provider_flowruns.notifications.flow_run import FlowRunNotifier
from airflow_provider_flowruns.operators import portable_runs as portable_module
from airflow_provider_flowruns.operators.activepieces import (
    ActivepiecesListFlowRunsOperator,
    ActivepiecesRunFlowOperator,
)
from airflow_provider_flowruns.operators.tableflow import TableFlowRunFlowOperator
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.testing.task_modes import End, run_task, task_context
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger

ACTIVEPIECES_ID, TABLEFLOW_ID = "cPi5kjLQnJv89Z7KBGg7G", "Wp7kRnT2mX4vQ9bL"
LEADS: tuple[Any, dict[str, Any]] = (ActivepiecesRunFlowOperator, {"flow_id": ACTIVEPIECES_ID})
INVOICES: tuple[Any, dict[str, Any]] = (TableFlowRunFlowOperator, {"flow_id": TABLEFLOW_ID})
#: Arguments that are containers, each with another task's result somewhere in it.
NESTED: list[tuple[Any, dict[str, Any], str, Callable[[Any], Any]]] = [
    (*LEADS, "payload", lambda result: {"rows": result}),
    (*LEADS, "payload", lambda result: {"rows": {"of": [1, result, (result,)]}}),
    (*LEADS, "payload", lambda result: [result, {"a": result}]),
    (ActivepiecesListFlowRunsOperator, {"flow_id": ACTIVEPIECES_ID}, "status", lambda result: ["FAILED", result]),
    (*INVOICES, "files", lambda result: {"a": result}),
    (*INVOICES, "files", lambda result: {"a": ["a.pdf", result]}),
    (*INVOICES, "file_metadata", lambda result: {"a": result}),
    (*INVOICES, "file_metadata", lambda result: {"a": {"b": [result]}}),
    (*INVOICES, "guidance", lambda result: {"a": result}),
    (*INVOICES, "metadata", lambda result: {"x": [result]}),
]
nested = pytest.mark.parametrize(("operator", "ids", "argument", "form"), NESTED)

both_modes = pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])


# -- results of other tasks, nested


@nested
def test_a_nested_result_of_another_task_makes_it_upstream(operator, ids, argument, form) -> None:
    with DAG("dag", schedule=None):
        above = BaseOperator(task_id="above")
        task = operator(task_id="task", **ids, **{argument: form(above.output)})
    assert task.upstream_task_ids == {"above"}


@nested
def test_a_nested_result_of_another_task_may_be_what_all_mapped_tasks_share(operator, ids, argument, form) -> None:
    with DAG("dag", schedule=None) as dag:
        above = BaseOperator(task_id="above")
        operator.partial(task_id="task", **{argument: form(above.output)}).expand_kwargs([ids])
    mapped = dag.get_task("task")
    assert mapped.upstream_task_ids == {"above"}
    assert isinstance(mapped.unmap(ids), operator)


def test_a_notifier_takes_a_payload_with_another_tasks_result_in_it() -> None:
    with DAG("dag", schedule=None):
        above = BaseOperator(task_id="above")
        FlowRunNotifier(service="activepieces", flow_id=ACTIVEPIECES_ID, payload={"rows": [above.output]})


@pytest.mark.parametrize(
    ("operator", "ids", "arguments", "said"),
    [
        (*LEADS, {"payload": {"rows": "<result>", "airflow_run": 1}}, "payload must not contain 'airflow_run'"),
        (*LEADS, {"payload": {"rows": ["<result>", b""]}}, r"payload\['rows'\]\[0\] is of type bytes"),
        (*INVOICES, {"metadata": {"rows": "<result>", "airflow_run": 1}}, "metadata must not contain"),
        (*INVOICES, {"files": {"a": "<result>", "b": 5}}, r"files\['b'\] must be a path or a list of paths"),
    ],
)
def test_what_is_known_beside_another_tasks_result_is_checked_at_dag_parse(operator, ids, arguments, said) -> None:
    def put(value: Any, result: Any) -> Any:
        if isinstance(value, dict):
            return {key: put(inner, result) for key, inner in value.items()}
        if isinstance(value, list):
            return [put(inner, result) for inner in value]
        return result if value == "<result>" else value

    with DAG("dag", schedule=None), pytest.raises(InvalidArgumentError, match=said):
        operator(task_id="task", **ids, **put(arguments, BaseOperator(task_id="above").output))


# -- what cannot be right


@pytest.mark.parametrize("operator", [ActivepiecesRunFlowOperator, TableFlowRunFlowOperator])
@pytest.mark.parametrize("value", ["", " ", None, 5, ["airflow_run"], True])
def test_a_correlation_key_that_is_no_text_is_refused_at_dag_parse(operator, value) -> None:
    flow_id = ACTIVEPIECES_ID if operator is ActivepiecesRunFlowOperator else TABLEFLOW_ID
    with pytest.raises(InvalidArgumentError, match=r"^FR301: correlation_key must be a text, got"):
        operator(task_id="task", flow_id=flow_id, correlation_key=value)


@pytest.mark.parametrize(
    ("argument", "value", "said"),
    [
        ("files", "a.pdf", r"^FR301: files is text that is not JSON"),
        ("files", ["a.pdf"], r"^FR301: files must be a JSON object, got a list"),
        ("files", 5, r"^FR301: files must be a JSON object"),
        ("files", {"doc": 5}, r"^FR301: files\['doc'\] must be a path or a list of paths, got 5"),
        ("files", {"doc": None}, r"^FR301: files\['doc'\] must be a path or a list of paths, got None"),
        ("files", {"doc": ["a.pdf", None]}, r"^FR301: files\['doc'\] must be a path or a list of paths"),
        ("files", {"doc": [["a.pdf"]]}, r"^FR301: files\['doc'\] must be a path or a list of paths"),
        ("files", {"doc": {"path": "a.pdf"}}, r"^FR301: files\['doc'\] must be a path or a list of paths"),
        ("file_metadata", {"doc": 5}, r"^FR301: file_metadata\['doc'\] must be a JSON object"),
        ("file_metadata", {"doc": [1]}, r"^FR301: file_metadata\['doc'\] must be a JSON object, got a list"),
        ("file_metadata", {"doc": {"sum": b"5"}}, r"^FR301: file_metadata\['doc'\]\['sum'\] is of type bytes"),
        ("file_metadata", "nothing", r"^FR301: file_metadata is text that is not JSON"),
        ("guidance", {"doc": None}, r"^FR301: guidance\['doc'\] must be a text, got None"),
        ("guidance", {"doc": ["a"]}, r"^FR301: guidance\['doc'\] must be a text"),
        ("guidance", ["a"], r"^FR301: guidance must be a JSON object, got a list"),
        ("metadata", ["a"], r"^FR301: metadata must be a JSON object, got a list"),
        ("metadata", "[1]", r"^FR301: metadata must be a JSON object, got a list"),
        ("metadata", {"at": object()}, r"^FR301: metadata\['at'\] is of type object"),
    ],
)
def test_invalid_arguments_of_a_tableflow_start_are_refused_at_dag_parse(argument, value, said) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        TableFlowRunFlowOperator(task_id="task", flow_id=TABLEFLOW_ID, **{argument: value})


@pytest.mark.parametrize("value", [5, [], (), {}, [5], [None], ["NOPE"], "", object()])
def test_statuses_that_cannot_be_are_refused_at_dag_parse(value) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^FR301: status must be among"):
        ActivepiecesListFlowRunsOperator(task_id="task", status=value)


# -- starts


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FlowRunTrigger, "first_wait", (0.05, 0.1))
    monkeypatch.setattr(portable_module, "VISIBILITY_POLL_SECONDS", 0.05)


@pytest.fixture
def leads(sandbox: Sandbox) -> Any:
    flow = sandbox.activepieces.add_flow()
    flow.next_run(outcome="SUCCEEDED", waiting=0.0, running=0.1, always=True)
    return flow


@pytest.fixture
def invoices(sandbox: Sandbox) -> Any:
    flow = sandbox.tableflow.add_flow()
    flow.next_run(outcome="SUCCEEDED", waiting=0.0, running=0.1, always=True)
    return flow


@pytest.fixture
def document(tmp_path: Path) -> str:
    path = tmp_path / "order.pdf"
    path.write_bytes(b"%PDF-1.7 made up")
    return str(path)


VALUES = {
    "order": {"id": 7, "rush": True, "note": None},
    "rows": [{"id": 1}, {"id": 2}],
    "at": datetime(2026, 1, 31, 12, tzinfo=UTC),
    "nothing": None,
    "digits": "20260131",
    "document": "",
}


def start(operator: Any, flow: Any, *, native: bool = False, values: dict[str, Any] | None = None, **more: Any) -> End:
    """Make a task, render it and run it to its end, as a worker does."""

    def make() -> Any:
        with DAG("dag", schedule=None, render_template_as_native_obj=native):
            task = operator(task_id="start", flow_id=str(flow.id), poll_interval=0.1, timeout=20.0, **more)
        task.render_template_fields(VALUES | (values or {}))
        return task

    return run_task(make, task_context())


def webhook_calls(sandbox: Sandbox) -> list[Any]:
    return [request for request in sandbox.ledger.requests if "/webhooks/" in request.path]


OBJECTS = [
    ("{{ order | tojson }}", False, VALUES["order"]),
    ('{"order": {{ order | tojson }}, "in": "{{ at.year }}"}', False, {"order": VALUES["order"], "in": "2026"}),
    ("{{ order }}", True, VALUES["order"]),
    ('{"order": {{ order | tojson }}}', True, {"order": VALUES["order"]}),
    ({"at": "{{ at }}", "n": "{{ 5 }}"}, True, {"at": "2026-01-31T12:00:00+00:00", "n": 5}),
    ({"at": VALUES["at"], "ids": (1, 2)}, False, {"at": "2026-01-31T12:00:00+00:00", "ids": [1, 2]}),
]


@pytest.mark.parametrize(("payload", "native", "sent"), OBJECTS)
def test_an_object_is_sent_with_the_tasks_own_value_beside(payload, native, sent, leads, sandbox) -> None:
    end = start(ActivepiecesRunFlowOperator, leads, native=native, payload=payload)
    assert end.state == "success", end
    (request,) = webhook_calls(sandbox)
    body = json.loads(request.body)
    assert body.pop("airflow_run").startswith("a_dag/manual__1/wait/")
    assert (body, request.query) == (sent, ())


@both_modes
@pytest.mark.parametrize(
    ("payload", "native"),
    [("{{ rows | tojson }}", False), ("{{ rows }}", True), ([{"id": 1}, {"id": 2}], False), ("[]", False)],
)
def test_a_list_is_sent_as_it_is_and_its_run_is_found_by_the_query(payload, native, deferrable, leads, sandbox) -> None:
    others = [leads.add_run(ago=1.0), leads.add_run(ago=0.5)]
    end = start(ActivepiecesRunFlowOperator, leads, native=native, payload=payload, deferrable=deferrable)
    (started,) = sandbox.ledger.started
    assert (end.state, end.xcom["run_id"]) == ("success", started.run_id), end
    assert started.run_id not in {run.id for run in others}
    (request,) = webhook_calls(sandbox)
    assert json.loads(request.body) == ([] if payload == "[]" else VALUES["rows"])


@pytest.mark.parametrize("payload", [[1, 2], {"a": 1}])
def test_a_start_whose_response_is_lost_is_found_by_its_own_value_alone(payload, leads, sandbox) -> None:
    sandbox.faults.add("accept_then_reset", service="activepieces", method="POST", times=1)
    end = start(ActivepiecesRunFlowOperator, leads, payload=payload)
    (started,) = sandbox.ledger.started
    assert (end.state, end.xcom["run_id"]) == ("success", started.run_id), end


def test_everything_about_a_tableflow_start_may_be_json_text(invoices, document, sandbox) -> None:
    (field,) = [field["key"] for field in invoices.file_fields]
    end = start(
        TableFlowRunFlowOperator,
        invoices,
        values={"document": document},
        files=f'{{"{field}": {{{{ document | tojson }}}}}}',
        file_metadata={field: "{{ order | tojson }}"},
        guidance=f'{{"{field}": "look {{{{ at.year }}}}"}}',
        metadata="{{ {'order': order} | tojson }}",
    )
    assert end.state == "success", end
    parts = {part.name: part.text for part in invoices.runs[-1].parts}
    assert json.loads(parts[f"{field}_metadata"]) == VALUES["order"]
    assert parts[f"{field}_guidance"] == "look 2026"
    metadata = json.loads(parts["metadata"])
    assert metadata.pop("airflow_run").startswith("a_dag/manual__1/wait/")
    assert metadata == {"order": VALUES["order"]}


def test_a_tableflow_start_copes_with_native_values(invoices, document) -> None:
    (field,) = [field["key"] for field in invoices.file_fields]
    end = start(
        TableFlowRunFlowOperator,
        invoices,
        native=True,
        values={"document": [document]},
        files={field: "{{ document }}"},
        file_metadata={field: "{{ {'at': at} }}"},
        guidance={field: "{{ digits }}"},
        metadata={"at": "{{ at }}"},
        name="{{ digits }}",
    )
    assert end.state == "success", end
    parts = {part.name: part.text for part in invoices.runs[-1].parts}
    assert json.loads(parts[f"{field}_metadata"]) == {"at": "2026-01-31T12:00:00+00:00"}
    assert (parts[f"{field}_guidance"], parts["name"]) == ("20260131", "20260131")
    assert json.loads(parts["metadata"])["at"] == "2026-01-31T12:00:00+00:00"


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("argument", ["payload", "files", "file_metadata", "guidance", "metadata"])
def test_what_rendered_to_nothing_starts_nothing(argument, native, leads, invoices, document, sandbox) -> None:
    operator, flow = (
        (ActivepiecesRunFlowOperator, leads) if argument == "payload" else (TableFlowRunFlowOperator, invoices)
    )
    template = "{{ nothing }}" if native else "{{ nothing or '' }}"
    arguments: dict[str, Any] = {argument: template}
    end = start(operator, flow, native=native, **arguments)
    assert end.error == "InvalidArgumentError", end
    assert end.message.startswith(f"FR301: {argument} rendered to nothing (an empty text or None)")
    assert sandbox.ledger.count(method="POST") == 0


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ("{{ nothing }}", "payload is text that is not JSON"),
        ("{{ order }}", "payload is text that is not JSON"),
        ("{{ 5 }}", "payload must be a JSON object or list"),
        ("{{ {'airflow_run': 1} | tojson }}", "payload must not contain 'airflow_run'"),
    ],
)
def test_what_rendered_to_no_payload_starts_nothing(payload, said, leads, sandbox) -> None:
    end = start(ActivepiecesRunFlowOperator, leads, payload=payload)
    assert (end.error, said in end.message) == ("InvalidArgumentError", True), end
    assert sandbox.ledger.count() == 0
