"""The APIs of Portable, Activepieces and TableFlow as a local server, to try and test DAGs without an account.

In a test::

    from airflow_provider_flowruns.sandbox import Sandbox

    with Sandbox() as sandbox:
        flow = sandbox.portable.add_flow("Orders")
        flow.next_run(outcome="FAILED", errors=["Source is down"])
        os.environ |= sandbox.connections()
        ...
        assert sandbox.ledger.count(method="POST", path="/run$") == 1

From a shell, with example flows: ``python -m airflow_provider_flowruns.sandbox``.

The sandbox imports neither Airflow nor the rest of this package, so its record of the requests is independent of the
code that sends them.
"""

from __future__ import annotations

from airflow_provider_flowruns.sandbox.activepieces import Activepieces, ActivepiecesFlow
from airflow_provider_flowruns.sandbox.activepieces_runs import ActivepiecesRun
from airflow_provider_flowruns.sandbox.faults import Fault, Faults
from airflow_provider_flowruns.sandbox.flows import SandboxFlow
from airflow_provider_flowruns.sandbox.ledger import Ledger, RecordedRequest, RunEvent
from airflow_provider_flowruns.sandbox.plain_service import PlainFlow, PlainRun, PlainService
from airflow_provider_flowruns.sandbox.portable import Portable, PortableFlow, PortableRun
from airflow_provider_flowruns.sandbox.responses import ApiError, build_json_response
from airflow_provider_flowruns.sandbox.runs import LEFT_OUT, RunOptions, SandboxRun, StatusNames
from airflow_provider_flowruns.sandbox.server import Sandbox
from airflow_provider_flowruns.sandbox.service import SandboxService
from airflow_provider_flowruns.sandbox.tableflow import TableFlow, TableFlowFlow
from airflow_provider_flowruns.sandbox.tableflow_forms import UploadedPart
from airflow_provider_flowruns.sandbox.tableflow_runs import TableFlowRun

__all__ = [
    "LEFT_OUT",
    "Activepieces",
    "ActivepiecesFlow",
    "ActivepiecesRun",
    "ApiError",
    "Fault",
    "Faults",
    "Ledger",
    "PlainFlow",
    "PlainRun",
    "PlainService",
    "Portable",
    "PortableFlow",
    "PortableRun",
    "RecordedRequest",
    "RunEvent",
    "RunOptions",
    "Sandbox",
    "SandboxFlow",
    "SandboxRun",
    "SandboxService",
    "StatusNames",
    "TableFlow",
    "TableFlowFlow",
    "TableFlowRun",
    "UploadedPart",
    "build_json_response",
]
