"""The hook for a connection, whichever of our types it has."""

from __future__ import annotations

import logging
from typing import Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_flowruns.cli.errors import CommandError
from airflow_provider_flowruns.compat.command_line import use_metadata_database
from airflow_provider_flowruns.hooks.base import FlowRunsHook, create_hook
from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.services.registry import get_service, list_service_names


def open_hook(conn_id: str) -> FlowRunsHook[Any]:
    """Return the hook for a connection, which Airflow looks up in environment, secrets backends and database.

    :param conn_id: the connection's id.
    :raises CommandError: there is no such connection, or it has another type.
    """
    use_metadata_database()
    kind = _read_type(conn_id)
    try:
        info = get_service(kind).info
    except InvalidArgumentError:
        raise CommandError(
            f"connection {conn_id!r} has the type {kind!r}; its type must be one of {', '.join(list_service_names())}"
        ) from None
    hook: FlowRunsHook[Any] = create_hook(info, conn_id)
    return hook


def _read_type(conn_id: str) -> str:
    logging.disable()  # Airflow would log whole tracebacks of what is one line here
    try:
        return str(BaseHook.get_connection(conn_id).conn_type)
    except AirflowNotFoundException:
        raise CommandError(
            f"connection {conn_id!r} is not defined here, or not in a form that Airflow can read: 'airflow connections "
            f"list' shows those in the database, AIRFLOW_CONN_{conn_id.upper()} defines it for one process"
        ) from None
    except Exception as error:  # its text may show a part of the connection
        raise CommandError(
            f"Airflow could not read connection {conn_id!r} ({type(error).__name__}): check the form of its JSON or URI"
        ) from None
    finally:
        logging.disable(logging.NOTSET)
