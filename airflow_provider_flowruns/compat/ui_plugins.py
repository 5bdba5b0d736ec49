"""What a plugin can add to Airflow's UI."""

from __future__ import annotations

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS


def can_add_pages() -> bool:
    """Return whether a plugin can add a page with a menu entry of its own; Airflow 3.1 brought the entry."""
    return AIRFLOW_V_3_1_PLUS
