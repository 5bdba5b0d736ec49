"""Example flows for ``python -m airflow_provider_flowruns.sandbox``."""

from __future__ import annotations

from typing import NamedTuple

from airflow_provider_flowruns.sandbox.runs import RunOptions
from airflow_provider_flowruns.sandbox.server import Sandbox

PORTABLE_FLOW_ID = 568101
PORTABLE_FAILING_FLOW_ID = 568102
PORTABLE_SLOW_FLOW_ID = 568103
PORTABLE_WORKFLOW_ID = 568201
ACTIVEPIECES_PROJECT_ID = "SandboxProject0000001"
ACTIVEPIECES_FLOW_ID = "OrdersToWarehouse0001"
ACTIVEPIECES_FAILING_FLOW_ID = "ContactsFailing000001"
ACTIVEPIECES_PAUSING_FLOW_ID = "ApprovalPausing000001"
TABLEFLOW_FLOW_ID = "InvoicesRead0001"
TABLEFLOW_REVIEW_FLOW_ID = "InvoicesReview01"
TABLEFLOW_FAILING_FLOW_ID = "InvoicesFailing1"

HISTORY_SECONDS = 600.0
"""Age of the schedules at the start."""


class SeededFlow(NamedTuple):
    """An example flow.

    :param service: name of the service.
    :param flow_id: id of the flow or workflow.
    :param behaviour: description of its runs.
    """

    service: str
    flow_id: int | str
    behaviour: str


def seed(sandbox: Sandbox) -> list[SeededFlow]:
    """Add the example flows to a sandbox. Their ids are the constants of this module.

    :param sandbox: the sandbox.
    :return: the flows that were added.
    :raises ValueError: the flows have already been added.
    """
    return [*_seed_portable(sandbox), *_seed_activepieces(sandbox), *_seed_tableflow(sandbox)]


def _seed_portable(sandbox: Sandbox) -> list[SeededFlow]:
    portable = sandbox.portable
    orders = portable.add_flow("Orders to warehouse", PORTABLE_FLOW_ID)
    orders.schedule(every=20.0, waiting=1.0, running=5.0, ago=HISTORY_SECONDS)
    orders.next_run(waiting=1.0, running=5.0, always=True)
    contacts = portable.add_flow("Contacts to warehouse", PORTABLE_FAILING_FLOW_ID)
    failing: RunOptions = {
        "outcome": "FAILED",
        "waiting": 1.0,
        "running": 3.0,
        "errors": ["Destination rejected table contacts: column email is too narrow"],
    }
    contacts.next_run(always=True, **failing)
    scheduled: RunOptions = {**failing, "ago": HISTORY_SECONDS}
    contacts.schedule(every=20.0, **scheduled)
    clicks = portable.add_flow("Clicks to warehouse", PORTABLE_SLOW_FLOW_ID)
    clicks.next_run(waiting=2.0, running=60.0, always=True)
    nightly = portable.add_workflow("Nightly", PORTABLE_WORKFLOW_ID)
    nightly.schedule(every=30.0, waiting=1.0, running=8.0, ago=HISTORY_SECONDS)
    return [
        SeededFlow("portable", PORTABLE_FLOW_ID, "runs every 20 s; each run succeeds after 6 s"),
        SeededFlow("portable", PORTABLE_FAILING_FLOW_ID, "runs every 20 s; each run fails after 4 s"),
        SeededFlow("portable", PORTABLE_SLOW_FLOW_ID, "succeeds after a minute"),
        SeededFlow("portable", PORTABLE_WORKFLOW_ID, "a workflow; runs every 30 s and succeeds"),
    ]


def _seed_activepieces(sandbox: Sandbox) -> list[SeededFlow]:
    activepieces = sandbox.activepieces
    activepieces.project_id = ACTIVEPIECES_PROJECT_ID
    orders = activepieces.add_flow("Orders to warehouse", ACTIVEPIECES_FLOW_ID)
    orders.schedule(every=20.0, waiting=0.5, running=5.0, ago=HISTORY_SECONDS)
    orders.next_run(waiting=0.5, running=5.0, visible_after=0.5, always=True)
    contacts = activepieces.add_flow("Contacts", ACTIVEPIECES_FAILING_FLOW_ID)
    contacts.next_run(
        outcome="FAILED",
        waiting=0.5,
        running=3.0,
        errors=["Error: HTTP 500 from the address book", "    at fetchContacts (step_1/index.js:26:9)"],
        always=True,
    )
    approval = activepieces.add_flow("Approval", ACTIVEPIECES_PAUSING_FLOW_ID)
    pausing = [(0, "QUEUED"), (0.5, "RUNNING"), (2, "PAUSED"), (8, "QUEUED"), (8.5, "RUNNING"), (10, "SUCCEEDED")]
    approval.next_run(timeline=pausing, always=True)
    return [
        SeededFlow("activepieces", ACTIVEPIECES_FLOW_ID, "runs every 20 s; each run succeeds after 5 s"),
        SeededFlow("activepieces", ACTIVEPIECES_FAILING_FLOW_ID, "fails after 3 s"),
        SeededFlow("activepieces", ACTIVEPIECES_PAUSING_FLOW_ID, "pauses for 6 s, then succeeds"),
    ]


def _seed_tableflow(sandbox: Sandbox) -> list[SeededFlow]:
    tableflow = sandbox.tableflow
    plain = tableflow.add_flow("Read invoices", TABLEFLOW_FLOW_ID)
    plain.next_run(running=5.0, waiting=0.0, always=True)
    plain.add_run(ago=HISTORY_SECONDS, waiting=0.0, running=5.0)
    review = tableflow.add_flow("Read invoices with review", TABLEFLOW_REVIEW_FLOW_ID)
    review.next_run(timeline=[(0, "processing"), (3, "review"), (10, "processing"), (12, "completed")], always=True)
    failing = tableflow.add_flow("Read torn invoices", TABLEFLOW_FAILING_FLOW_ID)
    failing.next_run(outcome="FAILED", waiting=0.0, running=3.0, always=True)
    return [
        SeededFlow("tableflow", TABLEFLOW_FLOW_ID, "accepts a file 'document', succeeds after 5 s"),
        SeededFlow("tableflow", TABLEFLOW_REVIEW_FLOW_ID, "accepts a file 'document', is in review for 7 s, succeeds"),
        SeededFlow("tableflow", TABLEFLOW_FAILING_FLOW_ID, "accepts a file 'document', fails after 3 s"),
    ]
