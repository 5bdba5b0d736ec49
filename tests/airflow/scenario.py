"""The DAG runs of the tests in a real Airflow, all started at once to save time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from airflow_provider_flowruns.sandbox import Sandbox, SandboxFlow, SandboxRun
from tools.airflow_api import AirflowApi
from tools.stepped_clock import SteppedClock

VENDOR_ERROR = "Destination rejected table contacts: column email is too narrow"
WRONG_TOKEN = "a-wrong-sandbox-token"
UNKNOWN_NUMBER = "999999999"
UNKNOWN_ID = "NoSuchRun0000000"
MALFORMED_ID = "../../admin"

# How long the runs that DAGs wait for are PENDING and RUNNING, in seconds on the sandbox's clock.
WAITING_SECONDS, RUNNING_SECONDS = 2.0, 6.0


@dataclass
class Scenario:
    """The DAG runs of these tests, and the service runs that they wait for."""

    airflow: AirflowApi
    clock: SteppedClock
    live: dict[str, SandboxRun] = field(default_factory=dict)
    dag_runs: dict[str, tuple[str, str]] = field(default_factory=dict)

    def trigger(self, name: str, dag_id: str, **conf: Any) -> None:
        """Start a DAG run and store it under a name."""
        self.dag_runs[name] = (dag_id, self.airflow.trigger(dag_id, conf))

    def wait_for_end(self, name: str) -> str:
        """Wait until a DAG run has ended and return its state."""
        return self.airflow.wait_for_run(*self.dag_runs[name])

    def get_states(self, name: str) -> dict[str, str | None]:
        """Return the state of each task of a DAG run."""
        return self.airflow.get_task_states(*self.dag_runs[name])

    def get_result(self, name: str, task_id: str) -> Any:
        """Return a task's result."""
        return self.airflow.get_xcom(*self.dag_runs[name], task_id)

    def get_log(self, name: str, task_id: str) -> str:
        """Return a task's log."""
        return self.airflow.get_log(*self.dag_runs[name], task_id)

    def wait_for_log(self, name: str, task_id: str, text: str) -> None:
        """Wait until a task has logged a text."""
        self.airflow.wait_for_log(*self.dag_runs[name], task_id, text)

    def start(self, sandbox: Sandbox) -> None:
        """Create flows with completed runs and one new run, and trigger the DAGs that wait for them."""
        self._trigger_examples(sandbox)
        self._trigger_endpoints(sandbox)

    def _trigger_examples(self, sandbox: Sandbox) -> None:
        """Trigger the example DAGs, each for a flow with a run that has just started."""
        orders, contacts = sandbox.portable.add_flow("Orders"), sandbox.portable.add_flow("Contacts")
        nightly = sandbox.portable.add_workflow("Nightly")
        leads, invoices = sandbox.activepieces.add_flow("Leads"), sandbox.tableflow.add_flow("Invoices")

        # The sandbox's clock stands still while tasks wait, so that it falls behind by minutes, and guards with it.
        orders.add_run(ago=7_200)
        orders.add_run(ago=3_600, outcome="FAILED")
        live: dict[str, SandboxFlow[Any]] = {"orders": orders, "nightly": nightly, "leads": leads}
        for name, flow in live.items():
            self.live[name] = flow.add_run(waiting=WAITING_SECONDS, running=RUNNING_SECONDS)
        contacts.add_run(waiting=WAITING_SECONDS, running=RUNNING_SECONDS, outcome="FAILED", errors=[VENDOR_ERROR])
        self.live["invoices"] = invoices.add_run(waiting=0, running=WAITING_SECONDS + RUNNING_SECONDS)

        self.trigger("portable", "portable_wait_and_history", flow_id=orders.id)
        self.trigger("history", "portable_history", flow_id=orders.id)
        self.trigger("failing", "portable_failed_run", flow_id=contacts.id)
        self.trigger("activepieces", "activepieces_wait", flow_id=leads.id)
        self.trigger("tableflow", "tableflow_wait", flow_id=invoices.id)
        self.trigger(
            "three",
            "three_services",
            portable_workflow_id=nightly.id,
            activepieces_flow_id=leads.id,
            tableflow_flow_id=invoices.id,
        )

    def _trigger_endpoints(self, sandbox: Sandbox) -> None:
        """Read completed runs from the five documented endpoints, with valid and with every kind of invalid input."""
        idle, workflow = sandbox.portable.add_flow("Idle"), sandbox.portable.add_workflow("Idle")
        idle.add_run(ago=300)
        workflow.add_run(ago=300)
        known = {
            "flow_id": str(idle.id),
            "workflow_id": str(workflow.id),
            "activepieces_run_id": sandbox.activepieces.add_flow("Idle").add_run(ago=300).id,
            "tableflow_run_id": sandbox.tableflow.add_flow("Idle").add_run(ago=300, waiting=0).id,
        }
        unknown = {
            "flow_id": UNKNOWN_NUMBER,
            "workflow_id": UNKNOWN_NUMBER,
            "activepieces_run_id": f"{UNKNOWN_ID}00000",
            "tableflow_run_id": UNKNOWN_ID,
        }
        self.trigger("valid", "five_endpoints", **known)
        self.trigger("wrong token", "five_endpoints", connections="wrong", **known)
        self.trigger("missing token", "five_endpoints", connections="missing", **known)
        self.trigger("no connection", "five_endpoints", connections="nowhere", **known)
        self.trigger("unknown id", "five_endpoints", **unknown)
        self.trigger("malformed id", "five_endpoints", **dict.fromkeys(known, MALFORMED_ID))

    def advance_to_end(self) -> None:
        """Advance the service runs to their end, each time after every sensor has logged the current status."""
        waiting = [
            ("portable", "loaded"),
            ("failing", "contacts_loaded"),
            ("activepieces", "ended"),
            ("three", "nightly_load"),
        ]
        for name, task_id in waiting:
            self.wait_for_log(name, task_id, "is PENDING")
        self.clock.advance(WAITING_SECONDS + 1)
        for name, task_id in [*waiting, ("tableflow", "ended")]:
            self.wait_for_log(name, task_id, "is RUNNING")
        self.clock.advance(RUNNING_SECONDS)
