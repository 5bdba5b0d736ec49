"""The example flows, which the example DAGs and the documentation name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from airflow_provider_flowruns.sandbox.flows import SandboxFlow
from airflow_provider_flowruns.sandbox.runs import RunOptions
from airflow_provider_flowruns.sandbox.server import Sandbox

PORTABLE_FLOW_ID = 568101
PORTABLE_FAILING_FLOW_ID = 568102
PORTABLE_SLOW_FLOW_ID = 568103
PORTABLE_EMPTY_FLOW_ID = 568104
PORTABLE_WORKFLOW_ID = 568201
ACTIVEPIECES_PROJECT_ID = "SandboxProject0000001"
ACTIVEPIECES_FLOW_ID = "OrdersToWarehouse0001"
ACTIVEPIECES_FAILING_FLOW_ID = "ContactsFailing000001"
ACTIVEPIECES_PAUSING_FLOW_ID = "ApprovalPausing000001"
ACTIVEPIECES_STEPS_FLOW_ID = "CountOrders0000000001"
TABLEFLOW_FLOW_ID = "InvoicesRead0001"
TABLEFLOW_REVIEW_FLOW_ID = "InvoicesReview01"
TABLEFLOW_FAILING_FLOW_ID = "InvoicesFailing1"

PORTABLE_FLOWS: Mapping[int, str] = {
    PORTABLE_FLOW_ID: "Orders to warehouse",
    PORTABLE_FAILING_FLOW_ID: "Contacts to warehouse",
    PORTABLE_SLOW_FLOW_ID: "Clicks to warehouse",
    PORTABLE_EMPTY_FLOW_ID: "Empty loads",
}
PORTABLE_WORKFLOWS: Mapping[int, str] = {PORTABLE_WORKFLOW_ID: "Nightly"}
ACTIVEPIECES_FLOWS: Mapping[str, str] = {
    ACTIVEPIECES_FLOW_ID: "Orders to warehouse",
    ACTIVEPIECES_FAILING_FLOW_ID: "Contacts",
    ACTIVEPIECES_PAUSING_FLOW_ID: "Approval",
    ACTIVEPIECES_STEPS_FLOW_ID: "Count orders",
}
TABLEFLOW_FLOWS: Mapping[str, str] = {
    TABLEFLOW_FLOW_ID: "Read invoices",
    TABLEFLOW_REVIEW_FLOW_ID: "Read invoices with review",
    TABLEFLOW_FAILING_FLOW_ID: "Read torn invoices",
}
"""Display names of the example flows, by id."""

HISTORY_SECONDS = 600.0
"""Age of the schedules at the start."""
EMPTY_FLOW_HISTORY = 10
"""Number of earlier runs of the flow whose runs load nothing now."""
NO_ROWS: tuple[Mapping[str, Any], ...] = (
    {"name": "orders", "extracted": 0, "analyzed": 0, "loaded": 0},
    {"name": "customers", "extracted": 0, "analyzed": 0, "loaded": 0},
)
ORDERS: tuple[Mapping[str, Any], ...] = ({"id": 7}, {"id": 8})
COUNTING_STEPS: Mapping[str, Mapping[str, Any]] = {
    "step_1": {
        "type": "CODE",
        "status": "SUCCEEDED",
        "input": {},
        "output": {"rows": list(ORDERS), "count": len(ORDERS)},
        "duration": 30.5,
    },
    "step_2": {
        "type": "LOOP_ON_ITEMS",
        "status": "SUCCEEDED",
        "input": {"items": list(ORDERS)},
        # The item and the index, which starts at 1, are those of the last iteration.
        "output": {
            "item": ORDERS[-1],
            "index": len(ORDERS),
            "iterations": [
                {
                    "step_3": {
                        "type": "CODE",
                        "status": "SUCCEEDED",
                        "input": {"order": order},
                        "output": {"id": order["id"], "is_counted": True},
                        "duration": 4.25,
                    }
                }
                for order in ORDERS
            ],
        },
        "duration": 12.75,
    },
}
"""Steps of a run that reads two orders and counts each of them in a loop."""


class SeededFlow(NamedTuple):
    """An example flow.

    :param service: name of the service.
    :param flow_id: id of the flow or workflow.
    :param behaviour: description of its runs.
    """

    service: str
    flow_id: int | str
    behaviour: str


class ExampleFlows(NamedTuple):
    """The example flows of a sandbox, by id.

    :param portable: flows and workflows of Portable.
    :param activepieces: flows of Activepieces.
    :param tableflow: flows of TableFlow.
    """

    portable: Mapping[int, SandboxFlow[Any]]
    activepieces: Mapping[str, SandboxFlow[Any]]
    tableflow: Mapping[str, SandboxFlow[Any]]


def seed(sandbox: Sandbox) -> list[SeededFlow]:
    """Add the example flows to a sandbox. Their ids are the constants of this module.

    :param sandbox: the sandbox.
    :return: the flows that were added.
    :raises ValueError: the flows have already been added.
    """
    flows = add_flows(sandbox)
    return [*_seed_portable(flows), *_seed_activepieces(flows), *_seed_tableflow(flows)]


def add_flows(sandbox: Sandbox) -> ExampleFlows:
    """Add the example flows to a sandbox, without any run, and the id of its project.

    :param sandbox: the sandbox.
    :return: the flows and workflows of each service by id.
    :raises ValueError: the flows have already been added.
    """
    portable, activepieces, tableflow = sandbox.portable, sandbox.activepieces, sandbox.tableflow
    activepieces.project_id = ACTIVEPIECES_PROJECT_ID
    flows = {flow_id: portable.add_flow(name, flow_id) for flow_id, name in PORTABLE_FLOWS.items()}
    workflows = {flow_id: portable.add_workflow(name, flow_id) for flow_id, name in PORTABLE_WORKFLOWS.items()}
    return ExampleFlows(
        portable=flows | workflows,
        activepieces={flow_id: activepieces.add_flow(name, flow_id) for flow_id, name in ACTIVEPIECES_FLOWS.items()},
        tableflow={flow_id: tableflow.add_flow(name, flow_id) for flow_id, name in TABLEFLOW_FLOWS.items()},
    )


def _seed_portable(flows: ExampleFlows) -> list[SeededFlow]:
    orders = flows.portable[PORTABLE_FLOW_ID]
    orders.schedule(every=20.0, waiting=1.0, running=5.0, ago=HISTORY_SECONDS)
    orders.next_run(waiting=1.0, running=5.0, always=True)
    contacts = flows.portable[PORTABLE_FAILING_FLOW_ID]
    failing: RunOptions = {
        "outcome": "FAILED",
        "waiting": 1.0,
        "running": 3.0,
        "errors": ["Destination rejected table contacts: column email is too narrow"],
    }
    contacts.next_run(always=True, **failing)
    scheduled: RunOptions = {**failing, "ago": HISTORY_SECONDS}
    contacts.schedule(every=20.0, **scheduled)
    clicks = flows.portable[PORTABLE_SLOW_FLOW_ID]
    clicks.next_run(waiting=2.0, running=60.0, always=True)
    empty = flows.portable[PORTABLE_EMPTY_FLOW_ID]
    for number in range(EMPTY_FLOW_HISTORY):
        age = HISTORY_SECONDS * (number + 1) / EMPTY_FLOW_HISTORY
        empty.add_run(ago=age, trigger="SCHEDULED", waiting=1.0, running=5.0)
    empty.next_run(waiting=1.0, running=5.0, resources=NO_ROWS, always=True)
    nightly = flows.portable[PORTABLE_WORKFLOW_ID]
    nightly.schedule(every=30.0, waiting=1.0, running=8.0, ago=HISTORY_SECONDS)
    return [
        SeededFlow("portable", PORTABLE_FLOW_ID, "runs every 20 s; each run succeeds after 6 s"),
        SeededFlow("portable", PORTABLE_FAILING_FLOW_ID, "runs every 20 s; each run fails after 4 s"),
        SeededFlow("portable", PORTABLE_SLOW_FLOW_ID, "succeeds after a minute"),
        SeededFlow(
            "portable", PORTABLE_EMPTY_FLOW_ID, "succeeds after 6 s, but loads no rows; earlier runs loaded 1,500"
        ),
        SeededFlow("portable", PORTABLE_WORKFLOW_ID, "a workflow; runs every 30 s and succeeds"),
    ]


def _seed_activepieces(flows: ExampleFlows) -> list[SeededFlow]:
    orders = flows.activepieces[ACTIVEPIECES_FLOW_ID]
    orders.schedule(every=20.0, waiting=0.5, running=5.0, ago=HISTORY_SECONDS)
    orders.next_run(waiting=0.5, running=5.0, visible_after=0.5, always=True)
    contacts = flows.activepieces[ACTIVEPIECES_FAILING_FLOW_ID]
    contacts.next_run(
        outcome="FAILED",
        waiting=0.5,
        running=3.0,
        errors=["Error: HTTP 500 from the address book", "    at fetchContacts (step_1/index.js:26:9)"],
        always=True,
    )
    approval = flows.activepieces[ACTIVEPIECES_PAUSING_FLOW_ID]
    pausing = [(0, "QUEUED"), (0.5, "RUNNING"), (2, "PAUSED"), (8, "QUEUED"), (8.5, "RUNNING"), (10, "SUCCEEDED")]
    approval.next_run(timeline=pausing, always=True)
    counting = flows.activepieces[ACTIVEPIECES_STEPS_FLOW_ID]
    counting.next_run(waiting=0.5, running=3.0, steps=COUNTING_STEPS, always=True)
    return [
        SeededFlow("activepieces", ACTIVEPIECES_FLOW_ID, "runs every 20 s; each run succeeds after 5 s"),
        SeededFlow("activepieces", ACTIVEPIECES_FAILING_FLOW_ID, "fails after 3 s"),
        SeededFlow("activepieces", ACTIVEPIECES_PAUSING_FLOW_ID, "pauses for 6 s, then succeeds"),
        SeededFlow("activepieces", ACTIVEPIECES_STEPS_FLOW_ID, "reads two orders, loops over them, succeeds after 3 s"),
    ]


def _seed_tableflow(flows: ExampleFlows) -> list[SeededFlow]:
    plain = flows.tableflow[TABLEFLOW_FLOW_ID]
    plain.next_run(running=5.0, waiting=0.0, always=True)
    plain.add_run(ago=HISTORY_SECONDS, waiting=0.0, running=5.0)
    review = flows.tableflow[TABLEFLOW_REVIEW_FLOW_ID]
    review.next_run(timeline=[(0, "processing"), (3, "review"), (10, "processing"), (12, "completed")], always=True)
    failing = flows.tableflow[TABLEFLOW_FAILING_FLOW_ID]
    failing.next_run(outcome="FAILED", waiting=0.0, running=3.0, always=True)
    return [
        SeededFlow("tableflow", TABLEFLOW_FLOW_ID, "accepts a file 'document', succeeds after 5 s"),
        SeededFlow("tableflow", TABLEFLOW_REVIEW_FLOW_ID, "accepts a file 'document', is in review for 7 s, succeeds"),
        SeededFlow("tableflow", TABLEFLOW_FAILING_FLOW_ID, "accepts a file 'document', fails after 3 s"),
    ]
