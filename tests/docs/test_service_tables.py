"""The tables of the docs say what the services' entries say."""

from pathlib import Path

import pytest

from airflow_provider_flowruns.services.catalog import CATALOG
from airflow_provider_flowruns.services.info import COMMON_FIELDS, NumberField, ServiceInfo

DOCS = Path(__file__).resolve().parents[2] / "docs"

#: Rows of the table of capabilities.
CAPABILITIES = {
    "a run can be cancelled": "can_cancel",
    "a run may pause until someone continues it": "can_pause",
    "the response to a start names the run": "names_its_runs",
    "a start takes a JSON payload": "takes_payload",
    "a start takes files": "takes_files",
    "flows are started by webhooks": "has_webhooks",
    "several runs can be read by id in one request": "batches_by_id",
}

by_service = pytest.mark.parametrize("info", CATALOG, ids=lambda info: info.name)


def read_rows(page: str) -> list[list[str]]:
    """Return the cells of all rows of a page's tables."""
    lines = (DOCS / page).read_text().splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]


def read_fields(page: str) -> dict[str, list[str]]:
    """Return the rows of a page's table of fields, by the first cell of each."""
    rows = read_rows(page)
    start = next(number for number, row in enumerate(rows) if row[0] == "Field") + 2
    end = next((number for number, row in enumerate(rows) if number > start and row[0].startswith("---")), None)
    # The row before a line of dashes is the header of the next table.
    return {first: others for first, *others in rows[start : None if end is None else end - 1]}


def test_the_table_of_capabilities_says_what_the_entries_say() -> None:
    found = {label: cells for label, *cells in read_rows("which.md") if label in CAPABILITIES}
    expected = {
        label: ["yes" if getattr(info, name) else "" for info in CATALOG] for label, name in CAPABILITIES.items()
    }
    assert found == expected
    assert [*found] == [*CAPABILITIES]


def test_no_capability_is_missing_from_the_table() -> None:
    flags = {name for name, value in ServiceInfo.__annotations__.items() if value == "bool"}
    assert {*CAPABILITIES.values()} == flags


@by_service
def test_the_page_of_a_service_lists_the_fields_of_its_form(info) -> None:
    rows = read_fields(f"services/{info.name}.md")
    standard = ["API token (password)", "Base URL (host)"]
    assert sorted(rows) == sorted([*standard, *(field.label for field in info.fields)])


@by_service
def test_the_page_of_a_service_says_its_defaults(info) -> None:
    text = (DOCS / f"services/{info.name}.md").read_text()
    assert f"Connection type `{info.name}`, default id `{info.default_conn_id}`." in text
    rows = read_fields(f"services/{info.name}.md")
    numbers = [field for field in info.fields if isinstance(field, NumberField)]
    assert numbers
    for field in numbers:
        assert f"default {field.default:g}" in rows[field.label][0]


def test_the_page_about_connections_lists_the_common_fields_with_their_bounds() -> None:
    rows = read_fields("connections.md")
    assert {field.label for field in COMMON_FIELDS} <= {*rows}
    for field in COMMON_FIELDS:
        name, value = rows[field.label]
        assert name == f"`{field.name}` in `extra`"
        if isinstance(field, NumberField):
            assert f"above 0 and at most {field.maximum:g}, default {field.default:g}" in value
