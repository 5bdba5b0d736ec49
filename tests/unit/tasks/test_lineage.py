"""Lineage of a run: the facets, and that the ones of our own keep to the schema they name."""

from __future__ import annotations

import copy
import json
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from airflow.providers.openlineage.utils.utils import OpenLineageRedactor
from openlineage.client.serde import Serde

from airflow_provider_flowruns import __version__
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle, ResourceCounts, RunSummary
from airflow_provider_flowruns.tasks.lineage import RUN_FACET, build_lineage
from airflow_provider_flowruns.tasks.lineage_facet import SCHEMA_FILE

SCHEMA = json.loads((files("airflow_provider_flowruns") / SCHEMA_FILE).read_text())


def run(**fields: Any) -> RunSummary:
    return FlowRun(
        **{
            "service": "portable",
            "kind": Kind.RUN,
            "run_id": "7",
            "flow_id": "5",
            "lifecycle": Lifecycle.NOT_RUNNING,
            "disposition": Disposition.SUCCEEDED,
            "vendor_status": "SUCCEEDED",
            "url": "https://app.portable.io/",
            **fields,
        }
    ).summary()


def sent(facet: Any) -> dict[str, Any]:
    """Return a facet as it is sent."""
    return json.loads(Serde.to_json(facet))


def test_each_resource_is_an_output_with_its_rows() -> None:
    resources = (ResourceCounts("contacts", 9, 8, 7), ResourceCounts("orders", 3, 2, 0))
    outputs = build_lineage(run(resources=resources)).outputs
    assert [(one.namespace, one.name) for one in outputs] == [
        ("portable://app.portable.io", "5.contacts"),
        ("portable://app.portable.io", "5.orders"),
    ]
    assert [one.outputFacets["outputStatistics"].rowCount for one in outputs] == [7, 0]


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({}, "portable://app.portable.io"),
        (
            {"service": "activepieces", "url": "http://flows.example.com:8080/projects/p/runs/7"},
            "activepieces://flows.example.com:8080",
        ),
        ({"service": "activepieces", "url": None}, "activepieces"),
    ],
)
def test_the_run_is_named_with_where_it_ran(fields, source) -> None:
    facet = build_lineage(run(**fields)).run_facets["externalQuery"]
    assert (facet.externalQueryId, facet.source) == ("7", source)


def test_a_run_without_an_id_is_not_named_but_described() -> None:
    facets = build_lineage(run(run_id=None)).run_facets
    assert {*facets} == {RUN_FACET}


def test_errors_are_reported_in_the_services_own_words() -> None:
    facets = build_lineage(run(disposition=Disposition.FAILED, errors=("no such column", "stopped"))).run_facets
    assert facets["errorMessage"].message == "no such column\nstopped"
    assert sent(facets[RUN_FACET])["errors"] == ["no such column", "stopped"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"run_id": None, "flow_id": None, "url": None},
        {"resources": (ResourceCounts("contacts", 9, 8, 7),), "attempt": 2, "trigger": "API"},
        {"lifecycle": Lifecycle.UNKNOWN, "disposition": Disposition.NONE},
    ],
)
def test_our_own_facet_keeps_to_its_schema(fields) -> None:
    facet = sent(build_lineage(run(**fields)).run_facets[RUN_FACET])
    required = {"_producer", "_schemaURL", "service", "lifecycle", "disposition"}
    assert required <= {*facet}
    jsonschema.Draft202012Validator(SCHEMA).validate(facet)
    assert facet["_schemaURL"].endswith(f"/v{__version__}/airflow_provider_flowruns/{SCHEMA_FILE}")


def test_the_schema_describes_every_field_of_the_facet_and_no_other() -> None:
    facet = build_lineage(run()).run_facets[RUN_FACET]
    fields = {field.name for field in type(facet).__attrs_attrs__}
    assert fields == {*SCHEMA["properties"]}
    assert jsonschema.Draft202012Validator.check_schema(SCHEMA) is None


def test_airflow_can_copy_and_redact_it() -> None:
    facet = build_lineage(run(errors=("bad",))).run_facets[RUN_FACET]
    assert sent(copy.deepcopy(facet)) == sent(facet)
    assert sent(OpenLineageRedactor.from_masker(OpenLineageRedactor()).redact(facet, max_depth=20)) == sent(facet)


WITHOUT_OPENLINEAGE = """
import sys
import airflow_provider_flowruns.tasks.lineage
print([name for name in sys.modules if "openlineage" in name])
"""


def test_importing_it_loads_no_openlineage() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_OPENLINEAGE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
