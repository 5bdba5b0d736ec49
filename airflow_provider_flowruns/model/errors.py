"""What can go wrong between this package and a service, as exceptions that never hold a token."""

from __future__ import annotations

from typing import Any, ClassVar

#: Longest time in seconds for which a ``Retry-After`` counts: one response must not silence a connection for a day.
MAX_RETRY_AFTER_SECONDS = 300.0


class FlowRunsError(Exception):
    """Base of every error this package raises for the services it talks to."""

    #: A wait may ride this out within its error budget.
    transient: ClassVar[bool] = False

    def to_record(self) -> dict[str, Any]:
        """Return the error as flat JSON, for an event or a stored wait; :func:`from_record` reads it."""
        return {"class": type(self).__name__, "args": list(self.args)}


class InvalidArgumentError(FlowRunsError, ValueError):
    """An argument cannot be right; raised before any request. The message names it and the fix."""


class ConfigurationError(FlowRunsError):
    """A connection cannot be used as it stands; raised before any request. The message says what to set."""


class ApiError(FlowRunsError):
    """A request got no usable answer.

    :param service: title of the service, e.g. ``Portable``.
    :param method: HTTP method of the request.
    :param path: path of the request, without host and query.
    :param status: HTTP status of the answer, None when there was none.
    :param message: the service's own words, or what happened on the way.
    :param hint: what the reader can do about it.
    :param retry_after: seconds the service asked to wait, at most ``MAX_RETRY_AFTER_SECONDS``; None when it did not.
    """

    #: The client itself may repeat an idempotent request.
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        service: str,
        method: str,
        path: str,
        status: int | None,
        message: str,
        hint: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(service, method, path, status, message, hint, retry_after)
        self.service = service
        self.method = method
        self.path = path
        self.status = status
        self.message = message
        self.hint = hint
        self.retry_after = retry_after

    def __str__(self) -> str:
        answer = f"answered {self.status}" if self.status else "gave no answer"
        text = f"{self.service} {answer} to {self.method} {self.path}: {self.message}"
        return f"{text} ({self.hint})" if self.hint else text


class AuthenticationError(ApiError):
    """The service does not accept the token (HTTP 401)."""


class PermissionDeniedError(ApiError):
    """The token is known but may not do this, or the plan has no API access (HTTP 402, 403)."""


class NotFoundError(ApiError):
    """There is no such flow, workflow or run, or the host has no such route (HTTP 404, 410)."""


class InvalidRequestError(ApiError):
    """The service refuses the request as it was made (any other HTTP 4xx)."""


class RateLimitError(ApiError):
    """The service asks for fewer requests (HTTP 429)."""

    transient = True
    retryable = True


class ServerError(ApiError):
    """The service failed (HTTP 5xx), or gave up waiting for us (408, 425)."""

    transient = True
    retryable = True


class ServiceConnectionError(ApiError):
    """No answer arrived: refused, unresolved, reset, timed out, or TLS did not agree.

    A request that was sent before this happened may still have been carried out.
    """

    transient = True
    retryable = True


class RequestNotSentError(ServiceConnectionError):
    """The request did not leave: no connection came about, so nothing can have been carried out."""


class UnexpectedResponseError(ApiError):
    """An answer arrived that this API does not give: HTML, broken JSON, a redirect, a wrong shape."""

    transient = True


_BY_NAME: dict[str, type[FlowRunsError]] = {
    cls.__name__: cls
    for cls in (
        InvalidArgumentError,
        ConfigurationError,
        ApiError,
        AuthenticationError,
        PermissionDeniedError,
        NotFoundError,
        InvalidRequestError,
        RateLimitError,
        ServerError,
        ServiceConnectionError,
        RequestNotSentError,
        UnexpectedResponseError,
    )
}


def from_record(record: dict[str, Any]) -> FlowRunsError:
    """Rebuild an error from :meth:`FlowRunsError.to_record`.

    A class name this version does not know becomes a plain :class:`FlowRunsError` with the same words.
    """
    return _BY_NAME.get(str(record.get("class")), FlowRunsError)(*record["args"])


def is_rejected(error: FlowRunsError) -> bool:
    """Whether an error proves that the service did not carry out the request."""
    refusals = (
        RequestNotSentError
        | RateLimitError
        | AuthenticationError
        | PermissionDeniedError
        | NotFoundError
        | InvalidRequestError
    )
    return isinstance(error, refusals | InvalidArgumentError | ConfigurationError)


def get_error_class(status: int) -> type[ApiError]:
    """Return the error class that stands for an HTTP status of 300 or above."""
    if status < 400:
        return UnexpectedResponseError
    if status >= 500 or status in {408, 425}:
        return ServerError
    by_status: dict[int, type[ApiError]] = {
        401: AuthenticationError,
        402: PermissionDeniedError,
        403: PermissionDeniedError,
        404: NotFoundError,
        410: NotFoundError,
        429: RateLimitError,
    }
    return by_status.get(status, InvalidRequestError)
