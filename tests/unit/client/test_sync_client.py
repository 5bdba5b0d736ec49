"""What goes over the wire from a worker, and what a caller gets for the answers."""

import copy
import json
import pickle  # ruff: ignore[suspicious-pickle-import]
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import requests_mock
import urllib3

from airflow_provider_flowruns.client.retry import ONCE, RetryPolicy
from airflow_provider_flowruns.client.settings import parse_settings
from airflow_provider_flowruns.client.sync import SyncClient
from airflow_provider_flowruns.model.calls import Call, Request
from airflow_provider_flowruns.model.errors import (
    MAX_RETRY_AFTER_SECONDS,
    ApiError,
    AuthenticationError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestNotSentError,
    ServerError,
    ServiceConnectionError,
    UnexpectedResponseError,
)
from airflow_provider_flowruns.model.targets import FlowStatusTarget
from airflow_provider_flowruns.services.portable import PortableApi

TOKEN = "made-up-token-0123456789"
BASE = "https://flows.example.com"
STATUS_URL = f"{BASE}/v2/flows/5/status"
DONE = {"id": 5, "lifecycle": "NOT_RUNNING", "disposition": "SUCCEEDED", "completedAt": "2026-01-31T12:00:00Z"}

GET_STATUS = PortableApi().get_flow_status(5)
START = Call("portable", Request("POST", "/v2/flows/5/run"), lambda body: body["message"])


def client_of(retry: RetryPolicy | None = None, **extra: object) -> SyncClient:
    settings = parse_settings("portable", "my_conn", host=BASE, schema=None, port=None, password=TOKEN, extra=extra)
    return SyncClient(settings, retry)


@pytest.fixture
def client() -> Iterator[SyncClient]:
    with client_of() as client:
        yield client


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let nobody sleep; the seconds asked for, in order."""
    asked: list[float] = []
    monkeypatch.setattr("time.sleep", asked.append)
    return asked


@pytest.fixture
def wire() -> Iterator[requests_mock.Mocker]:
    with requests_mock.Mocker() as mocker:
        yield mocker


def error_of(client: SyncClient, call: Call = GET_STATUS) -> ApiError:
    with pytest.raises(ApiError) as raised:
        client.send(call)
    return raised.value


# -- the request


def test_a_call_goes_to_the_connections_host_with_its_token(wire, client) -> None:
    wire.get(STATUS_URL, json=DONE)
    assert client.send(GET_STATUS).flow_id == "5"
    (request,) = wire.request_history
    assert (request.method, request.url, request.body) == ("GET", STATUS_URL, None)
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.headers["Accept"] == "application/json"
    assert request.headers["User-Agent"].startswith("airflow-provider-flowruns")


def test_a_query_is_encoded_and_keeps_repeated_keys(wire, client) -> None:
    wire.get(f"{BASE}/list", json=1)
    query = (("status", "A"), ("status", "B"), ("startTime", "2026-01-31T12:00:00+00:00"), ("odd", "a&b=c/#"))
    client.send(Call("portable", Request("GET", "/list", query), lambda body: body))
    assert wire.last_request.url == (
        f"{BASE}/list?status=A&status=B&startTime=2026-01-31T12%3A00%3A00%2B00%3A00&odd=a%26b%3Dc%2F%23"
    )


@pytest.mark.parametrize(("body", "sent"), [({"a": 1}, b'{"a": 1}'), ({}, b"{}"), ([], b"[]"), (None, None)])
def test_a_body_goes_as_json_and_no_body_as_nothing(wire, client, body, sent) -> None:
    wire.post(f"{BASE}/v2/flows", json={})
    client.send(Call("portable", Request("POST", "/v2/flows", json=body), lambda body: body))
    assert wire.last_request.body == sent
    assert wire.last_request.headers.get("Content-Type") == ("application/json" if sent else None)


def test_a_request_without_token_carries_no_secret(wire) -> None:
    wire.post(f"{BASE}/hook", json={})
    with client_of(headers={"X-Key": "secret"}) as client:
        client.send(Call("portable", Request("POST", "/hook", with_token=False), lambda body: body))
    assert {"Authorization", "X-Key"}.isdisjoint(wire.last_request.headers)


@pytest.mark.parametrize(
    ("extra", "timeout", "verify", "proxies"),
    [
        ({}, (10, 30), True, {}),
        ({"timeout": 5}, (4.5, 5), True, {}),
        ({"verify": False}, (10, 30), False, {}),
        ({"proxies": {"https": "http://user:hunter2@proxy"}}, (10, 30), True, {"all": "http://proxy:80"}),
    ],
)
def test_timeout_verify_and_proxies_of_the_connection_are_used(wire, extra, timeout, verify, proxies) -> None:
    wire.get(STATUS_URL, json=DONE)
    with client_of(**extra) as client:
        client.send(GET_STATUS)
    request = wire.last_request
    assert (request.timeout, request.verify, dict(request.proxies)) == (timeout, verify, proxies)


def test_the_connections_own_headers_are_sent(wire) -> None:
    wire.get(STATUS_URL, json=DONE)
    with client_of(headers={"X-Team": "data"}) as client:
        client.send(GET_STATUS)
    assert wire.last_request.headers["X-Team"] == "data"


# -- one session


def test_one_session_serves_all_calls_and_is_closed_once(wire, monkeypatch) -> None:
    used, closed = [], []
    send, close = requests.Session.send, requests.Session.close
    monkeypatch.setattr(requests.Session, "send", lambda self, *a, **k: used.append(self) or send(self, *a, **k))
    monkeypatch.setattr(requests.Session, "close", lambda self: closed.append(self) or close(self))
    wire.get(STATUS_URL, json=DONE)
    with client_of() as client:
        for _ in range(3):
            client.send(GET_STATUS)
        assert not closed
    assert len(used) == 3
    assert len({id(session) for session in used}) == 1
    assert closed == used[:1]


def test_a_request_is_prepared_again_only_when_it_is_another_one(wire, client, monkeypatch) -> None:
    prepared = []
    prepare = requests.Session.prepare_request
    monkeypatch.setattr(
        requests.Session, "prepare_request", lambda self, request: prepared.append(request) or prepare(self, request)
    )
    others = f"{BASE}/v2/flows/6/status"
    wire.get(STATUS_URL, json=DONE)
    wire.get(others, json={**DONE, "id": 6})
    for call in (GET_STATUS, GET_STATUS, PortableApi().get_flow_status(6), GET_STATUS):
        client.send(call)
    assert [request.url for request in wire.request_history] == [STATUS_URL, STATUS_URL, others, STATUS_URL]
    assert len(prepared) == 3


def test_a_request_with_a_body_is_prepared_every_time(wire, client) -> None:
    wire.post(f"{BASE}/v2/flows/5/run", json={"message": "started"})
    for text in ("a", "b"):
        client.send(Call("portable", Request("POST", "/v2/flows/5/run", json={"text": text}), lambda body: body))
    assert [request.json() for request in wire.request_history] == [{"text": "a"}, {"text": "b"}]


# -- repeating


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"status_code": 503}, ServerError),
        ({"status_code": 500}, ServerError),
        ({"status_code": 429}, RateLimitError),
        ({"status_code": 408}, ServerError),
        ({"exc": requests.ConnectionError("refused")}, ServiceConnectionError),
        ({"exc": requests.ConnectTimeout("slow")}, RequestNotSentError),
        ({"exc": requests.ReadTimeout("slow")}, ServiceConnectionError),
        ({"exc": requests.exceptions.SSLError("bad certificate")}, ServiceConnectionError),
        ({"exc": requests.exceptions.ChunkedEncodingError("cut")}, ServiceConnectionError),
        ({"exc": urllib3.exceptions.ProtocolError("cut")}, ServiceConnectionError),
        ({"exc": ConnectionResetError("reset")}, ServiceConnectionError),
    ],
)
class TestTroubleThatMayPass:
    def test_a_read_is_repeated_until_it_succeeds(self, wire, client, sleeps, answer, kind) -> None:
        wire.get(STATUS_URL, [answer, answer, {"json": DONE}])
        assert client.send(GET_STATUS).flow_id == "5"
        assert wire.call_count == 3
        assert [sleep >= least for sleep, least in zip(sleeps, (0.5, 1), strict=True)] == [True, True]

    def test_a_read_is_given_up_after_four_requests(self, wire, client, sleeps, answer, kind) -> None:
        wire.get(STATUS_URL, [answer])
        assert type(error_of(client)) is kind
        assert (wire.call_count, len(sleeps)) == (4, 3)

    def test_a_start_is_repeated_only_if_it_was_provably_not_carried_out(
        self, wire, client, sleeps, answer, kind
    ) -> None:
        wire.post(f"{BASE}/v2/flows/5/run", [answer])
        assert type(error_of(client, START)) is kind
        assert wire.call_count == (4 if kind in {RateLimitError, RequestNotSentError} else 1)
        assert len(sleeps) == wire.call_count - 1

    def test_a_look_is_not_repeated_and_returns_the_error(self, wire, client, sleeps, answer, kind) -> None:
        wire.get(STATUS_URL, [answer])
        assert type(client.poll(FlowStatusTarget("portable", "5"))) is kind
        assert (wire.call_count, sleeps) == (1, [])

    def test_a_call_may_have_a_policy_of_its_own(self, wire, client, sleeps, answer, kind) -> None:
        wire.get(STATUS_URL, [answer])
        with pytest.raises(kind):
            client.send(GET_STATUS, ONCE)
        assert wire.call_count == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (402, PermissionDeniedError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (409, InvalidRequestError),
        (410, NotFoundError),
        (422, InvalidRequestError),
    ],
)
def test_a_refusal_is_final(wire, client, sleeps, status, kind) -> None:
    wire.get(STATUS_URL, status_code=status, json={"message": "No"})
    error = error_of(client)
    assert (type(error), error.status, error.message) == (kind, status, "No")
    assert (wire.call_count, sleeps) == (1, [])


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_slept_before_the_next_request(wire, client, sleeps, status) -> None:
    busy = {"status_code": status, "headers": {"Retry-After": "7"}}
    wire.get(STATUS_URL, [busy, {**busy, "headers": {"Retry-After": "19"}}, {"json": DONE}])
    client.send(GET_STATUS)
    assert sleeps == [7, 19]


def test_a_retry_after_of_minutes_is_left_to_the_caller(wire, client, sleeps) -> None:
    wire.get(STATUS_URL, status_code=429, headers={"Retry-After": "600"})
    assert error_of(client).retry_after == pytest.approx(MAX_RETRY_AFTER_SECONDS)
    assert (wire.call_count, sleeps) == (1, [])


# -- answers that are none


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"text": "<html>Sign in</html>", "headers": {"Content-Type": "text/html"}}, "an HTML page instead of JSON"),
        ({"text": ""}, "an empty body"),
        ({"status_code": 204}, "an empty body"),
        ({"text": '{"id": 5'}, "instead of JSON"),
        ({"text": "OK", "headers": {"Content-Type": "text/plain"}}, "text/plain instead of JSON: OK"),
        ({"json": []}, "expected a JSON object, got list"),
        ({"json": [DONE]}, "expected a JSON object, got a list (dict)"),
        ({"text": "null"}, "expected a JSON object, got NoneType"),
        ({"json": "SUCCEEDED"}, "expected a JSON object, got str"),
        ({"json": 1}, "expected a JSON object, got int"),
    ],
)
def test_a_good_status_without_the_apis_json_is_unexpected(wire, client, sleeps, answer, said) -> None:
    wire.get(STATUS_URL, **answer)
    error = error_of(client)
    assert type(error) is UnexpectedResponseError
    assert said in error.message
    assert "base URL" in error.hint
    assert (wire.call_count, sleeps) == (1, [])


@pytest.mark.parametrize("body", [{}, {"data": {}}, {"flows": []}, [1], "text"])
def test_a_list_of_another_shape_is_unexpected(wire, client, body) -> None:
    wire.get(f"{BASE}/v2/flows", json=body)
    assert "expected a list of JSON objects" in error_of(client, PortableApi().list_flows()).message


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["https://evil.example.org/v2/flows/5/status", "/login", None])
def test_a_redirect_is_not_followed_and_the_token_goes_nowhere_else(wire, client, status, location) -> None:
    wire.register_uri("GET", requests_mock.ANY, json=DONE)
    wire.get(STATUS_URL, status_code=status, headers={"Location": location} if location else {})
    error = error_of(client)
    assert (type(error), error.status) == (UnexpectedResponseError, status)
    assert (location or "nowhere") in error.message
    assert [request.url for request in wire.request_history] == [STATUS_URL]


# -- what an error says


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_an_error_says_which_service_request_response_and_connection(wire, client, sleeps, status) -> None:
    wire.get(STATUS_URL, status_code=status, json={"message": "The vendor's own words"})
    text = str(error_of(client))
    assert f"Portable responded with {status} to GET /v2/flows/5/status: The vendor's own words" in text
    assert "'my_conn'" in text


ECHOES: dict[str, dict[str, Any]] = {
    "json": {"json": {"message": f"unknown token {TOKEN}"}},
    "text": {"text": f"unknown token Bearer {TOKEN}"},
    "cut": {"text": "x" * 195 + TOKEN},
    "header": {"headers": {"Location": f"{BASE}/?token={TOKEN}", "Content-Type": TOKEN}, "text": "?"},
    "html": {"text": f"<p>{TOKEN}</p>", "headers": {"Content-Type": "text/html"}},
}


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("status", [200, 302, 401, 404, 500])
def test_a_token_that_the_server_echoes_is_in_no_error(wire, client, sleeps, status, echo) -> None:
    wire.get(STATUS_URL, status_code=status, **ECHOES[echo])
    if status == 200 and echo == "json":
        wire.get(STATUS_URL, json=[TOKEN])
    error = error_of(client)
    shown = f"{error} {error!r} {json.dumps(error.to_record())} {error.__cause__!r} {error.__context__!r}"
    assert TOKEN[:6] not in shown


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (requests.exceptions.SSLError(f"{BASE}: certificate has expired"), "TLS failed"),
        (requests.exceptions.ProxyError("Cannot connect to proxy http://user:hunter2@proxy"), "the proxy could not be"),
        (requests.ConnectTimeout(f"{BASE}"), "no connection within the connect timeout"),
        (requests.ReadTimeout(f"{BASE}"), "timed out waiting for the response"),
        (
            requests.ConnectionError(urllib3.exceptions.ProtocolError("x", ConnectionResetError(104, "reset"))),
            "ConnectionReset",
        ),
        (requests.exceptions.InvalidURL("no host"), "InvalidURL: no host"),
    ],
)
def test_a_missing_response_says_why_and_what_to_check(wire, client, sleeps, trouble, said) -> None:
    wire.get(STATUS_URL, exc=trouble)
    error = error_of(client)
    assert isinstance(error, ServiceConnectionError)
    assert f"Portable did not respond to GET /v2/flows/5/status: {said}" in str(error)
    assert f"connection 'my_conn', host {BASE}" in error.hint
    assert "hunter2" not in str(error)


def repickled(error: ApiError) -> ApiError:
    return pickle.loads(pickle.dumps(error))  # ruff: ignore[suspicious-pickle-usage]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, repickled])
@pytest.mark.parametrize("answer", [{"status_code": 429, "headers": {"Retry-After": "7"}}, {"exc": OSError("reset")}])
def test_an_error_from_the_wire_pickles_and_copies(wire, client, sleeps, answer, again) -> None:
    wire.get(STATUS_URL, **answer)
    error = error_of(client)
    twin = again(error)
    assert (type(twin), twin.args, str(twin)) == (type(error), error.args, str(error))
    assert (twin.status, twin.retry_after) == (error.status, error.retry_after)


# -- lists and steps


def test_a_list_asks_for_a_page_when_the_one_before_is_used_up(wire, client) -> None:
    pages = [{"data": [{"id": 1}, {"id": 2}]}, {"data": [{"id": 3}]}]
    wire.get(f"{BASE}/v2/flows/5/run", [{"json": page} for page in pages])
    attempts = client.iterate(PortableApi().get_run_attempts(5, limit=2))
    assert wire.call_count == 0
    assert [next(attempts).run_id, next(attempts).run_id] == ["1", "2"]
    assert wire.call_count == 1
    assert [attempt.run_id for attempt in attempts] == ["3"]
    assert wire.call_count == 2


def test_a_list_survives_trouble_in_the_middle(wire, client, sleeps) -> None:
    pages = [{"json": {"data": [{"id": 1}]}}, {"status_code": 503}, {"json": {"data": []}}]
    wire.get(f"{BASE}/v2/flows/5/run", pages)
    assert [attempt.run_id for attempt in client.iterate(PortableApi().get_run_attempts(5, limit=1))] == ["1"]
    assert len(sleeps) == 1


def test_a_list_that_refuses_one_spelling_is_asked_in_the_other(wire, client) -> None:
    wire.get(f"{BASE}/v2/flows/5/run", [{"status_code": 400}, {"json": {"data": [{"id": 1}]}}])
    attempts = client.iterate(PortableApi().get_run_attempts(5, sort="ASC"))
    assert [attempt.run_id for attempt in attempts] == ["1"]
    assert ["sort=ASC" in request.url for request in wire.request_history] == [True, False]
    assert "sort=asc" in wire.last_request.url


def test_a_look_returns_what_was_seen(wire, client) -> None:
    wire.get(STATUS_URL, json=DONE)
    (run,) = client.poll(FlowStatusTarget("portable", "5"))
    assert run.disposition == "SUCCEEDED"


def test_steps_are_told_of_an_error_and_may_go_another_way(wire, client) -> None:
    def steps():
        try:
            yield PortableApi().get_flow_status(404)
        except NotFoundError:
            return (yield GET_STATUS)

    wire.get(f"{BASE}/v2/flows/404/status", status_code=404)
    wire.get(STATUS_URL, json=DONE)
    assert client.execute(steps()).flow_id == "5"


def test_steps_that_know_no_other_way_raise_the_error(wire, client) -> None:
    wire.get(f"{BASE}/v2/flows", status_code=403)
    with pytest.raises(PermissionDeniedError):
        client.execute(PortableApi().check())
