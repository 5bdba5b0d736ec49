"""Outlets of every kind, and contexts without asset events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle, ResourceCounts, RunSummary
from airflow_provider_flowruns.tasks.outlets import EXTRA_FIELDS, emit_asset_events
from tests.asset_events import OutletEventAccessors, alias_events

TABLE, FLOWS = Asset("s3://bucket/table"), AssetAlias("flows")


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
            "resources": (ResourceCounts("contacts", 3, 3, 2),),
            **fields,
        }
    ).summary()


@pytest.fixture
def events() -> OutletEventAccessors:
    return OutletEventAccessors()


def test_an_event_has_all_fields_whether_or_not_they_are_known(events) -> None:
    emit_asset_events([TABLE], run(), {"outlet_events": events})
    assert {*events[TABLE].extra} == {*EXTRA_FIELDS}
    assert events[TABLE].extra["rows"] == {"extracted": 3, "analyzed": 3, "loaded": 2}
    assert events[TABLE].extra["completed_at"] is None
    assert json.loads(json.dumps(events[TABLE].extra)) == events[TABLE].extra


def test_what_the_dag_author_has_put_there_stays(events) -> None:
    events[TABLE].extra["mine"] = 1
    emit_asset_events([TABLE], run(), {"outlet_events": events})
    assert events[TABLE].extra["mine"] == 1
    assert events[TABLE].extra["run_id"] == "7"


def test_an_alias_gets_an_event_of_the_flow(events) -> None:
    emit_asset_events([FLOWS], run(), {"outlet_events": events})
    [(uri, extra)] = alias_events(events[FLOWS])
    assert uri == "flowruns://portable/5"
    rows = json.loads(extra["rows"]) if isinstance(extra["rows"], str) else extra["rows"]
    assert {**extra, "rows": rows} == {name: value for name, value in run().items() if name in EXTRA_FIELDS}


def test_an_alias_gets_none_of_a_run_whose_flow_is_unknown(events) -> None:
    emit_asset_events([FLOWS], run(flow_id=None), {"outlet_events": events})
    assert alias_events(events[FLOWS]) == []


@pytest.mark.parametrize("outlet", ["text", object(), {"uri": "s3://bucket"}, None])
def test_an_outlet_that_is_no_asset_is_left_alone(outlet, events) -> None:
    emit_asset_events([outlet, TABLE], run(), {"outlet_events": events})
    assert events[TABLE].extra["run_id"] == "7"
    assert len(events) == 1


def test_a_context_without_events_is_none_to_fail_in() -> None:
    emit_asset_events([TABLE, FLOWS], run(), {})
