"""Links, asset events, lineage and callbacks of tasks that are running, have succeeded or have failed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.tasks.lineage import RUN_FACET
from airflow_provider_flowruns.tasks.lineage_facet import SCHEMA_FILE
from airflow_provider_flowruns.tasks.outlets import EXTRA_FIELDS
from tests.airflow.dags.ui_artifacts import ALARM_FLOW_ID
from tools.real_airflow import RealAirflow
from tools.stepped_clock import SteppedClock

pytestmark = pytest.mark.airflow

DAG = "ui_artifacts"
VENDOR_ERROR = "Destination rejected table contacts"
PORTABLE_APP = "https://app.portable.io/"
# How long runs are PENDING and RUNNING, in seconds on a clock that only the test advances.
WAITING_SECONDS, RUNNING_SECONDS = 1.0, 600.0
STARTING_TASKS = [("sync", -1), ("mapped", 0), ("mapped", 1)]
WAITING_TASKS = [("deferred", -1), ("rescheduled", -1), ("failing", -1), ("deferred_failing", -1)]
#: These tasks push their link shortly before they are deferred.
DEFERRED_TASKS = {("mapped", 1), ("deferred", -1), ("deferred_failing", -1)}


@dataclass
class UiArtifacts:
    """A completed DAG run, and what its tasks showed while all their runs were in progress."""

    airflow: RealAirflow
    run_id: str
    flows: dict[str, str]
    links_while_running: dict[tuple[str, int], str | None]
    states_while_running: dict[tuple[str, int], str | None]

    def get_link(self, task_id: str, map_index: int = -1) -> str | None:
        return self.airflow.get_links(DAG, self.run_id, task_id, map_index)["Flow run"]

    def get_result(self, task_id: str, map_index: int = -1) -> dict[str, Any]:
        return dict(self.airflow.get_xcom(DAG, self.run_id, task_id, map_index=map_index))


@pytest.fixture(scope="module")
def artifacts(airflow: RealAirflow, stepped_sandbox: Sandbox, stepped_clock: SteppedClock) -> UiArtifacts:
    portable, activepieces = stepped_sandbox.portable, stepped_sandbox.activepieces
    stepped_clock.advance(time.time() - stepped_clock())
    flows: dict[str, Any] = {
        "sync": portable.add_flow(),
        "mapped": activepieces.add_flow(),
        "deferred": portable.add_flow(),
        "rescheduled": activepieces.add_flow(),
        "failing": portable.add_flow(),
        "deferred_failing": portable.add_flow(),
        "alarm": activepieces.add_flow(),
    }
    flows["sync"].next_run(waiting=WAITING_SECONDS, running=RUNNING_SECONDS)
    # A queued run of Activepieces does not show its trigger output, so it is found and linked once it is running.
    flows["mapped"].next_run(waiting=0, running=RUNNING_SECONDS, always=True)
    ids = {name: str(flow.id) for name, flow in flows.items()}
    for name in ("deferred", "rescheduled"):
        ids[f"{name}_run"] = str(flows[name].add_run(waiting=WAITING_SECONDS, running=RUNNING_SECONDS).id)
    for name in ("failing", "deferred_failing"):
        failing = flows[name].add_run(
            outcome="FAILED", waiting=WAITING_SECONDS, running=RUNNING_SECONDS, errors=[VENDOR_ERROR]
        )
        ids[f"{name}_run"] = str(failing.id)
    run_id = airflow.trigger(DAG, ids)
    artifacts = UiArtifacts(airflow, run_id, ids, {}, {})

    def is_deferred(task_id: str, map_index: int) -> bool:
        return airflow.get_task_instance(DAG, run_id, task_id, map_index).state == "deferred"

    for task_id, map_index in [*STARTING_TASKS, *WAITING_TASKS]:
        airflow.wait_for(f"the link of {task_id} {map_index}", partial(artifacts.get_link, task_id, map_index), 120)
        if (task_id, map_index) in DEFERRED_TASKS:
            airflow.wait_for(
                f"the deferral of {task_id} {map_index}",
                partial(is_deferred, task_id, map_index),
                60,
            )
        artifacts.links_while_running[task_id, map_index] = artifacts.get_link(task_id, map_index)
        artifacts.states_while_running[task_id, map_index] = airflow.get_task_instance(
            DAG, run_id, task_id, map_index
        ).state
    stepped_clock.advance(WAITING_SECONDS + 1)
    stepped_clock.advance(RUNNING_SECONDS)
    assert airflow.wait_for_run(DAG, run_id, timeout=240) == "failed"
    failed = [task.task_id for task in airflow.list_task_instances(DAG, run_id) if task.state != "success"]
    assert sorted(failed) == ["deferred_failing", "failing"]
    return artifacts


# Links


@pytest.mark.parametrize(("task_id", "state"), [("sync", "running"), ("deferred", "deferred"), ("failing", "running")])
def test_the_link_is_shown_while_the_run_is_in_progress(artifacts: UiArtifacts, task_id: str, state: str) -> None:
    assert artifacts.states_while_running[task_id, -1] == state
    assert artifacts.links_while_running[task_id, -1] == PORTABLE_APP


@pytest.mark.parametrize(("map_index", "state"), [(0, "running"), (1, "deferred")])
def test_each_mapped_task_links_to_its_own_run_while_it_is_in_progress(
    artifacts: UiArtifacts, map_index: int, state: str
) -> None:
    assert artifacts.states_while_running["mapped", map_index] == state
    run = artifacts.get_result("mapped", map_index)
    assert artifacts.links_while_running["mapped", map_index] == run["url"]
    assert run["url"].endswith(f"/runs/{run['run_id']}")
    assert artifacts.get_link("mapped", 0) != artifacts.get_link("mapped", 1)


def test_the_link_is_shown_between_the_polls_of_a_rescheduled_sensor(artifacts: UiArtifacts) -> None:
    assert artifacts.states_while_running["rescheduled", -1] in {"up_for_reschedule", "scheduled", "queued", "running"}
    assert artifacts.links_while_running["rescheduled", -1] == artifacts.get_result("rescheduled")["url"]


@pytest.mark.parametrize(("task_id", "map_index"), [*STARTING_TASKS, *WAITING_TASKS, ("read", 0), ("read", 1)])
def test_the_link_is_shown_after_the_task_has_ended(artifacts: UiArtifacts, task_id: str, map_index: int) -> None:
    expected = (
        artifacts.links_while_running.get((task_id, map_index)) or artifacts.get_result(task_id, map_index)["url"]
    )
    assert artifacts.get_link(task_id, map_index) == expected


# Asset events


def wait_for_event_extras(artifacts: UiArtifacts, dag_id: str, expected: int) -> list[dict[str, Any]]:
    """Wait until a consumer DAG has received a number of asset events, and return their extras."""
    airflow = artifacts.airflow

    def list_extras() -> list[dict[str, Any]]:
        runs = airflow.get(f"/api/v2/dags/{dag_id}/dagRuns")["dag_runs"]
        ended = [run["dag_run_id"] for run in runs if run["state"] == "success"]
        return [extra for run_id in ended for extra in airflow.get_xcom(dag_id, run_id, "event_extras")]

    airflow.wait_for(f"{expected} events in {dag_id}", lambda: len(list_extras()) >= expected, 120)
    return list_extras()


@pytest.mark.parametrize("dag_id", ["ui_artifacts_table_consumer", "ui_artifacts_named_consumer"])
def test_a_dag_that_an_outlet_starts_receives_the_facts_of_the_run(artifacts: UiArtifacts, dag_id: str) -> None:
    run = artifacts.get_result("sync")
    assert wait_for_event_extras(artifacts, dag_id, 1) == [{name: run[name] for name in EXTRA_FIELDS}]
    assert run["rows"]["loaded"] == 1500


def test_an_alias_receives_an_event_of_each_flow(artifacts: UiArtifacts) -> None:
    extras = wait_for_event_extras(artifacts, "ui_artifacts_flows_consumer", 2)
    expected = [
        {name: artifacts.get_result(task_id)[name] for name in EXTRA_FIELDS} for task_id in ("sync", "deferred")
    ]
    assert sorted(extras, key=lambda extra: extra["flow_id"]) == sorted(expected, key=lambda extra: extra["flow_id"])
    assets = artifacts.airflow.get("/api/v2/assets", limit=100, only_active=False)["assets"]
    wanted = {f"flowruns://portable/{artifacts.flows[name]}" for name in ("sync", "deferred")}
    assert wanted <= {asset["uri"] for asset in assets}


# Lineage


@pytest.fixture(scope="module")
def lineage(artifacts: UiArtifacts, lineage_events: Path) -> Callable[[str, str], dict[str, Any]]:
    """Return a function that waits for a task's last event of a type and returns it."""

    def wait_for_event(task_id: str, kind: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        def is_sent() -> bool:
            events = [json.loads(path.read_text() or "{}") for path in lineage_events.glob("event*")]
            found[:] = [
                event
                for event in events
                if event.get("eventType") == kind and event["job"]["name"] == f"{DAG}.{task_id}"
            ]
            return bool(found)

        artifacts.airflow.wait_for(f"the {kind} event of {task_id}", is_sent, 60)
        return max(found, key=lambda event: event["eventTime"])

    return wait_for_event


@pytest.mark.parametrize("task_id", ["sync", "deferred"])
def test_lineage_of_a_succeeded_task_names_the_run_and_the_rows(
    artifacts: UiArtifacts, lineage: Any, task_id: str
) -> None:
    event, run = lineage(task_id, "COMPLETE"), artifacts.get_result(task_id)
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


def test_lineage_events_contain_no_token(lineage: Any, lineage_events: Path, connections: dict[str, str]) -> None:
    assert lineage("sync", "COMPLETE")
    text = "".join(path.read_text() for path in lineage_events.iterdir())
    tokens = {json.loads(value).get("password") for value in connections.values()} - {None}
    assert tokens
    assert [token for token in tokens if token in text] == []


# Callbacks


def test_a_failing_task_starts_a_flow_once_and_keeps_its_error(
    artifacts: UiArtifacts, stepped_sandbox: Sandbox
) -> None:
    starts = [event for event in stepped_sandbox.ledger.started if event.flow_id == artifacts.flows["alarm"]]
    assert len(starts) == 1
    (request,) = [
        one for one in stepped_sandbox.ledger.requests if one.path.endswith(f"/webhooks/{artifacts.flows['alarm']}")
    ]
    payload = json.loads(request.body)
    assert payload["task"] == "failing"
    assert VENDOR_ERROR in payload["error"]
    assert "authorization" not in request.headers
    log = artifacts.airflow.get_log(DAG, artifacts.run_id, "failing")
    assert f"Started flow {artifacts.flows['alarm']} on Activepieces" in log
    assert "FlowRunFailed" in log


def test_a_missed_deadline_starts_a_flow_once(airflow: RealAirflow, stepped_sandbox: Sandbox) -> None:
    stepped_sandbox.activepieces.add_flow("Late", ALARM_FLOW_ID)
    run_id = airflow.trigger("missed_deadline")

    def list_starts() -> list[Any]:
        return [event for event in stepped_sandbox.ledger.started if event.flow_id == ALARM_FLOW_ID]

    airflow.wait_for("the start of the flow", lambda: bool(list_starts()), 120)
    assert airflow.wait_for_run("missed_deadline", run_id) == "success"
    assert len(list_starts()) == 1
    (request,) = [request for request in stepped_sandbox.ledger.requests if request.path.endswith(ALARM_FLOW_ID)]
    assert json.loads(request.body) == {"message": "late"}
    assert "authorization" not in request.headers
