"""Random answers to a request: documented ones that went wrong, and JSON of no make at all."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from random import Random
from typing import Any
from urllib.parse import quote

from airflow_provider_flowruns.model.calls import Request, Response
from tests.fuzz.documented import fitting, others

TOKEN = "sk-made-up+token/0123456789"
TOKEN_FORMS = (
    TOKEN,
    f"Bearer {TOKEN}",
    quote(TOKEN, safe=""),
    base64.b64encode(f"Bearer {TOKEN}".encode()).decode(),
    base64.urlsafe_b64encode(TOKEN.encode()).decode(),
)

WORDS = (
    *("PENDING", "RUNNING", "NOT_RUNNING", "SUCCEEDED", "FAILED", "NONE", "CANCELED", "STOPPED", "QUEUED", "PAUSED"),
    *("TIMEOUT", "INTERNAL_ERROR", "processing", "review", "completed", "failed", "succeeded", "not_running", "OK"),
    *("NOT\u2010RUNNING", "not running", "SUCCEEDED ", "\u017fucceeded", "SUCCEEDED\0", "SUCCEEDED\ud83d", "COMPLETE"),
)
TIMES = (
    *("2026-01-31T12:00:00Z", "2023\u201006\u201012T20:03:00Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z"),
    *("9999-12-31T23:59:59.999999-14:00", "2026-13-01", "soon", "nan", "2026-W05-6", "20260131"),
    *(0, -1, 1, 1e11, 1e12, -1e300, 1e300, 253402300799, 1769860800, 1769860800000, 2**63, True),
)
TEXTS = (
    *("", " ", "x", "\0", "\ud83d", "\ude00\ud83d", "cut \ud83d", "\U0001f600", "\x1f\x7f\u2028", "x" * 3_000, "None"),
    *('{"__apErrorVersion":1,"message":"cut \\ud83d"}', '{"__apErrorVersion":1,"message":"long', "{" * 50, "../../x"),
    *TOKEN_FORMS,
)
NUMBERS = (0, 1, -1, 1.5, 2**53, 2**64, 10**40, 10**300, -(10**40), float("nan"), float("inf"), float("-inf"), 1e308)
CONSTANTS: tuple[Any, ...] = (None, True, False, [], {}, [[]], [{}], {"": None}, {"data": {}}, {"data": []})
KEYS = (
    *("id", "data", "lifecycle", "disposition", "status", "completedAt", "createdAt", "resources", "details", "errors"),
    *("error", "message", "created", "finishTime", "updated", "failedStep", "flowId", "projectId", "flow_runs", "next"),
    *("pagination", "next_offset", "total", "created_at", "end_time", "current_attempt", "metadata", "steps", "flow"),
    *("trigger", "name", "title", "detail", "code", "params", "", "\0", "\ud83d", "__proto__", TOKEN),
)
STATUSES = (200, 201, 204, 299, 301, 304, 400, 401, 402, 403, 404, 408, 410, 418, 429, 500, 503, 599, 100, 700)
HEADER_TEXTS = ("application/json", "text/html", "application/problem+json", "\udcff", "\0", TOKEN, "7", "x" * 3_000)
HEADERS = ("content-type", "location", "retry-after", "date")

#: Put into the text of a body as they are: what no JSON value in Python comes to.
RAW = (
    *("9" * 5_000, "-" + "9" * 4_301, "1e999", "-0", "NaN", "0.1e-999999", "[" * 300 + "]" * 300),
    *("[" * 3_000 + "]" * 3_000, '{"a":' * 500 + "1" + "}" * 500, "[" * 50_000, '"\\ud83d"', '"\\u0000"', "tru"),
)


def answer(random: Random, request: Request) -> Response:
    """Return a random answer; two random generators with one seed make the same.

    :param random: the dice.
    :param request: the request to be answered.
    """
    status = 200 if random.random() < 0.9 else random.choice(STATUSES)
    headers = {name: random.choice(HEADER_TEXTS) for name in HEADERS if random.random() < 0.1}
    return Response(status, headers, _body(random, request))


def _body(random: Random, request: Request) -> bytes:
    kind = random.random()
    value = random.choice(fitting(request.method, request.path) if kind < 0.8 else others())
    if kind > 0.95:
        value = _tree(random, 4)
    for _ in range(random.choice((0, 1, 1, 1, 2, 2, 3, 5, 8))):
        value = _mutated(random, value)
    text = json.dumps(value, ensure_ascii=random.random() < 0.5)
    if random.random() < 0.03:
        text = _with_raw(random, text)
    body = text.encode("utf-8", "surrogatepass")
    return _damaged(random, body) if random.random() < 0.03 else body


def _with_raw(random: Random, text: str) -> str:
    """Put something in the place of a value."""
    begin = text.find(": ", random.randrange(len(text)))
    end = min((at for at in (text.find(one, begin + 2) for one in ",]}") if at > 0), default=len(text))
    return text if begin < 0 else f"{text[: begin + 2]}{random.choice(RAW)}{text[end:]}"


def _damaged(random: Random, body: bytes) -> bytes:
    at = random.randrange(len(body) + 1)
    kind = random.randrange(6)
    if kind == 0:
        return body[:at]
    if kind == 1:
        return body[:at] + bytes([random.randrange(256)]) + body[at:]
    if kind == 2:
        return b"\xef\xbb\xbf" + body
    if kind == 3:
        return body.decode("utf-8", "replace").encode(random.choice(("utf-16", "utf-32", "utf-16-le")))
    if kind == 4:
        return body.replace(b"e", b"\\u0065").replace(b"/", b"\\/")
    return random.choice((b"", b" ", b"\0", b"<html>", b"null", b"\xff\xfe", body + body))


def _mutated(random: Random, value: Any) -> Any:
    """Return the value with a change at one place; what is shared with others is left as it is."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice([*value])
        change = random.random()
        if change < 0.12:
            return {name: item for name, item in value.items() if name != key}
        if change < 0.2:
            return {**value, random.choice(KEYS): _leaf(random)}
        deeper = isinstance(value[key], dict | list) and random.random() < 0.8
        return {**value, key: _mutated(random, value[key]) if deeper else _leaf(random)}
    if isinstance(value, list) and value and random.random() < 0.9:
        at = random.randrange(len(value))
        change = random.random()
        if change < 0.1:
            return [*value[:at], *value[at + 1 :]]
        if change < 0.2:
            return [*value[:at], _leaf(random), *value[at:]]
        if change < 0.3:
            return random.sample(value, len(value)) if random.random() < 0.5 else value[::-1]
        if change < 0.35:
            return [*value, value[at]]
        return [*value[:at], _mutated(random, value[at]), *value[at + 1 :]]
    wrapped = random.random()
    if wrapped < 0.3:
        return {"data": value}
    return [value] if wrapped < 0.6 else _leaf(random)


def _leaf(random: Random) -> Any:
    kind = random.random()
    if kind < 0.3:
        return random.choice(WORDS)
    if kind < 0.45:
        return random.choice(TIMES)
    if kind < 0.65:
        return random.choice(TEXTS)
    if kind < 0.75:
        return random.choice(NUMBERS)
    return random.choice(CONSTANTS) if kind < 0.9 else _tree(random, 2)


def _tree(random: Random, depth: int) -> Any:
    if depth == 0 or random.random() < 0.3:
        return _leaf(random) if depth else random.choice(WORDS)
    size = random.randrange(4)
    if random.random() < 0.4:
        return [_tree(random, depth - 1) for _ in range(size)]
    return {random.choice(KEYS): _tree(random, depth - 1) for _ in range(size)}


def texts_in(value: Any) -> Iterator[str]:
    """Yield all texts of a JSON value, keys included, however deep it is."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            left += [*one, *one.values()]
        elif isinstance(one, list | tuple):
            left += one
        elif isinstance(one, str):
            yield one
