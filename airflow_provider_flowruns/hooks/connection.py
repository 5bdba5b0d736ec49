"""An Airflow connection as a client needs it; what goes wrong on the way is an error of this package."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_flowruns.client.settings import Settings, parse_settings
from airflow_provider_flowruns.model.errors import ConfigurationError, FlowRunsError, RequestNotSentError
from airflow_provider_flowruns.services.registry import get_service


@contextmanager
def reading_connection(service: str, conn_id: str) -> Generator[None]:
    """Turn what Airflow raises within the block, when it is asked for a connection, into this package's errors.

    :param service: registry name of the service.
    :param conn_id: the connection's id.
    :raises ConfigurationError: there is no such connection here, or it is not in the form that Airflow reads.
    :raises RequestNotSentError: Airflow could not be asked for it just now.
    """
    try:
        yield
    except FlowRunsError:
        raise
    except AirflowNotFoundException:
        # Where Airflow cannot make sense of a connection, it mostly says that there is none.
        raise ConfigurationError(
            f"connection {conn_id!r} is not defined where this process looks for it, or not as Airflow reads it"
        ) from None
    except ValueError:
        # What it says may show a part of the connection.
        raise ConfigurationError(
            f"connection {conn_id!r} cannot be read by Airflow: check the form of its JSON or URI, and its port"
        ) from None
    except Exception as error:
        title = get_service(service).info.title
        said = f"Airflow could not read connection {conn_id!r}: {type(error).__name__}"
        raise RequestNotSentError(title, "GET", "(connection)", None, said) from error


def check_extra(conn_id: str, extra: Any) -> None:
    """Check that a connection's extra is empty or a JSON object; Airflow takes broken JSON for an empty one.

    :param conn_id: the connection's id.
    :param extra: the extra as it is stored.
    :raises ConfigurationError: it is something else.
    """
    if extra is None or not str(extra).strip():
        return
    try:
        is_object = isinstance(json.loads(extra), dict)
    except (TypeError, ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise ConfigurationError(f'connection {conn_id!r}: extra must be a JSON object, such as {{"timeout": 30}}')


def connection_settings(service: str, conn_id: str, connection: Any, extra: dict[str, Any]) -> Settings:
    """Check a connection's fields and return them as settings.

    :param service: registry name of the service.
    :param conn_id: the connection's id.
    :param connection: the Airflow connection.
    :param extra: its extra, as Airflow reads it.
    :raises ConfigurationError: a field is missing or cannot be right.
    """
    return parse_settings(
        service,
        conn_id,
        host=connection.host,
        schema=connection.schema,
        port=connection.port,
        login=connection.login,
        password=connection.password,
        extra=extra,
    )
