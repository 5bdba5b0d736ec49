"""What the errors of requests and urllib3 say about an exchange."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import requests
import urllib3


def may_have_been_sent(error: BaseException) -> bool:
    """Return whether a request may have reached the service before an error of a library."""
    before_sending = requests.exceptions.ConnectTimeout, urllib3.exceptions.NewConnectionError, ssl.CertificateError
    return not any(isinstance(one, before_sending) for one in _iterate_causes(error))


def _iterate_causes(error: Any) -> Iterator[BaseException]:
    """Yield an error and its causes, which the libraries store in different ways."""
    seen: list[BaseException] = []
    while isinstance(error, BaseException):
        seen.append(error)
        yield error
        hidden = (getattr(error, "reason", None), *error.args, error.__cause__)
        error = next((one for one in hidden if isinstance(one, BaseException) and one not in seen), None)


def describe_failure(error: BaseException, *, is_connecting: bool) -> str:
    """Return in a few words why there was no response; the text of requests repeats the whole URL."""
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy could not be reached or rejected the request"
    *_, cause = _iterate_causes(error)
    if isinstance(error, requests.exceptions.ConnectTimeout) or (is_connecting and isinstance(cause, TimeoutError)):
        return "no connection within the connect timeout"
    if isinstance(error, requests.exceptions.Timeout) or isinstance(cause, TimeoutError):
        return "timed out waiting for the response"
    text = f"{type(cause).__name__}: {str(cause).rsplit('>: ', 1)[-1]}"
    return f"TLS failed: {text}" if isinstance(error, requests.exceptions.SSLError) else text
