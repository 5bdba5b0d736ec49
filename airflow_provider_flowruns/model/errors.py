"""Errors between this package and a service, as exceptions that never contain a token."""

from __future__ import annotations

from typing import Any, ClassVar

#: Maximum time in seconds for which a ``Retry-After`` counts: one response must not block a connection for a day.
MAX_RETRY_AFTER_SECONDS = 300.0


class CodedError(Exception):
    """Base of everything that this package raises: its text begins with the code of its class.

    The code is no part of ``args``, so that an error that is pickled, saved or wrapped has it once.
    """

    #: ``FR`` and three digits, explained in ``docs/errors.md``: 1xx outcomes of runs, 2xx responses of a service, 3xx
    #: arguments and connections, 4xx results, 9xx others. Every class has its own, which later releases keep.
    code: ClassVar[str] = ""

    def __str__(self) -> str:
        return add_code(self.code, self.get_text())

    def get_text(self) -> str:
        """Return the text without the code."""
        return super().__str__()


def add_code(code: str, text: str) -> str:
    """Return a text that begins with an error code, once.

    :param code: the code, empty for none.
    :param text: the text, which may have the code already.
    """
    prefix = f"{code}: "
    return text if not code or text.startswith(prefix) else f"{prefix}{text}"


class FlowRunsError(CodedError):
    """Base of all errors of this package except the outcomes of runs."""

    code = "FR900"

    #: Whether a wait tolerates it within its error budget.
    transient: ClassVar[bool] = False

    def to_record(self) -> dict[str, Any]:
        """Return the error as flat JSON, for an event or a stored wait; :func:`from_record` reads it."""
        return {"class": type(self).__name__, "args": list(self.args)}


class InvalidArgumentError(FlowRunsError, ValueError):
    """An argument is invalid; raised before any request. The message names it and the fix."""

    code = "FR301"


class ConfigurationError(FlowRunsError):
    """A connection cannot be used; raised before any request. The message says what to set."""

    code = "FR302"


class ApiError(FlowRunsError):
    """A request got no usable response.

    :param service: title of the service, e.g. ``Portable``.
    :param method: HTTP method of the request.
    :param path: path of the request, without host and query.
    :param status: HTTP status of the response, None if there was none.
    :param message: the service's own message, or what happened on the way.
    :param hint: what the user can do about it.
    :param retry_after: requested seconds until the next try, at most ``MAX_RETRY_AFTER_SECONDS``; None if none.
    """

    code = "FR200"

    #: Whether the client may repeat an idempotent request after it.
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

    def get_text(self) -> str:
        """Return the text without the code."""
        response = f"responded with {self.status}" if self.status else "did not respond"
        text = f"{self.service} {response} to {self.method} {self.path}: {self.message}"
        return f"{text} ({self.hint})" if self.hint else text


class AuthenticationError(ApiError):
    """The service does not accept the token (HTTP 401)."""

    code = "FR201"


class PermissionDeniedError(ApiError):
    """The token is known but may not do this, or the plan has no API access (HTTP 402, 403)."""

    code = "FR202"


class NotFoundError(ApiError):
    """There is no such flow, workflow or run, or the host has no such route (HTTP 404, 410)."""

    code = "FR203"


class InvalidRequestError(ApiError):
    """The service rejects the request (any other HTTP 4xx)."""

    code = "FR204"


class RateLimitError(ApiError):
    """The service limits the rate of requests (HTTP 429)."""

    code = "FR205"

    transient = True
    retryable = True


class ServerError(ApiError):
    """The service failed (HTTP 5xx), or timed out (408, 425)."""

    code = "FR206"

    transient = True
    retryable = True


class ServiceConnectionError(ApiError):
    """No response arrived: refused, unresolved, reset, timed out, or TLS failed.

    A request that was sent before this happened may still have been carried out.
    """

    code = "FR207"

    transient = True
    retryable = True


class RequestNotSentError(ServiceConnectionError):
    """The request was not sent: there was no connection, so nothing can have been carried out."""

    code = "FR208"


class UnexpectedResponseError(ApiError):
    """The response is none of this API: HTML, invalid JSON, a redirect, an unknown structure."""

    code = "FR209"

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

    An unknown class name becomes a plain :class:`FlowRunsError` with the same message.
    """
    return _BY_NAME.get(str(record.get("class")), FlowRunsError)(*record["args"])


def is_rejected(error: FlowRunsError) -> bool:
    """Whether an error proves that the service did not carry out the request."""
    rejections = (
        RequestNotSentError
        | RateLimitError
        | AuthenticationError
        | PermissionDeniedError
        | NotFoundError
        | InvalidRequestError
    )
    return isinstance(error, rejections | InvalidArgumentError | ConfigurationError)


def get_error_class(status: int) -> type[ApiError]:
    """Return the error class for an HTTP status of 300 or above."""
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
