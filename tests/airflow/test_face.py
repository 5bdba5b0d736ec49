"""What a finished, a running and a failed task show of their run: links, asset events, lineage, callbacks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from airflow_provider_flowruns.lineage import RUN_FACET
from airflow_provider_flowruns.lineage_facet import SCHEMA_FILE
from airflow_provider_flowruns.outlets import FACTS
from airflow_provider_flowruns.sandbox import Sandbox
from tests.airflow.dags.face import ALARM_FLOW_ID
from tools.real_airflow import RealAirflow
from tools.stage import SteppedClock

pytestmark = pytest.mark.airflow

DAG = "face"
VENDOR_ERROR = "Destination rejected table contacts"
PORTABLE_APP = "https://app.portable.io/"
# Runs stay PENDING or RUNNING for so long on the held sandbox's clock, which only the test moves.
WAITING, RUNNING = 1.0, 600.0
STARTING = [("sync", -1), ("mapped", 0), ("mapped", 1)]
WATCHING = [("deferred", -1), ("rescheduled", -1), ("failing", -1), ("deferred_failing", -1)]
#: A task that defers shows its link a moment before.
DEFERRED = {("mapped", 1), ("deferred", -1), ("deferred_failing", -1)}


@dataclass
class Face:
    """A DAG run, seen twice: while all its runs were going, and when they had ended."""

    airflow: RealAirflow
    run_id: str
    flows: dict[str, str]
    links_while_going: dict[tuple[str, int], str | None]
    states_while_going: dict[tuple[str, int], str | None]

    def link(self, task_id: str, map_index: int = -1) -> str | None:
        return self.airflow.links(DAG, self.run_id, task_id, map_index)["Flow run"]

    def result(self, task_id: str, map_index: int = -1) -> dict[str, Any]:
        return dict(self.airflow.xcom(DAG, self.run_id, task_id, map_index=map_index))


@pytest.fixture(scope="module")
def face(airflow: RealAirflow, held_sandbox: Sandbox, held_clock: SteppedClock) -> Face:
    portable, activepieces = held_sandbox.portable, held_sandbox.activepieces
    held_clock.advance(time.time() - held_clock())
    flows: dict[str, Any] = {
        "sync": portable.add_flow(),
        "mapped": activepieces.add_flow(),
        "deferred": portable.add_flow(),
        "rescheduled": activepieces.add_flow(),
        "failing": portable.add_flow(),
        "deferred_failing": portable.add_flow(),
        "alarm": activepieces.add_flow(),
    }
    flows["sync"].next_run(waiting=WAITING, running=RUNNING)
    # A queued run of Activepieces does not show what started it: it is known, and linked to, once it is running.
    flows["mapped"].next_run(waiting=0, running=RUNNING, always=True)
    ids = {name: str(flow.id) for name, flow in flows.items()}
    for name in ("deferred", "rescheduled"):
        ids[f"{name}_run"] = str(flows[name].add_run(waiting=WAITING, running=RUNNING).id)
    for name in ("failing", "deferred_failing"):
        failing = flows[name].add_run(outcome="FAILED", waiting=WAITING, running=RUNNING, errors=[VENDOR_ERROR])
        ids[f"{name}_run"] = str(failing.id)
    run_id = airflow.trigger(DAG, ids)
    face = Face(airflow, run_id, ids, {}, {})

    for task_id, map_index in [*STARTING, *WATCHING]:
        airflow.wait_for(
            f"the link of {task_id} {map_index}", lambda one=(task_id, map_index): bool(face.link(*one)), 120
        )
        if (task_id, map_index) in DEFERRED:
            airflow.wait_for(
                f"the deferral of {task_id} {map_index}",
                lambda one=(task_id, map_index): airflow.task_instance(DAG, run_id, *one).state == "deferred",
                60,
            )
        face.links_while_going[task_id, map_index] = face.link(task_id, map_index)
        face.states_while_going[task_id, map_index] = airflow.task_instance(DAG, run_id, task_id, map_index).state
    held_clock.advance(WAITING + 1)
    held_clock.advance(RUNNING)
    assert airflow.wait_run(DAG, run_id, timeout=240) == "failed"
    failed = [task.task_id for task in airflow.task_instances(DAG, run_id) if task.state != "success"]
    assert sorted(failed) == ["deferred_failing", "failing"]
    return face


# -- links


@pytest.mark.parametrize(("task_id", "state"), [("sync", "running"), ("deferred", "deferred"), ("failing", "running")])
def test_the_link_is_there_while_the_run_is_going(face: Face, task_id: str, state: str) -> None:
    assert face.states_while_going[task_id, -1] == state
    assert face.links_while_going[task_id, -1] == PORTABLE_APP


@pytest.mark.parametrize(("map_index", "state"), [(0, "running"), (1, "deferred")])
def test_each_mapped_task_links_to_its_own_run_while_it_is_going(face: Face, map_index: int, state: str) -> None:
    assert face.states_while_going["mapped", map_index] == state
    run = face.result("mapped", map_index)
    assert face.links_while_going["mapped", map_index] == run["url"]
    assert run["url"].endswith(f"/runs/{run['run_id']}")
    assert face.link("mapped", 0) != face.link("mapped", 1)


def test_the_link_is_there_between_the_looks_of_a_rescheduled_sensor(face: Face) -> None:
    assert face.states_while_going["rescheduled", -1] in {"up_for_reschedule", "scheduled", "queued", "running"}
    assert face.links_while_going["rescheduled", -1] == face.result("rescheduled")["url"]


@pytest.mark.parametrize(("task_id", "map_index"), [*STARTING, *WATCHING, ("read", 0), ("read", 1)])
def test_the_link_stays_when_the_task_has_ended(face: Face, task_id: str, map_index: int) -> None:
    shown = face.links_while_going.get((task_id, map_index)) or face.result(task_id, map_index)["url"]
    assert face.link(task_id, map_index) == shown


# -- asset events


def told(face: Face, dag_id: str, expected: int) -> list[dict[str, Any]]:
    """Return what the events that started a consumer DAG said, in all of its runs."""
    airflow = face.airflow

    def extras() -> list[dict[str, Any]]:
        runs = airflow.get(f"/api/v2/dags/{dag_id}/dagRuns")["dag_runs"]
        ended = [run["dag_run_id"] for run in runs if run["state"] == "success"]
        return [extra for run_id in ended for extra in airflow.xcom(dag_id, run_id, "told")]

    airflow.wait_for(f"{expected} events in {dag_id}", lambda: len(extras()) >= expected, 120)
    return extras()


@pytest.mark.parametrize("dag_id", ["face_table_consumer", "face_named_consumer"])
def test_a_dag_that_an_outlet_starts_reads_which_run_it_was(face: Face, dag_id: str) -> None:
    run = face.result("sync")
    assert told(face, dag_id, 1) == [{name: run[name] for name in FACTS}]
    assert run["rows"]["loaded"] == 1500


def test_an_alias_gets_an_event_of_each_flow(face: Face) -> None:
    extras = told(face, "face_flows_consumer", 2)
    expected = [{name: face.result(task_id)[name] for name in FACTS} for task_id in ("sync", "deferred")]
    assert sorted(extras, key=lambda extra: extra["flow_id"]) == sorted(expected, key=lambda extra: extra["flow_id"])
    assets = face.airflow.get("/api/v2/assets", limit=100, only_active=False)["assets"]
    wanted = {f"flowruns://portable/{face.flows[name]}" for name in ("sync", "deferred")}
    assert wanted <= {asset["uri"] for asset in assets}


# -- lineage


@pytest.fixture(scope="module")
def lineage(face: Face, lineage_events: Path) -> Callable[[str, str], dict[str, Any]]:
    """Return a function that returns the last event of a kind that a task of the DAG run has sent."""

    def event_of(task_id: str, kind: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        def sent() -> bool:
            events = [json.loads(path.read_text() or "{}") for path in lineage_events.glob("event*")]
            found[:] = [
                event
                for event in events
                if event.get("eventType") == kind and event["job"]["name"] == f"{DAG}.{task_id}"
            ]
            return bool(found)

        face.airflow.wait_for(f"the {kind} event of {task_id}", sent, 60)
        return max(found, key=lambda event: event["eventTime"])

    return event_of


@pytest.mark.parametrize("task_id", ["sync", "deferred"])
def test_lineage_of_a_succeeded_task_names_the_run_and_the_rows(face: Face, lineage: Any, task_id: str) -> None:
    event, run = lineage(task_id, "COMPLETE"), face.result(task_id)
    facets = event["run"]["facets"]
    source = "portable://app.portable.io"
    assert (facets["externalQuery"]["externalQueryId"], facets["externalQuery"]["source"]) == (run["run_id"], source)
    assert facets[RUN_FACET]["disposition"] == "SUCCEEDED"
    assert "errorMessage" not in facets
    rows = {output["name"]: output["outputFacets"]["outputStatistics"]["rowCount"] for output in event["outputs"]}
    assert rows == {f"{run['flow_id']}.{resource['name']}": resource["loaded"] for resource in run["resources"]}
    assert sum(rows.values()) == 1500
    assert {output["namespace"] for output in event["outputs"]} == {source}


@pytest.mark.parametrize("task_id", ["failing", "deferred_failing"])
def test_lineage_of_a_failed_task_names_the_run_and_its_error(lineage: Any, task_id: str) -> None:
    facets = lineage(task_id, "FAIL")["run"]["facets"]
    assert facets["externalQuery"]["externalQueryId"] == facets[RUN_FACET]["run_id"]
    assert facets[RUN_FACET]["disposition"] == "FAILED"
    assert facets[RUN_FACET]["errors"] == [VENDOR_ERROR]
    assert VENDOR_ERROR in facets["errorMessage"]["message"]


@pytest.mark.parametrize(
    ("task_id", "kind"), [("sync", "COMPLETE"), ("deferred", "COMPLETE"), ("deferred_failing", "FAIL")]
)
def test_lineage_events_are_well_formed(lineage: Any, task_id: str, kind: str) -> None:
    event = lineage(task_id, kind)
    facets = event["run"]["facets"]
    schema = json.loads((files("airflow_provider_flowruns") / SCHEMA_FILE).read_text())
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    validator.validate(facets[RUN_FACET])
    datetime.fromisoformat(event["eventTime"])
    assert event["schemaURL"].endswith("OpenLineage.json#/$defs/RunEvent")
    ours = [
        facets["externalQuery"],
        facets[RUN_FACET],
        *(output["outputFacets"]["outputStatistics"] for output in event["outputs"]),
    ]
    for facet in ours:
        assert facet["_schemaURL"].startswith("https://")
        assert facet["_producer"].startswith("https://")
    assert SCHEMA_FILE in facets[RUN_FACET]["_schemaURL"]


def test_lineage_events_hold_no_token(lineage: Any, lineage_events: Path, connections: dict[str, str]) -> None:
    assert lineage("sync", "COMPLETE")
    text = "".join(path.read_text() for path in lineage_events.iterdir())
    tokens = {json.loads(value).get("password") for value in connections.values()} - {None}
    assert tokens
    assert [token for token in tokens if token in text] == []


# -- callbacks


def test_a_failing_task_starts_a_flow_once_and_keeps_its_own_error(face: Face, held_sandbox: Sandbox) -> None:
    starts = [event for event in held_sandbox.ledger.started if event.flow_id == face.flows["alarm"]]
    assert len(starts) == 1
    (request,) = [one for one in held_sandbox.ledger.requests if one.path.endswith(f"/webhooks/{face.flows['alarm']}")]
    payload = json.loads(request.body)
    assert payload["task"] == "failing"
    assert VENDOR_ERROR in payload["error"]
    assert "authorization" not in request.headers
    log = face.airflow.log(DAG, face.run_id, "failing")
    assert f"Started flow {face.flows['alarm']} on activepieces" in log
    assert "FlowRunFailed" in log


def test_a_missed_deadline_starts_a_flow_once(airflow: RealAirflow, held_sandbox: Sandbox) -> None:
    held_sandbox.activepieces.add_flow("Late", ALARM_FLOW_ID)
    run_id = airflow.trigger("face_late")

    def starts() -> list[Any]:
        return [event for event in held_sandbox.ledger.started if event.flow_id == ALARM_FLOW_ID]

    airflow.wait_for("the start of the flow", lambda: bool(starts()), 120)
    assert airflow.wait_run("face_late", run_id) == "success"
    assert len(starts()) == 1
    (request,) = [one for one in held_sandbox.ledger.requests if one.path.endswith(ALARM_FLOW_ID)]
    assert json.loads(request.body) == {"said": "late"}
    assert "authorization" not in request.headers
