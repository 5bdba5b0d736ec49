"""An Airflow connection, read without blocking the event loop."""

from __future__ import annotations

from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_flowruns.client.settings import Settings, settings_from
from airflow_provider_flowruns.services.errors import ConfigurationError, ConnectionFailed
from airflow_provider_flowruns.services.registry import SERVICES


async def async_settings(service: str, conn_id: str) -> Settings:
    """
    Read a connection and return it as a client needs it.

    :param service: registry name of the service.
    :param conn_id: the connection's id.
    :raises ConfigurationError: there is no such connection here, or it cannot be used.
    :raises ConnectionFailed: Airflow could not be asked for it just now.
    """
    try:
        connection = await get_async_connection(conn_id)
        extra = await get_async_extra_dejson(connection)
    except AirflowNotFoundException:
        raise ConfigurationError(f"connection {conn_id!r} is not defined where the triggerer can read it") from None
    except Exception as error:
        title = SERVICES[service].info.title
        said = f"Airflow could not read connection {conn_id!r}: {type(error).__name__}"
        raise ConnectionFailed(title, "GET", "(connection)", None, said) from error
    return settings_from(
        service,
        conn_id,
        host=connection.host,
        schema=connection.schema,
        port=connection.port,
        password=connection.password,
        extra=extra,
    )
