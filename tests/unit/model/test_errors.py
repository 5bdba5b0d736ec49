"""Errors say what went wrong in one line, and survive a trip as JSON."""

import copy
import json
import pickle  # ruff: ignore[suspicious-pickle-import]
from typing import Any

import pytest

from airflow_provider_flowruns.model.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    FlowRunsError,
    InvalidArgumentError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    ServiceConnectionError,
    UnexpectedResponseError,
    from_record,
    get_error_class,
)

API_ERRORS = [
    ApiError,
    AuthenticationError,
    PermissionDeniedError,
    NotFoundError,
    InvalidRequestError,
    RateLimitError,
    ServerError,
    ServiceConnectionError,
    UnexpectedResponseError,
]
TRANSIENT = {RateLimitError, ServerError, ServiceConnectionError, UnexpectedResponseError}
REPEATED = {RateLimitError, ServerError, ServiceConnectionError}


def error_of(kind: type[ApiError], **fields: object) -> ApiError:
    given: dict[str, Any] = {"status": 503, "message": "Busy", "hint": "wait", "retry_after": 7.5, **fields}
    return kind("Portable", "GET", "/v2/flows", given["status"], given["message"], given["hint"], given["retry_after"])


def repickled(error: ApiError) -> ApiError:
    return pickle.loads(pickle.dumps(error))  # ruff: ignore[suspicious-pickle-usage]


def facts(error: Any) -> tuple:
    return type(error), str(error), error.args, error.status, error.message, error.hint, error.retry_after


def test_every_kind_of_api_error_is_in_this_list() -> None:
    assert {*API_ERRORS} == {ApiError, *ApiError.__subclasses__()}


@pytest.mark.parametrize("kind", API_ERRORS)
def test_a_record_of_an_error_goes_through_json_and_back(kind) -> None:
    error = error_of(kind)
    assert facts(from_record(json.loads(json.dumps(error.to_record(), allow_nan=False)))) == facts(error)


@pytest.mark.parametrize("kind", API_ERRORS)
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, repickled])
def test_an_error_can_be_copied_and_pickled(kind, again) -> None:
    error = error_of(kind)
    assert facts(again(error)) == facts(error)


@pytest.mark.parametrize("record", [{"class": "FromTomorrow", "args": ["a", 1]}, {"args": ["a", 1]}])
def test_a_record_of_an_unknown_kind_keeps_its_words(record) -> None:
    error = from_record(record)
    assert isinstance(error, FlowRunsError)
    assert "a" in error.args


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "FR206: Portable responded with 503 to GET /v2/flows: Busy (wait)"),
        ({"hint": None}, "FR206: Portable responded with 503 to GET /v2/flows: Busy"),
        ({"status": None}, "FR206: Portable did not respond to GET /v2/flows: Busy (wait)"),
    ],
)
def test_an_error_says_who_answered_what_to_which_request_and_what_to_do(fields, text) -> None:
    assert str(error_of(ServerError, **fields)) == text


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, UnexpectedResponseError),
        (304, UnexpectedResponseError),
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (402, PermissionDeniedError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (405, InvalidRequestError),
        (408, ServerError),
        (409, InvalidRequestError),
        (410, NotFoundError),
        (413, InvalidRequestError),
        (422, InvalidRequestError),
        (425, ServerError),
        (429, RateLimitError),
        (500, ServerError),
        (502, ServerError),
        (503, ServerError),
        (504, ServerError),
        (520, ServerError),
        (599, ServerError),
    ],
)
def test_the_class_that_stands_for_a_status(status, kind) -> None:
    assert get_error_class(status) is kind


@pytest.mark.parametrize("kind", API_ERRORS)
def test_which_errors_a_wait_rides_out_and_which_requests_are_repeated(kind) -> None:
    error = error_of(kind)
    assert (error.transient, error.retryable) == (kind in TRANSIENT, kind in REPEATED)


def test_an_invalid_argument_is_a_value_error() -> None:
    assert issubclass(InvalidArgumentError, ValueError)
    assert issubclass(InvalidArgumentError, FlowRunsError)


@pytest.mark.parametrize("kind", [InvalidArgumentError, ConfigurationError])
def test_what_is_found_before_any_request_is_no_answer_of_the_service(kind) -> None:
    assert not issubclass(kind, ApiError)
    assert str(kind("set the password")) == f"{kind.code}: set the password"
