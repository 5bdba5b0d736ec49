"""Turn an Airflow connection into settings, and errors on the way into errors of this package."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_flowruns.client.settings import Settings, parse_settings
from airflow_provider_flowruns.model.errors import ConfigurationError, FlowRunsError, RequestNotSentError
from airflow_provider_flowruns.services.registry import get_service


@contextmanager
def translate_errors(service: str, conn_id: str) -> Generator[None]:
    """Translate what Airflow raises while it reads a connection within the block into this package's errors.

    :param service: registry name of the service.
    :param conn_id: the connection's id.
    :raises ConfigurationError: there is no such connection here, or Airflow cannot parse it.
    :raises RequestNotSentError: Airflow could not provide it at the moment.
    """
    try:
        yield
    except FlowRunsError:
        raise
    except AirflowNotFoundException:
        # If Airflow cannot parse a connection, it mostly reports that there is none.
        raise ConfigurationError(
            f"connection {conn_id!r} is not defined for this process, or not in a form that Airflow can read"
        ) from None
    except ValueError:
        # Its message may show a part of the connection.
        raise ConfigurationError(
            f"connection {conn_id!r} cannot be read by Airflow: check the form of its JSON or URI, and its port"
        ) from None
    except Exception as error:
        title = get_service(service).info.title
        message = f"Airflow could not read connection {conn_id!r}: {type(error).__name__}"
        raise RequestNotSentError(title, "GET", "(connection)", None, message) from error


def prepare_extra(conn_id: str, connection: Any) -> None:
    """Check that a connection's extra is empty or a JSON object, and store an object as the text that Airflow expects.

    Airflow treats invalid JSON as empty. In a task it keeps an object from a secrets backend's file as it is, although
    it reads text only.

    :param conn_id: the connection's id.
    :param connection: the Airflow connection; its extra is set if it is an object.
    :raises ConfigurationError: the extra is something else.
    """
    extra = connection.extra
    if isinstance(extra, Mapping):
        connection.extra = json.dumps(extra)
    elif extra and str(extra).strip() and not _is_json_object(extra):
        raise ConfigurationError(f'connection {conn_id!r}: extra must be a JSON object, such as {{"timeout": 30}}')


def _is_json_object(text: Any) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (TypeError, ValueError, RecursionError):
        return False


def parse_connection(service: str, conn_id: str, connection: Any, extra: dict[str, Any]) -> Settings:
    """Check a connection's fields and return them as settings.

    :param service: registry name of the service.
    :param conn_id: the connection's id.
    :param connection: the Airflow connection.
    :param extra: its extra, as Airflow reads it.
    :raises ConfigurationError: a field is missing or invalid.
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
