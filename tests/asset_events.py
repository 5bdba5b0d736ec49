"""Access to the asset events of a task, with the names of each Airflow version."""

from __future__ import annotations

from typing import Any

try:
    from airflow.sdk.execution_time.context import OutletEventAccessors
except ImportError:  # Airflow 2, where assets are datasets
    from airflow.utils.context import OutletEventAccessors

__all__ = ["OutletEventAccessors", "alias_events"]


def alias_events(accessor: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the events of an asset alias as pairs of URI and extra."""
    if hasattr(accessor, "dataset_alias_events"):
        return [(event["dest_dataset_uri"], event["extra"]) for event in accessor.dataset_alias_events]
    return [(event.dest_asset_key.uri, event.extra) for event in accessor.asset_alias_events]
