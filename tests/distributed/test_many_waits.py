"""Three hundred deferred waits over two triggerers that are killed, terminated and suspended in turn; then all end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox, SandboxFlow
from tools.celery_airflow import PROCESS_HEADER, CeleryAirflow

pytestmark = pytest.mark.airflow

SERVICES = ("portable", "activepieces", "tableflow")
WAITS_PER_SERVICE = 100
FAILED_EVERY = 10


class ManyWaits:
    """The only run of the DAG ``many_waits``, and the runs that they wait for."""

    def __init__(self, airflow: CeleryAirflow, sandbox: Sandbox) -> None:
        self.airflow, self.sandbox = airflow, sandbox
        self.flows: dict[str, list[SandboxFlow[Any]]] = {
            service: [getattr(sandbox, service).add_flow() for _ in range(WAITS_PER_SERVICE)] for service in SERVICES
        }
        for flow in self.list_flows():
            flow.add_run(ago=60)  # it ended before the waits began, so it must not count
        self.runs = {
            service: [flow.add_run(outcome="RUNNING") for flow in flows] for service, flows in self.flows.items()
        }
        conf = {service: [str(run.id) for run in runs] for service, runs in self.runs.items()}
        conf["portable"] = [str(flow.id) for flow in self.flows["portable"]]
        airflow.trigger("many_waits", {**conf, "after": datetime.now(UTC).isoformat()})

    def list_flows(self) -> list[SandboxFlow[Any]]:
        return [flow for flows in self.flows.values() for flow in flows]

    def count_states(self) -> Counter[str]:
        rows = self.airflow.fetch_rows(
            "select state, count(*) from task_instance where dag_id = 'many_waits' and map_index >= 0 group by state"
        )
        return Counter(dict(rows))

    def count_by_triggerer(self) -> Counter[int | None]:
        """Return the number of waits by the triggerer's job, None for those that no triggerer has taken."""
        rows = self.airflow.fetch_rows(
            "select triggerer_id, count(*) from trigger join task_instance on trigger_id = trigger.id"
            " where dag_id = 'many_waits' group by triggerer_id"
        )
        return Counter(dict(rows))

    def wait_until_moved_to(self, process: str) -> None:
        """Wait until one triggerer has all waits and has polled for them."""

        def has_moved() -> bool:
            triggerers = self.count_by_triggerer()
            return len(triggerers) == 1 and None not in triggerers

        self.airflow.wait_for(f"all waits to move to {process}", has_moved, 180)
        before = len(self.sandbox.ledger.requests)
        paths = {f"/portable/v2/flows/{flow.id}/run" for flow in self.flows["portable"]}

        def is_polling() -> bool:
            requests = self.sandbox.ledger.requests[before:]
            polled = {one.path for one in requests if one.headers.get(PROCESS_HEADER.lower()) == process}
            return paths <= polled

        self.airflow.wait_for(f"polls by {process} for all flows", is_polling, 180)

    def check_still_waiting(self) -> None:
        """Check that every wait is still a wait, and that no run was cancelled."""
        assert self.count_states() == {"deferred": len(self.list_flows())}
        assert self.list_canceled() == []

    def fetch_states(self) -> dict[tuple[str, int], str]:
        """Return the state of each wait that is in its first try."""
        rows = self.airflow.fetch_rows(
            "select task_id, map_index, state from task_instance"
            " where dag_id = 'many_waits' and map_index >= 0 and try_number = 1"
        )
        return {(task_id, number): state for task_id, number, state in rows}

    def fetch_run_ids(self) -> dict[tuple[str, int], str]:
        """Return the id of the run that each successful wait returned."""
        rows = self.airflow.fetch_rows(
            "select task_id, map_index, value from xcom"
            " where dag_id = 'many_waits' and map_index >= 0 and key = 'return_value'"
        )
        return {(task_id, number): value["run_id"] for task_id, number, value in rows}

    def list_canceled(self) -> list[str]:
        ids = {str(flow.id) for flow in self.list_flows()}
        return [str(event.run_id) for event in self.sandbox.ledger.canceled if str(event.flow_id) in ids]


@pytest.fixture(scope="module")
def waits(stack: CeleryAirflow, sandbox: Sandbox) -> Iterator[ManyWaits]:
    """Return the waits, all of them deferred."""
    stack.restore()
    waits = ManyWaits(stack, sandbox)
    count = len(waits.list_flows())
    stack.wait_for(f"{count} deferred tasks", lambda: waits.count_states()["deferred"] == count, 1200)
    yield waits
    for runs in waits.runs.values():
        for run in runs:
            run.end()


def test_waits_continue_in_the_other_triggerer_if_one_is_killed(airflow: CeleryAirflow, waits: ManyWaits) -> None:
    airflow.wait_for("waits in both triggerers", lambda: len(waits.count_by_triggerer().keys() - {None}) == 2, 60)
    airflow.kill("triggerer-1")
    waits.wait_until_moved_to("triggerer-2")
    waits.check_still_waiting()


def test_waits_continue_in_the_other_triggerer_if_one_is_terminated(airflow: CeleryAirflow, waits: ManyWaits) -> None:
    airflow.terminate("triggerer-2")
    waits.wait_until_moved_to("triggerer-1")
    waits.check_still_waiting()


def test_waits_continue_in_the_other_triggerer_if_one_is_suspended(airflow: CeleryAirflow, waits: ManyWaits) -> None:
    airflow.suspend("triggerer-1")
    waits.wait_until_moved_to("triggerer-2")
    airflow.resume("triggerer-1")
    waits.wait_until_moved_to("triggerer-2")  # the resumed triggerer takes nothing back
    waits.check_still_waiting()


def test_each_of_them_ends_once_with_its_own_run(airflow: CeleryAirflow, waits: ManyWaits) -> None:
    runs = {(service, number): run for service in SERVICES for number, run in enumerate(waits.runs[service])}
    outcomes = {wait: "failed" if wait[1] % FAILED_EVERY == 0 else "success" for wait in runs}
    for wait, run in runs.items():
        run.end("FAILED" if outcomes[wait] == "failed" else "SUCCEEDED")
    airflow.wait_for("the end of all waits", lambda: waits.count_states().keys() <= {"success", "failed"}, 1200)
    assert waits.fetch_states() == outcomes
    successful = {wait: str(run.id) for wait, run in runs.items() if outcomes[wait] == "success"}
    assert waits.fetch_run_ids() == successful
    assert waits.list_canceled() == []
