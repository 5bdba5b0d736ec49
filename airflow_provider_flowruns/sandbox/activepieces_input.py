"""How Activepieces reads a request, and how it words what it cannot read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from aiohttp import web

from airflow_provider_flowruns.sandbox.answers import Refused
from airflow_provider_flowruns.sandbox.exchange import current_exchange
from airflow_provider_flowruns.sandbox.seek import server_error

ID_PATTERN = re.compile(r"[0-9a-zA-Z]{21}")
DEFAULT_LIMIT = 10
ID_PROBLEM = f"Invalid string: must match pattern /^{ID_PATTERN.pattern}$/"


def one_of(words: Sequence[str]) -> str:
    """Word what is wrong with a value that is none of these."""
    return "Invalid option: expected one of " + "|".join(f'"{word}"' for word in words)


def invalid(message: str, code: str = "FST_ERR_VALIDATION") -> NoReturn:
    """Refuse with a 400 as the server's framework words it.

    :param message: the server's words.
    :param code: the server's code.
    """
    raise Refused(400, {"statusCode": 400, "code": code, "error": "Bad Request", "message": message})


def no_entity(kind: str, entity_id: str) -> NoReturn:
    """Refuse with a 404 because there is no such ``flow``, ``flow_run`` or ``project``.

    :param kind: what was looked for.
    :param entity_id: its id.
    """
    raise Refused(404, {"code": "ENTITY_NOT_FOUND", "params": {"entityId": entity_id, "entityType": kind}})


def path_id(request: web.Request, name: str) -> str:
    """Read an id from the path; refuse one of another form than ids have."""
    value = request.match_info[name]
    if not ID_PATTERN.fullmatch(value):
        invalid(f"params/{'flowId' if name == 'flow_id' else name} {ID_PROBLEM}")
    return value


def query_id(request: web.Request, name: str) -> str:
    """Read an id that the query must have."""
    if (value := request.query.get(name)) is None:
        invalid(f"querystring/{name} Invalid input: expected string, received undefined")
    return value


def body_id(body: Mapping[str, Any], name: str) -> str:
    """Read an id that the body must have.

    :param body: the request's body, read as JSON.
    :param name: the field's name.
    """
    if not isinstance(value := body.get(name), str):
        invalid(f"body/{name} Invalid input: expected string, received undefined")
    return value


def body_ids(body: Mapping[str, Any], name: str) -> set[str]:
    """Read a list of ids that the body may have; without it, or with an empty one, the set is empty.

    :param body: the request's body, read as JSON.
    :param name: the field's name.
    """
    value = body.get(name) or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        invalid(f"body/{name} Invalid input: expected array of strings")
    return set(value)


def query_values(request: web.Request, name: str) -> list[str]:
    """List the values of a key that may be repeated, with or without brackets."""
    return [value for key in (name, f"{name}[]") for value in request.query.getall(key, [])]


def checked_values(request: web.Request, name: str, accepts: Callable[[str], object], problem: str) -> list[str]:
    """List the values of a key that may be repeated, and refuse them if one is not accepted.

    :param request: the request.
    :param name: the key.
    :param accepts: gives something true for a good value.
    :param problem: words what is wrong with another one.
    """
    values = query_values(request, name)
    for number, value in enumerate(values):
        if not accepts(value):
            invalid(f"querystring/{name}/{number} {problem}")
    return values


def page_limit(request: web.Request) -> int:
    """Read the limit of a list; see :func:`seek_page` for what odd ones mean."""
    text = request.query.get("limit")
    try:
        return DEFAULT_LIMIT if text is None else int(float(text or 0))
    except (ValueError, OverflowError):
        invalid("querystring/limit Invalid input: expected number, received NaN")


def query_moment(request: web.Request, name: str, now: float) -> float | None:
    """Read a time as the database does, which takes some words too and makes a 500 of the rest."""
    if (text := request.query.get(name)) is None:
        return None
    today = datetime.fromtimestamp(now, tz=UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = {"yesterday": -1, "today": 0, "tomorrow": 1}
    if text in days:
        return (today + timedelta(days=days[text])).timestamp()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        server_error(f'invalid input syntax for type timestamp with time zone: "{text}"', "22007")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def json_body(request: web.Request) -> dict[str, Any]:
    """Read the body, which has to be a JSON object."""
    try:
        body = json.loads(current_exchange().payload)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        invalid("body Invalid input: expected object")
    return body


def trigger_output(request: web.Request) -> dict[str, Any]:
    """Keep what a webhook was called with: every header, secrets included, as the real server does."""
    payload = current_exchange().payload
    raw = payload.decode("utf-8", "replace")
    return {
        "method": request.method,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "body": _parsed(request, raw),
        "queryParams": dict(request.query),
        "rawBody": raw,
    }


def _parsed(request: web.Request, raw: str) -> Any:
    if not raw:
        return {}
    if request.content_type != "application/json":
        return raw
    try:
        return json.loads(raw)
    except ValueError:
        invalid("Body is not valid JSON", "FST_ERR_CTP_INVALID_JSON_BODY")
