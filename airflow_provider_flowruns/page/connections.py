"""The connections of this package's types that an api-server can know of."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from airflow_provider_flowruns.services.registry import list_service_names

_ENV_PREFIX = "AIRFLOW_CONN_"


class NamedConnection(NamedTuple):
    """A connection that may be read.

    :param conn_id: its id.
    :param service: its type, the registry name of the service.
    """

    conn_id: str
    service: str


def list_connections() -> list[NamedConnection]:
    """Return the connections in Airflow's database and in this process's environment, by their ids.

    Those of a secrets backend cannot be listed.
    """
    services = list_service_names()
    found = {**_read_stored(services), **dict(_read_environment(os.environ))}
    return sorted(NamedConnection(conn_id, service) for conn_id, service in found.items() if service in services)


def _read_stored(services: tuple[str, ...]) -> dict[str, str]:
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select

    query = select(Connection.conn_id, Connection.conn_type).where(Connection.conn_type.in_(services))
    with create_session() as session:
        return {str(conn_id): str(kind) for conn_id, kind in session.execute(query)}


def _read_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in environment.items():
        if name.startswith(_ENV_PREFIX):
            yield name.removeprefix(_ENV_PREFIX).lower(), _parse_type(value)


def _parse_type(value: str) -> str:
    """Return the type in a connection's JSON or URI, empty if there is none."""
    if not value.lstrip().startswith("{"):
        return value.partition(":")[0].strip().replace("-", "_")
    try:
        kind = json.loads(value).get("conn_type")
    except (ValueError, RecursionError):
        return ""
    return str(kind or "").replace("-", "_")
