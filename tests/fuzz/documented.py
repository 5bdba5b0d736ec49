"""Answers as the services document them, or as they were recorded: where random answers begin."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

CAPTURES = Path(__file__).resolve().parents[1] / "fixtures" / "activepieces"
#: Recorded bodies above this many characters are left out: most of them is the definition of the flow.
MAX_CAPTURE_CHARS = 6_000

FLOW_NUMBER = 568971
ATTEMPT_NUMBER = 637628
RUN_ID, FLOW_ID, PROJECT_ID = "cPi5kjLQnJv89Z7KBGg7G", "ojdVhFCCcrZ2X1rqJL2Mu", "19NxIjX88XDYnuT9t5cwP"
DOCUMENT_ID, DOCUMENT_FLOW_ID = "Wp7kRnT2mX4vQ9bL", "dk4g1tUg1uHLs8YU"

RESOURCES = [{"name": "orders", "extracted": 1864, "analyzed": 1860, "loaded": 1850, "errors": []}]
STATUS = {
    "id": FLOW_NUMBER,
    "lifecycle": "NOT_RUNNING",
    "disposition": "SUCCEEDED",
    "resources": RESOURCES,
    "errors": None,
    "completedAt": "2023-06-12T20:03:00Z",
}
ATTEMPT = {
    "id": ATTEMPT_NUMBER,
    "flow": FLOW_NUMBER,
    "trigger": "API",
    "lifecycle": "not_running",
    "disposition": "succeeded",
    "resources": RESOURCES,
    "errors": ["Timeout"],
    "completedAt": "2023\u201006\u201012T20:08:34Z",
    "createdAt": "2023-06-12T20:03:00Z",
}
SCHEMA_ATTEMPT = {"id": ATTEMPT_NUMBER, "trigger": "MANUAL", "status": "SUCCEEDED", "details": {"orders": RESOURCES[0]}}
RUN = {
    "id": RUN_ID,
    "created": "2026-11-22T05:51:13.616Z",
    "updated": "2026-11-22T05:51:14.521Z",
    "projectId": PROJECT_ID,
    "flowId": FLOW_ID,
    "status": "SUCCEEDED",
    "environment": "PRODUCTION",
    "startTime": "2026-11-22T05:51:14.387Z",
    "finishTime": "2026-11-22T05:51:14.507Z",
    "triggeredBy": None,
    "failedStep": {"name": "step_1", "displayName": "Fetch", "message": '{"__apErrorVersion":1,"message":"HTTP 500"}'},
    "steps": {"trigger": {"output": {"body": {"correlation": "dag/run/task/-1/0"}}}},
}
DOCUMENT = {
    "id": DOCUMENT_ID,
    "flow_id": DOCUMENT_FLOW_ID,
    "workspace_id": "uT2bJNWN75YPU95r",
    "status": "completed",
    "status_history": [{"status": "failed", "time": 1682366258, "message": "Template not found"}],
    "error": None,
    "metadata": {"correlation": "dag/run/task/-1/0"},
    "trigger_method": "api",
    "start_time": 1682366228,
    "end_time": 1682366258,
    "current_attempt": 1,
    "created_at": 1682366228,
    "updated_at": 1682366258,
}
ERRORS = [
    {"message": "Unauthorized"},
    {"code": "ENTITY_NOT_FOUND", "params": {"entityType": "flow_run", "entityId": RUN_ID}},
    {"statusCode": 401, "error": "Unauthorized", "message": "Cannot read properties of undefined"},
    {"error": "not_found", "message": "No such run"},
    {"type": "about:blank", "title": "Bad Gateway", "status": 502, "detail": "no upstream"},
]


def next_id(run_id: Any, step: int = 1) -> Any:
    """Return the id of an earlier run of the same list."""
    return run_id - step if isinstance(run_id, int) else f"{run_id[:-1]}{step}"


def _several(record: dict[str, Any], created: str, earlier: Any) -> list[dict[str, Any]]:
    """Return three runs, newest first."""
    others = [{**record, "id": next_id(record["id"], step), created: earlier[step - 1]} for step in (1, 2)]
    return [record, *others]


ATTEMPTS = _several(ATTEMPT, "createdAt", ["2023-06-12T19:03:00Z", "2023-06-12T18:03:00Z"])
RUNS = _several(RUN, "created", ["2026-11-22T04:51:13.616Z", "2026-11-22T03:51:13.616Z"])
DOCUMENTS = _several(DOCUMENT, "created_at", [1682360000, 1682350000])
PAGINATION = {"total": 9, "limit": 3, "offset": 0, "next_offset": 3}

#: Ends of paths and what is answered there; the first one that fits counts.
FITTING: tuple[tuple[str, tuple[Any, ...]], ...] = (
    (r"/status$", (STATUS, {"data": STATUS})),
    (r"^GET /v2/flows/[0-9]+/run$", ({"data": ATTEMPTS}, [SCHEMA_ATTEMPT])),
    (r"^POST /v2/flows/[0-9]+/", ({"message": "Created"},)),
    (r"/v2/flows/runs$", ({"flow_runs": DOCUMENTS, "pagination": PAGINATION},)),
    (r"/v2/flows/[^/]+/runs$", (DOCUMENTS,)),
    (r"/v2/flows/runs/|^POST /v2/flows/", (DOCUMENT,)),
    (r"/v2/flows$", ({"data": [{"id": FLOW_NUMBER, "displayName": "Orders"}]}, [{"id": DOCUMENT_FLOW_ID}])),
    (r"/flow-runs$", ({"data": RUNS, "next": "bmV4dA==", "previous": None},)),
    (r"/flow-runs/[^/]+(/retry)?$", (RUN,)),
    (r"/flows$|/projects$", ({"data": [{"id": FLOW_ID, "displayName": "x", "version": {"displayName": "x"}}]},)),
)


@cache
def fitting(method: str, path: str) -> tuple[Any, ...]:
    """Return the answers that are documented for a request; those of others where none is.

    :param method: HTTP method in upper case.
    :param path: path of the request.
    """
    return next((bodies for pattern, bodies in FITTING if re.search(pattern, f"{method} {path}")), others())


@cache
def others() -> tuple[Any, ...]:
    """Return the answers to all requests, those of errors and recorded ones among them."""
    return (*(body for _, bodies in FITTING for body in bodies), *ERRORS, *_captures())


def _captures() -> list[Any]:
    texts = [path.read_text() for path in sorted(CAPTURES.glob("*.json"))]
    recorded = [json.loads(text) for text in texts if len(text) <= MAX_CAPTURE_CHARS]
    bodies = [one["response"]["body"] for one in recorded if isinstance(one, dict) and "response" in one]
    return [body for body in bodies if body]
