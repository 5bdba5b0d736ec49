"""When a request is sent again, and what an answer means."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenacity import Future, RetryCallState, Retrying

from airflow_provider_flowruns.client.request_encoding import build_headers, encode_json_body
from airflow_provider_flowruns.client.responses import build_connection_error, read_result
from airflow_provider_flowruns.client.retry import ONCE, RetryPolicy
from airflow_provider_flowruns.client.retry_after import parse_retry_after
from airflow_provider_flowruns.client.settings import Settings, parse_settings
from airflow_provider_flowruns.model.calls import Call, Request, Response
from airflow_provider_flowruns.model.errors import (
    MAX_RETRY_AFTER_SECONDS,
    ApiError,
    AuthenticationError,
    ConfigurationError,
    InvalidArgumentError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestNotSentError,
    ServerError,
    ServiceConnectionError,
    UnexpectedResponseError,
)
from airflow_provider_flowruns.services.portable import PortableApi

TOKEN = "made-up-token-0123456789"
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
GET, POST = Request("GET", "/v2/flows"), Request("POST", "/v2/flows/5/run")

examples = settings(deadline=None, derandomize=True, database=None, max_examples=100)


def made(service: str = "portable", **extra: object) -> Settings:
    return parse_settings(service, "my_conn", host=None, schema=None, port=None, password=TOKEN, extra=extra)


def result(status: int, body: bytes, service: str = "portable", **headers: str) -> object:
    call = Call(service, GET, lambda body: body["id"] if isinstance(body, dict) else int(body))
    given = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return read_result(made(service), call, Response(status, given, body))


def refused(status: int, body: bytes, service: str = "portable", **headers: str) -> ApiError:
    with pytest.raises(ApiError) as raised:
        result(status, body, service, **headers)
    return raised.value


def failed(error: Exception, attempt: int = 1) -> RetryCallState:
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = attempt
    state.outcome = Future.construct(attempt, error, has_exception=True)
    return state


def is_repeated(error: Exception, request: Request = GET, policy: RetryPolicy | None = None) -> bool:
    arguments = (policy or RetryPolicy()).arguments(request)
    state = failed(error)
    return arguments["retry"](state) and not arguments["stop"](state)


def api_error(kind: type[ApiError], retry_after: float | None = None) -> ApiError:
    return kind("Portable", "GET", "/v2/flows", 503, "Busy", None, retry_after)


@pytest.mark.parametrize(("header", "seconds"), [("0", 0), ("7", 7), (" 120 ", 120)])
def test_retry_after_in_seconds(header, seconds) -> None:
    assert parse_retry_after({"retry-after": header}) == pytest.approx(seconds)


@pytest.mark.parametrize(("ahead", "seconds"), [(90, 90), (0, 0), (-90, 0), (-(10**9), 0)])
def test_retry_after_as_a_date_and_a_past_date_is_now(monkeypatch, ahead, seconds) -> None:
    monkeypatch.setattr("time.time", NOW.timestamp)
    date = format_datetime(NOW + timedelta(seconds=ahead), usegmt=True)
    assert parse_retry_after({"retry-after": date}) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "header",
    [
        "301",
        "86400",
        "1000000000",
        "9" * 400,
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 31 Dec 9999 23:59:59 -1200",
    ],
)
def test_retry_after_counts_for_five_minutes_at_most(header) -> None:
    assert parse_retry_after({"retry-after": header}) == pytest.approx(MAX_RETRY_AFTER_SECONDS)


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 408, 409, 410, 425, 429, 500, 502, 503, 504])
def test_retry_after_counts_for_two_statuses_only(status) -> None:
    error = refused(status, b"no JSON", retry_after="7")
    assert error.retry_after == (7 if status in {429, 503} else None)


@pytest.mark.parametrize("date", ["Sat, 31 Jan 2026 12:00:30 -0000", "Sat, 31 Jan 2026 13:00:30 +0100"])
def test_retry_after_as_a_date_in_another_time_zone(monkeypatch, date) -> None:
    monkeypatch.setattr("time.time", NOW.timestamp)
    assert parse_retry_after({"retry-after": date}) == pytest.approx(30)


@pytest.mark.parametrize("headers", [{}, {"retry-after": ""}, {"retry-after": "  "}])
def test_no_retry_after(headers) -> None:
    assert parse_retry_after(headers) is None


@pytest.mark.parametrize(
    "header",
    [
        "soon",
        "-5",
        "nan",
        "inf",
        "1e9",
        "0x10",
        "1_0",
        "1.5",
        "86400.5",
        "9" * 5_000,
        "٣",
        "7 seconds",
        "Sat, 31 Jan 2026",
        "Mon, 1 Jan 99999999999999999999 00:00:00 GMT",
        "Sat, 31 Jan 2026 12:00:00 +99999999999999999999",
    ],
)
def test_retry_after_that_is_garbage_is_ignored(header) -> None:
    assert parse_retry_after({"retry-after": header}) in {None, 0}


@examples
@given(st.text(alphabet="0123456789 :,+-.GMTSatJanSun", max_size=40))
def test_retry_after_is_a_number_of_seconds_that_json_can_hold_whatever_the_header_says(header) -> None:
    seconds = parse_retry_after({"retry-after": header})
    assert seconds is None or seconds >= 0
    json.dumps(seconds, allow_nan=False)


@pytest.mark.parametrize("kind", [RateLimitError, RequestNotSentError, ServerError, ServiceConnectionError])
def test_a_read_that_failed_for_a_while_is_repeated_a_start_only_if_it_was_not_carried_out(kind) -> None:
    assert is_repeated(api_error(kind))
    assert is_repeated(api_error(kind), POST) == (kind in {RateLimitError, RequestNotSentError})


@pytest.mark.parametrize(
    "error",
    [
        *(
            api_error(kind)
            for kind in (AuthenticationError, PermissionDeniedError, NotFoundError, InvalidRequestError, ApiError)
        ),
        api_error(UnexpectedResponseError),
        InvalidArgumentError("flow_id"),
        ConfigurationError("password"),
        ValueError("bug"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_another_try_does_not_mend_is_not_repeated(error) -> None:
    assert not is_repeated(error)


@pytest.mark.parametrize(("seconds", "repeated"), [(None, True), (0, True), (60, True), (61, False), (3_600, False)])
def test_a_service_that_asks_for_too_much_patience_gets_none(seconds, repeated) -> None:
    assert is_repeated(api_error(RateLimitError, seconds)) is repeated


def test_once_means_once() -> None:
    assert not is_repeated(api_error(ServerError), policy=ONCE)


@pytest.mark.parametrize(("attempts", "attempt", "stops"), [(4, 3, False), (4, 4, True), (2, 1, False), (2, 2, True)])
def test_attempts_are_counted(attempts, attempt, stops) -> None:
    stop = RetryPolicy(attempts=attempts).arguments(GET)["stop"]
    assert stop(failed(api_error(ServerError), attempt)) is stops


@pytest.mark.parametrize(("attempt", "least"), [(1, 0.5), (2, 1), (3, 2), (4, 4), (9, 10), (200, 10)])
def test_the_wait_doubles_within_bounds_and_has_jitter(attempt, least) -> None:
    policy = RetryPolicy(first_wait=0.5, max_wait=10)
    waits = {policy.arguments(GET)["wait"](failed(api_error(ServerError), attempt)) for _ in range(20)}
    assert all(least <= wait <= least + 1 for wait in waits)
    assert len(waits) > 1 or least == policy.max_wait


@pytest.mark.parametrize("seconds", [30, 60])
def test_the_wait_is_as_long_as_the_service_asks(seconds) -> None:
    wait = RetryPolicy().arguments(GET)["wait"]
    assert wait(failed(api_error(RateLimitError, seconds))) == pytest.approx(seconds)


def test_a_short_retry_after_does_not_shorten_the_backoff() -> None:
    wait = RetryPolicy(first_wait=4, max_wait=10).arguments(GET)["wait"]
    assert wait(failed(api_error(RateLimitError, 1))) >= 4


@pytest.mark.parametrize("status", [200, 201, 299])
def test_a_response_is_read(status) -> None:
    assert result(status, b'{"id": 7}') == 7


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, UnexpectedResponseError),
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (402, PermissionDeniedError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (408, ServerError),
        (409, InvalidRequestError),
        (410, NotFoundError),
        (422, InvalidRequestError),
        (429, RateLimitError),
        (500, ServerError),
        (503, ServerError),
    ],
)
def test_an_error_status_becomes_its_class(status, kind) -> None:
    error = refused(status, b'{"message": "Said so"}')
    assert (type(error), error.status) == (kind, status)


@pytest.mark.parametrize(
    ("service", "body", "words"),
    [
        ("portable", {"message": "Not Found"}, "Not Found"),
        ("activepieces", {"code": "AUTHORIZATION", "params": {"message": "no access"}}, "AUTHORIZATION: no access"),
        ("activepieces", {"code": "INVALID_CREDENTIALS", "params": None}, "INVALID_CREDENTIALS"),
        (
            "activepieces",
            {"code": "ENTITY_NOT_FOUND", "params": {"entityType": "flow_run", "entityId": "abc"}},
            "ENTITY_NOT_FOUND: entityType flow_run, entityId abc",
        ),
        ("activepieces", {"statusCode": 401, "error": "Unauthorized", "message": "type"}, "type"),
        ("tableflow", {"error": "not_found", "message": "No such run"}, "not_found: No such run"),
        ("tableflow", {"error": "Not found", "message": "Not found"}, "Not found"),
        ("tableflow", {"error": "not_found"}, "not_found"),
        *((service, {}, "HTTP 404 without a message") for service in ("portable", "activepieces", "tableflow")),
        *((service, [1], "HTTP 404 without a message") for service in ("portable", "activepieces", "tableflow")),
    ],
)
def test_an_error_has_the_services_own_words(service, body, words) -> None:
    assert refused(404, json.dumps(body).encode(), service).message == words


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"", "application/json", "HTTP 502 with an empty body"),
        (b"<html>Bad gateway</html>", "text/html; charset=utf-8", "HTTP 502 with an HTML page instead of JSON"),
        (b"upstream\n  down", "text/plain", "HTTP 502 with text/plain instead of JSON: upstream down"),
        (b"\xff\xfe", "application/octet-stream", "HTTP 502 with application/octet-stream instead of JSON"),
    ],
)
def test_an_error_that_is_no_json_says_what_came_instead(body, content_type, words) -> None:
    assert refused(502, body, content_type=content_type).message.startswith(words)


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"", "application/json", "HTTP 200 with an empty body"),
        (b"<html>Sign in</html>", "text/html", "HTTP 200 with an HTML page instead of JSON"),
        (b'{"id": 7', "application/json", "HTTP 200 with application/json instead of JSON"),
        (b'"text"', "application/json", "invalid literal for int()"),
        (b"[" * 200_000, "application/json", "HTTP 200 with application/json instead of JSON"),
    ],
)
def test_a_good_status_with_an_unreadable_body_is_unexpected(body, content_type, words) -> None:
    error = refused(200, body, content_type=content_type)
    assert type(error) is UnexpectedResponseError
    assert error.message.startswith(words)


@pytest.mark.parametrize(
    "broken",
    [TypeError("unhashable"), KeyError("id"), AttributeError("get"), IndexError(0), OverflowError(), RecursionError()],
    ids=lambda broken: type(broken).__name__,
)
def test_any_error_of_a_reading_function_means_an_unexpected_response_named_by_its_shape(broken) -> None:
    def read(body: object) -> None:
        raise broken

    with pytest.raises(UnexpectedResponseError) as raised:
        read_result(made(), Call("portable", GET, read), Response(200, {}, b'{"b": 1, "a": {}}'))
    assert raised.value.message == (f"cannot be read ({type(broken).__name__}): an object with the keys ['a', 'b']")
    assert raised.value.transient


@pytest.mark.parametrize(
    "body", [b'{"id": "9"', b'"text"', b"<html>", b"[" * 200_000], ids=["broken", "text", "html", "deep"]
)
def test_the_error_about_an_unexpected_response_does_not_reference_its_body(body) -> None:
    error = refused(200, body)
    assert (error.__context__, error.__cause__) == (None, None)


def test_rows_that_cannot_be_read_are_told_once_a_list(caplog) -> None:
    settings = parse_settings("portable", "unread", host=None, schema=None, port=None, password=TOKEN, extra={})
    body = json.dumps([{"id": 2}, {"id": {}}, 7]).encode()
    for call in (PortableApi().get_run_attempts(5).first, PortableApi().get_run_attempts(5).first):
        page = read_result(settings, call, Response(200, {}, body))
        assert [run.run_id for run in page.items] == ["2"]
        assert page.unread == 2
    read_result(settings, PortableApi().list_flows(), Response(200, {}, body))
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    left_out = "some rows in the response to GET /v2/flows{} cannot be read and are left out"
    assert warnings == [
        f"Connection 'unread': {left_out.format('/5/run')}",
        f"Connection 'unread': {left_out.format('')}",
    ]


@pytest.mark.parametrize("service", ["portable", "activepieces", "tableflow"])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"type": "about:blank", "title": "Bad Gateway", "status": 502, "detail": "no upstream"},
            "Bad Gateway: no upstream",
        ),
        ({"title": "Bad Gateway"}, "Bad Gateway"),
        ({"detail": "no upstream"}, "no upstream"),
        ({"title": "Gone", "detail": "Gone"}, "Gone"),
        ({"title": {}, "detail": [1], "status": 502}, "HTTP 502 without a message"),
        ({"message": "said so", "title": "Bad Gateway"}, "said so"),
    ],
)
def test_the_problem_document_of_a_gateway_is_read(service, body, words) -> None:
    error = refused(502, json.dumps(body).encode(), service, content_type="application/problem+json")
    assert error.message == words


@pytest.mark.parametrize("service", ["portable", "activepieces", "tableflow"])
def test_an_error_is_clean_text_whatever_the_server_says(service) -> None:
    bodies = [
        rb'{"message": "cut \ud83d", "code": "\u0000"}',
        rb'{"message": "cut \ud83d \u0000", "error": "\udfff", "params": {"message": "\ud83d"}}',
        b"\xff\xfe\0\xed\xa0\xbd",
        json.dumps({"params": {"entityType": [[]] * 3, "entityId": {"a": 1}}, "message": None}).encode(),
    ]
    for body in bodies:
        for status in (200, 302, 404, 503):
            error = refused(status, body, service, location="https://h/\udcff\0", content_type="text/\udcff")
            text = f"{error} {error.to_record()}"
            assert "\0" not in text
            assert text.encode()


def test_a_redirect_says_where_it_led_and_that_it_was_not_followed() -> None:
    error = refused(302, b"", location="https://login.example.com/")
    assert type(error) is UnexpectedResponseError
    assert "redirected to https://login.example.com/, which is not followed" in str(error)


def test_an_error_carries_what_the_service_asks_to_wait() -> None:
    assert refused(429, b"{}", retry_after="7").retry_after == 7
    assert refused(429, b"{}").retry_after is None


@pytest.mark.parametrize("kind", [401, 403, 404, 429, 200])
@pytest.mark.parametrize("service", ["portable", "activepieces", "tableflow"])
def test_an_error_says_what_to_do_and_in_which_connection(service, kind) -> None:
    error = refused(kind, b"", service)
    assert error.hint.startswith("connection 'my_conn': ")
    assert error.hint in str(error)


ECHOES = [
    json.dumps({"message": f"bad token {TOKEN}"}).encode(),
    json.dumps({"message": TOKEN * 100}).encode(),
    f"token {TOKEN} is unknown".encode(),
    ("x" * 190 + TOKEN).encode(),
    json.dumps({"message": "x" * 990 + TOKEN}).encode(),
    json.dumps({TOKEN: 1}).encode(),
    f'{{"message": "\\u006d{TOKEN[1:]}"}}'.encode(),
]


@pytest.mark.parametrize("body", ECHOES, ids=range(len(ECHOES)))
@pytest.mark.parametrize("status", [200, 302, 400, 401, 500])
def test_no_part_of_a_token_that_the_server_echoes_gets_into_an_error(status, body) -> None:
    call = PortableApi().list_flows()
    response = Response(status, {"content-type": "text/plain", "location": f"https://h/?t={TOKEN}"}, body)
    with pytest.raises(ApiError) as raised:
        read_result(made(), call, response)
    assert TOKEN[:6] not in f"{raised.value} {raised.value!r} {raised.value.to_record()}"


def test_a_long_message_is_cut() -> None:
    assert len(refused(500, json.dumps({"message": "x" * 100_000}).encode()).message) == 1_000


def test_no_response_says_what_to_check() -> None:
    error = build_connection_error(made(), GET, "timed out")
    assert str(error) == (
        "FR207: Portable did not respond to GET /v2/flows: timed out (connection 'my_conn', host "
        "https://api.portable.io: check host, network, proxies and verify)"
    )


def test_the_token_and_the_connections_own_headers_go_with_a_request() -> None:
    sent = build_headers(made(headers={"X-Team": "data"}), GET)
    assert sent["Authorization"] == f"Bearer {TOKEN}"
    assert sent["X-Team"] == "data"
    assert sent["Accept"] == "application/json"
    assert sent["User-Agent"].startswith("airflow-provider-flowruns")


def test_neither_token_nor_own_headers_go_where_the_token_must_not() -> None:
    sent = build_headers(made(headers={"X-Key": "secret"}), Request("POST", "/hook", with_token=False))
    assert {*sent} == {"Accept", "Accept-Encoding", "User-Agent"}


WEBHOOK = {"webhook_username": "jo", "webhook_password": "hunter2"}


def test_credentials_for_webhooks_go_nowhere_else() -> None:
    settings_with_them = made("activepieces", **WEBHOOK)
    called = build_headers(settings_with_them, Request("POST", "/hook", with_token=False))
    assert called["Authorization"] == "Basic am86aHVudGVyMg=="
    assert build_headers(settings_with_them, GET)["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {"a": {1}}, {1.5: object()}])
def test_a_body_that_is_no_json_is_refused_before_anything_is_sent(value) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be sent as JSON"):
        encode_json_body(Request("POST", "/v2/flows", json=value))


@pytest.mark.parametrize("status", [100, 101, 102, 103, 199])
def test_an_interim_status_is_no_response(status) -> None:
    error = refused(status, b'{"id": 5}')
    assert (type(error), error.status) == (UnexpectedResponseError, status)
    assert "interim" in error.message
