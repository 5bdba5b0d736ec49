"""An Airflow connection, read without blocking the event loop."""

from __future__ import annotations

from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

from airflow_provider_flowruns.client.settings import Settings
from airflow_provider_flowruns.hooks.connection import parse_connection, prepare_extra, translate_errors


async def async_settings(service: str, conn_id: str) -> Settings:
    """Read a connection and return it as a client needs it.

    :param service: registry name of the service.
    :param conn_id: the connection's id.
    :raises ConfigurationError: there is no such connection here, or it cannot be used.
    :raises ServiceConnectionError: Airflow could not be asked for it just now.
    """
    with translate_errors(service, conn_id):
        connection = await get_async_connection(conn_id)
        prepare_extra(conn_id, connection)
        extra = await get_async_extra_dejson(connection)
    return parse_connection(service, conn_id, connection, extra)
