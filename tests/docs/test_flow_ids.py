"""Every flow that the README, the pages and the examples name exists in the sandbox, so that all can be tried."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sandbox.__main__ import DEFAULT_PORT
from airflow_provider_flowruns.sandbox.ready_dag import READY_DAG
from airflow_provider_flowruns.sandbox.scenario import ACTIVEPIECES_PROJECT_ID
from airflow_provider_flowruns.sandbox.scenarios import DEFAULT_SCENARIO, SCENARIOS

CHECKOUT = Path(__file__).resolve().parents[2]
README = CHECKOUT / "README.md"
SHOWN = [
    README,
    *(CHECKOUT / "docs").rglob("*.md"),
    *(CHECKOUT / "docs" / "examples").rglob("*.py"),
    *(CHECKOUT / "example_dags").glob("*.py"),
]

#: ``flow_id=568101``, ``"portable_workflow_id": 568201``, ``"flow_id": "InvoicesRead0001"`` and the like.
ID = re.compile(r"""\b\w*?(flow|workflow|project)_ids?["']?\]?\s*[=:]\s*\[?["']?(\w+)\b(?![(.])""")
#: Ids in the text of a service are numbers, 21 or 16 characters.
LOOKS_LIKE_ID = re.compile(r"\d+|\w{21}|\w{16}")


def find_ids(text: str) -> set[tuple[str, str]]:
    """Return kind and id of each flow, workflow and project that a text names."""
    return {(kind, value) for kind, value in ID.findall(text) if LOOKS_LIKE_ID.fullmatch(value)}


NAMED = sorted(
    (path.relative_to(CHECKOUT).as_posix(), kind, value) for path in SHOWN for kind, value in find_ids(path.read_text())
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        SCENARIOS[DEFAULT_SCENARIO].seed(sandbox)
        yield sandbox


def exists(sandbox: Sandbox, kind: str, value: str) -> bool:
    """Ask the sandbox for a flow, a workflow or a project."""
    if kind == "project":
        return value == ACTIVEPIECES_PROJECT_ID
    portable, activepieces, tableflow = sandbox.services
    service, path = (
        (portable, f"/v2/{kind}s/{value}/status")
        if value.isdecimal()
        else (activepieces, f"/api/v1/flows/{value}")
        if len(value) == 21
        else (tableflow, f"/v2/flows/{value}/runs")
    )
    headers = {"Authorization": f"Bearer {service.token}"}
    return requests.get(f"{service.url}{path}", headers=headers, timeout=10).status_code == 200


@pytest.mark.parametrize(("page", "kind", "value"), NAMED)
def test_the_sandbox_has_it(sandbox, page, kind, value):
    assert exists(sandbox, kind, value), f"{page} names the {kind} {value}, which the sandbox does not have"


@pytest.mark.parametrize(
    ("kind", "value"), [("flow", "568971"), ("workflow", "568101"), ("flow", "x" * 21), ("flow", "x" * 16)]
)
def test_the_sandbox_denies_what_it_does_not_have(sandbox, kind, value):
    assert not exists(sandbox, kind, value)


def test_ids_are_found_in_every_way_to_write_them():
    text = """
    flow_id=568101, "portable_workflow_id": 568201, params={"flow_id": "InvoicesRead0001"}
    flow_id="{{ params.flow_id }}"
    "project_id": "SandboxProject0000001", flow_id = 7, flow_id=flow.flow_id, alarm_flow_id="ApprovalPausing000001"
    """
    assert find_ids(text) == {
        ("flow", "568101"),
        ("workflow", "568201"),
        ("flow", "InvoicesRead0001"),
        ("project", "SandboxProject0000001"),
        ("flow", "7"),
        ("flow", "ApprovalPausing000001"),
    }


def test_the_readme_and_pages_name_some():
    pages = {page for page, _, _ in NAMED}
    assert {"README.md", "docs/summary.md", "example_dags/three_services.py"} <= pages


def test_the_sandbox_prints_the_dag_of_the_readme():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert [block for block in blocks if "with DAG(" in block] == [READY_DAG]


def test_the_page_on_testing_lists_the_scenarios():
    page = (CHECKOUT / "docs/testing.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE)
    assert rows == [(name, scenario.description) for name, scenario in SCENARIOS.items()]
    assert f"port {DEFAULT_PORT} of 127.0.0.1" in page
