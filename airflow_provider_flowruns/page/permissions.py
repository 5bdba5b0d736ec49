"""What a user of Airflow may see of the page, as Airflow's own auth manager decides."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import ConnectionDetails, DagAccessEntity
from airflow.models.connection import Connection
from airflow.providers.common.compat.sdk import conf


def may_read_connection(user: Any, conn_id: str) -> bool:
    """Return whether a user may read a connection.

    :param user: the user who is logged in.
    :param conn_id: id of the connection.
    """
    has_teams = conf.getboolean("core", "multi_team", fallback=False)
    details = ConnectionDetails(conn_id=conn_id, team_name=Connection.get_team_name(conn_id) if has_teams else None)
    return bool(get_auth_manager().is_authorized_connection(method="GET", details=details, user=user))


def list_readable_dags(user: Any) -> set[str]:
    """Return the ids of the DAGs whose task instances a user may read.

    :param user: the user who is logged in.
    """
    manager = get_auth_manager()
    if not manager.is_authorized_dag(method="GET", access_entity=DagAccessEntity.TASK_INSTANCE, user=user):
        return set()
    return set(manager.get_authorized_dag_ids(user=user, method="GET"))
