"""Asset events of a task's outlets, with the run that they are about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_flowruns.compat.versions import ASSET_REFERENCES, build_alias_extra
from airflow_provider_flowruns.model.runs import RunSummary

#: Fields of the run's summary that an event's ``extra`` always has.
EXTRA_FIELDS = ("service", "flow_id", "run_id", "url", "disposition", "rows", "started_at", "completed_at")


def emit_asset_events(outlets: Iterable[Any], run: RunSummary, context: Any) -> None:
    """Put the run into the ``extra`` of the events that Airflow emits for a task's outlets when the task succeeds.

    An alias gets an event of the flow's own asset, ``flowruns://<service>/<flow id>``; its ``rows`` are JSON text below
    Airflow 3.1. Outlets that are not assets are ignored.

    :param outlets: the task's outlets.
    :param run: the run's summary.
    :param context: the task's context.
    """
    events = context.get("outlet_events")
    if events is None:
        return
    extra = {name: value for name, value in run.items() if name in EXTRA_FIELDS}
    for outlet in outlets:
        if isinstance(outlet, AssetAlias):
            if run["flow_id"]:
                flow = Asset(f"flowruns://{run['service']}/{run['flow_id']}")
                events[outlet].add(flow, extra=build_alias_extra(extra))
        elif isinstance(outlet, (Asset, *ASSET_REFERENCES)):
            events[outlet].extra.update(extra)
