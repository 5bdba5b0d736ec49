"""Every field that the services document reaches a DAG, or is on the docs' list of those that do not.

``tests/fixtures/documented_fields`` has the fields of the five documented responses: the path of each, and its type, or
a value for one that has to be a certain word. A response with a recognizable value in each field is read, and each
value is looked for in the result.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests_mock

from airflow_provider_flowruns.operators.activepieces_outputs import ActivepiecesGetStepOutputOperator
from airflow_provider_flowruns.services.activepieces import ActivepiecesApi
from airflow_provider_flowruns.services.portable import PortableApi
from airflow_provider_flowruns.services.tableflow import TableFlowApi

ROOT = Path(__file__).parents[3]
FIXTURES = sorted((ROOT / "tests/fixtures/documented_fields").glob("*.json"))
PAGE = ROOT / "docs/summary.md"
BEGIN = datetime(2026, 1, 31, 12, tzinfo=UTC)

Fields = Mapping[str, str]


def load_fields(path: Path) -> Fields:
    fields: Fields = json.loads(path.read_text("utf-8"))["fields"]
    return fields


def make_value(kind: str, number: int) -> tuple[Any, str]:
    """Return a value that no other field has, and how a result shows it."""
    moment = BEGIN + timedelta(minutes=number)
    match kind:
        case "string":
            return f"text-{number}", f'"text-{number}"'
        case "id":
            return f"{'i' * 13}{number:08}", f"{'i' * 13}{number:08}"
        case "integer":
            return 70_000 + number, str(70_000 + number)
        case "milliseconds":
            return 30_000 + number, str(30 + number / 1_000)
        case "date-time":
            return moment.isoformat().replace("+00:00", "Z"), moment.isoformat()
        case "seconds":
            return moment.timestamp(), moment.isoformat()
        case "boolean":
            return True, ""
    return kind, kind


def put(record: dict[str, Any], path: str, value: Any) -> None:
    """Put a value into a record at a path such as ``data[].errors[]``."""
    place: Any = record
    *parents, last = path.replace("[]", ".[]").split(".")
    for name, following in pairwise([*parents, last]):
        empty: Any = [] if following == "[]" else {}
        if name != "[]":
            place = place.setdefault(name, empty)
            continue
        if not place:
            place.append(empty)
        place = place[0]
    if last == "[]":
        place.append(value)
    else:
        place[last] = value


def build_response(fields: Fields) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a response with all fields, and how a result shows each of them."""
    response: dict[str, Any] = {}
    shown: dict[str, str] = {}
    for number, (path, kind) in enumerate(fields.items(), 1):
        value, shown[path] = make_value(kind, number)
        put(response, path, value)
    return response, shown


def read(name: str, response: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a DAG gets of a response, as JSON."""
    service = name.partition("-")[0]
    if service == "portable":
        api = PortableApi()
        if "data" in response:
            page = api.get_run_attempts(response["data"][0]["flow"]).first.read(response)
            return json.dumps(page.items[0].summary())
        call = api.get_workflow_status if "workflow" in name else api.get_flow_status
        return json.dumps(call(response["id"]).read(response).summary())
    if service == "tableflow":
        return json.dumps(TableFlowApi().get_flow_run(response["id"]).read(response).summary())
    run = ActivepiecesApi().get_flow_run(response["id"]).read(response)
    return json.dumps([run.summary(), read_step_output(response, monkeypatch)])


def read_step_output(response: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    connection = {"conn_type": "activepieces", "password": "made-up"}
    monkeypatch.setenv("AIRFLOW_CONN_ACTIVEPIECES_DEFAULT", json.dumps(connection))
    with requests_mock.Mocker() as wire:
        wire.get(requests_mock.ANY, json=response)
        operator = ActivepiecesGetStepOutputOperator(task_id="read", run_id=response["id"], step="step_1")
        return operator.execute({})


def load_left_out(name: str) -> set[str]:
    """Return the fields of a service that the docs list as left out."""
    service = name.partition("-")[0]
    section = PAGE.read_text("utf-8").partition("## What is left out")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\w+) \| (.+?) \|", section, re.MULTILINE)
    return {field for title, cell in rows if title.lower() == service for field in re.findall(r"`(.+?)`", cell)}


def find_missing(name: str, fields: Fields, left_out: set[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the fields whose values are in no result and that are not listed as left out."""
    response, shown = build_response(fields)
    result = read(name, response, monkeypatch)
    missing = []
    for path, text in shown.items():
        if fields[path] == "boolean":
            put(response, path, False)
            is_shown = read(name, response, monkeypatch) != result
            put(response, path, True)
        else:
            is_shown = text in result
        if not is_shown and path not in left_out:
            missing.append(path)
    return missing


def test_all_documented_endpoints_are_here() -> None:
    endpoints = {json.loads(path.read_text("utf-8"))["endpoint"] for path in FIXTURES}
    assert len(endpoints) == 5


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_every_documented_field_reaches_a_dag(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_missing(path.stem, load_fields(path), load_left_out(path.stem), monkeypatch) == []


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
@pytest.mark.parametrize("kind", ["string", "integer", "boolean", "seconds"])
def test_a_field_that_is_nowhere_is_found(path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = load_fields(path)
    prefix = "data[]." if any(name.startswith("data[]") for name in fields) else ""
    changed = {**fields, f"{prefix}invented": kind}
    assert find_missing(path.stem, changed, load_left_out(path.stem), monkeypatch) == [f"{prefix}invented"]


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_what_is_listed_as_left_out_is_documented_and_not_shown(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields, left_out = load_fields(path), load_left_out(path.stem)
    assert left_out <= {*fields}
    assert {*find_missing(path.stem, fields, set(), monkeypatch)} == left_out
