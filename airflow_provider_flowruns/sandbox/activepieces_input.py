"""Parse requests as Activepieces does, and reject invalid ones with its error messages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from aiohttp import web

from airflow_provider_flowruns.sandbox.cursor_paging import raise_server_error
from airflow_provider_flowruns.sandbox.request_recorder import get_request_recorder
from airflow_provider_flowruns.sandbox.responses import ApiError

ID_PATTERN = re.compile(r"[0-9a-zA-Z]{21}")
DEFAULT_LIMIT = 10
INVALID_ID_MESSAGE = f"Invalid string: must match pattern /^{ID_PATTERN.pattern}$/"


def build_invalid_option_message(options: Sequence[str]) -> str:
    """Return the error message for a value that is none of these options."""
    return "Invalid option: expected one of " + "|".join(f'"{option}"' for option in options)


def raise_bad_request(message: str, code: str = "FST_ERR_VALIDATION") -> NoReturn:
    """Raise a 400 in the format of the server's framework.

    :param message: the error message.
    :param code: the server's error code.
    """
    raise ApiError(400, {"statusCode": 400, "code": code, "error": "Bad Request", "message": message})


def raise_not_found(entity_type: str, entity_id: str) -> NoReturn:
    """Raise a 404 because the ``flow``, ``flow_run`` or ``project`` does not exist.

    :param entity_type: type of the missing entity.
    :param entity_id: its id.
    """
    raise ApiError(404, {"code": "ENTITY_NOT_FOUND", "params": {"entityId": entity_id, "entityType": entity_type}})


def parse_path_id(request: web.Request, name: str) -> str:
    """Return an id from the path, and reject a malformed one."""
    value = request.match_info[name]
    if not ID_PATTERN.fullmatch(value):
        raise_bad_request(f"params/{'flowId' if name == 'flow_id' else name} {INVALID_ID_MESSAGE}")
    return value


def parse_query_id(request: web.Request, name: str) -> str:
    """Return a required id from the query string."""
    if (value := request.query.get(name)) is None:
        raise_bad_request(f"querystring/{name} Invalid input: expected string, received undefined")
    return value


def parse_body_id(body: Mapping[str, Any], name: str) -> str:
    """Return a required id from the body.

    :param body: the JSON body.
    :param name: name of the field.
    """
    if not isinstance(value := body.get(name), str):
        raise_bad_request(f"body/{name} Invalid input: expected string, received undefined")
    return value


def parse_body_ids(body: Mapping[str, Any], name: str) -> set[str]:
    """Return an optional list of ids from the body; the set is empty if the list is empty or missing.

    :param body: the JSON body.
    :param name: name of the field.
    """
    value = body.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise_bad_request(f"body/{name} Invalid input: expected array of strings")
    return set(value)


def list_query_values(request: web.Request, name: str) -> list[str]:
    """Return all values of a repeatable parameter, written with or without brackets."""
    return [value for key in (name, f"{name}[]") for value in request.query.getall(key, [])]


def parse_query_values(request: web.Request, name: str, is_valid: Callable[[str], object], message: str) -> list[str]:
    """Return all values of a repeatable parameter, and reject invalid ones.

    :param request: the request.
    :param name: name of the parameter.
    :param is_valid: returns a truthy value for a valid value.
    :param message: error message for an invalid value.
    """
    values = list_query_values(request, name)
    for number, value in enumerate(values):
        if not is_valid(value):
            raise_bad_request(f"querystring/{name}/{number} {message}")
    return values


def parse_limit(request: web.Request) -> int:
    """Return the page size of a list."""
    try:
        return int(request.query.get("limit", DEFAULT_LIMIT))
    except ValueError:
        raise_bad_request("querystring/limit Invalid input: expected number, received NaN")


def parse_query_time(request: web.Request, name: str) -> float | None:
    """Return an optional time in epoch seconds. An invalid one is a database error, and thus a 500."""
    if (text := request.query.get(name)) is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise_server_error(f'invalid input syntax for type timestamp with time zone: "{text}"', "22007")
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def parse_json_body() -> dict[str, Any]:
    """Return the current request's body, which must be a JSON object."""
    try:
        body = json.loads(get_request_recorder().body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise_bad_request("body Invalid input: expected object")
    return body


def build_trigger_output(request: web.Request) -> dict[str, Any]:
    """Return what a run stores about the webhook request. As on the real server, this includes secret headers."""
    raw = get_request_recorder().body.decode("utf-8", "replace")
    return {
        "method": request.method,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "body": _parse_webhook_body(request, raw),
        "queryParams": dict(request.query),
        "rawBody": raw,
    }


def _parse_webhook_body(request: web.Request, raw: str) -> Any:
    if not raw:
        return {}
    if request.content_type != "application/json":
        return raw
    try:
        return json.loads(raw)
    except ValueError:
        raise_bad_request("Body is not valid JSON", "FST_ERR_CTP_INVALID_JSON_BODY")
