"""When to send a request again, and what an answer means: one policy, read by both clients."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, TypeVar

from tenacity import RetryCallState, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential, wait_random

from airflow_provider_flowruns import __version__
from airflow_provider_flowruns.client.bodies import ACCEPT_ENCODING, BodyTooLarge, UnreadableBody
from airflow_provider_flowruns.client.settings import Settings
from airflow_provider_flowruns.services.base import error_text
from airflow_provider_flowruns.services.errors import (
    MAX_HOLD_SECONDS,
    ApiError,
    ConnectionFailed,
    InvalidArgument,
    InvalidRequest,
    NeverSent,
    UnexpectedAnswer,
    class_for_status,
    was_refused,
)
from airflow_provider_flowruns.services.model import Call, Page, Pages, Request, Response, Rows, Sighting
from airflow_provider_flowruns.services.reading import shape_of
from airflow_provider_flowruns.services.registry import SERVICES

T = TypeVar("T")

log = logging.getLogger(__name__)

_USER_AGENT = f"airflow-provider-flowruns/{__version__}"
_LONGEST_MESSAGE = 1_000
#: So many pages in a row may bring nothing new; then the list does not move.
_MOST_STALE_PAGES = 10
#: So many items are known again when they come twice.
_REMEMBERED = 20_000
#: HTTP defines ``Retry-After`` for these two and for redirects, which are not followed.
_HOLDING_STATUSES = frozenset({429, 503})
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """
    How often and how patiently a request is sent again: an idempotent one, or one that was provably not carried out.

    :param attempts: requests in all; 1 sends once.
    :param first_wait: seconds before the second request, doubled each time, plus up to a second of jitter.
    :param longest_wait: seconds at which the doubling ends.
    :param longest_retry_after: a ``Retry-After`` above this many seconds is not waited for; the error is raised.
    """

    attempts: int = 4
    first_wait: float = 0.5
    longest_wait: float = 10.0
    longest_retry_after: float = 60.0

    def arguments(self, request: Request) -> dict[str, Any]:
        """Return what tenacity's ``Retrying`` and ``AsyncRetrying`` both take."""
        return {
            "retry": retry_if_exception(lambda error: self._is_worth_it(request, error)),
            "stop": stop_after_attempt(self.attempts),
            "wait": self._wait,
            "reraise": True,
        }

    def _is_worth_it(self, request: Request, error: BaseException) -> bool:
        if not isinstance(error, ApiError) or not error.retryable:
            return False
        if not request.is_idempotent and not was_refused(error):
            return False
        return (error.retry_after or 0.0) <= self.longest_retry_after

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, ApiError) else None
        backoff = wait_exponential(self.first_wait, self.longest_wait) + wait_random(0, 1)
        return max(asked or 0.0, backoff(state))


#: For callers that do the repeating themselves, such as a wait with its error budget.
ONCE = RetryPolicy(attempts=1)


def headers_for(settings: Settings, request: Request) -> dict[str, str]:
    """
    Return the headers of a request.

    The token and the connection's own headers go only where they may go; what goes elsewhere, to a webhook, takes the
    credentials that the connection has for webhooks.

    :param settings: the connection.
    :param request: the request they are for.
    """
    headers = {"Accept": "application/json", "Accept-Encoding": ACCEPT_ENCODING, "User-Agent": _USER_AGENT}
    if request.with_token:
        headers |= {**settings.headers, "Authorization": f"Bearer {settings.token}"}
    else:
        headers |= settings.webhook_headers
    if request.json is not None:
        headers["Content-Type"] = "application/json"
    return headers


def json_body(request: Request) -> bytes | None:
    """
    Return a request's JSON body as it is sent, None when it has none.

    :param request: the request.
    :raises InvalidArgument: its value is not plain JSON.
    """
    if request.json is None:
        return None
    try:
        return json.dumps(request.json, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"the body of {request.method} {request.path} cannot be sent as JSON: {error}") from None


def result_of(settings: Settings, call: Call[T], response: Response) -> T:
    """
    Return what an answer says, clean and without the connection's secrets.

    Does no I/O and keeps no state, so it can be called from any thread.

    :param settings: the connection, for its secrets and for messages.
    :param call: the call that was sent.
    :param response: its answer.
    :raises ApiError: the subclass that stands for its status, or UnexpectedAnswer when it cannot be read.
    """
    response = settings.mask.response(response)
    if not 200 <= response.status < 300:
        raise _refused(settings, call, response)
    if call.may_be_empty and not response.body.strip():
        return call.read(None)
    try:
        result = call.read(response.json())
    except Exception as error:  # whatever a vendor's answer does to a reader is that answer's fault
        said = _why_unreadable(settings, response, error)
    else:
        _log_unread(settings, call, result)
        return result
    # Outside of the except block, so that the error does not hold the other one and with it the whole body.
    raise _error(settings, UnexpectedAnswer, call.request, response.status, said)


def _why_unreadable(settings: Settings, response: Response, error: Exception) -> str:
    try:
        body = response.json()
    except ValueError:
        return error_text(settings.service, response)
    if isinstance(error, ValueError):
        return str(error)
    return f"cannot be read ({type(error).__name__}): {shape_of(body)}"


def _log_unread(settings: Settings, call: Call[Any], result: Any) -> None:
    rows = result.items if isinstance(result, Page) else result.runs if isinstance(result, Sighting) else result
    if isinstance(rows, Rows) and rows.unread:
        _warn_of_unread(settings.conn_id, call.request.method, call.request.path)
        log.debug("%s of %s rows of %s cannot be read", rows.unread, rows.total, call.request.path)


@lru_cache(maxsize=1_000)
def _warn_of_unread(conn_id: str, method: str, path: str) -> None:
    """Log a warning the first time that rows of a list are left out."""
    log.warning(
        "Connection %r: some rows in the response to %s %s cannot be read and are left out", conn_id, method, path
    )


def no_answer(settings: Settings, request: Request, what: str, *, sent: bool = True) -> ConnectionFailed:
    """
    Return the error for a request that got no answer.

    :param settings: the connection, for messages.
    :param request: the request that was sent, or was to be.
    :param what: how that came about, in whole: secrets are masked here, and only then it is cut.
    :param sent: whether the request may have reached the service.
    """
    kind = ConnectionFailed if sent else NeverSent
    what = shown_text(settings, what)
    hint = f"connection {settings.conn_id!r}, host {settings.base_url}: check host, network, proxies and verify"
    return kind(settings.service.info.title, request.method, request.path, None, what, hint)


def unreadable_body(settings: Settings, request: Request, status: int, error: UnreadableBody) -> UnexpectedAnswer:
    """
    Return the error for an answer with a body that cannot be read, or is too large.

    :param settings: the connection, for messages.
    :param request: the request that was sent.
    :param status: HTTP status of the answer.
    :param error: what is wrong with the body.
    """
    what, hint = str(error), f"connection {settings.conn_id!r}"
    if isinstance(error, BodyTooLarge):
        what = f"the answer is larger than {settings.max_response_bytes / 2**20:g} MiB"
        hint = f"connection {settings.conn_id!r}: raise extra 'max_response_mb' if such an answer is right"
    return UnexpectedAnswer(settings.service.info.title, request.method, request.path, status, what, hint)


def _refused(settings: Settings, call: Call[Any], response: Response) -> ApiError:
    request = call.request
    said = call.meanings.get(response.status) or error_text(settings.service, response)
    if response.status < 200:
        said = "the server answered with an interim status only"
    elif response.status < 400:
        said = f"redirected to {response.headers.get('location', 'nowhere')}, which is not followed with the token"
    asked = retry_after(response.headers, datetime.now(UTC)) if response.status in _HOLDING_STATUSES else None
    return _error(settings, class_for_status(response.status), request, response.status, said, asked)


def _error(
    settings: Settings,
    kind: type[ApiError],
    request: Request,
    status: int,
    said: str,
    asked: float | None = None,
) -> ApiError:
    info = settings.service.info
    hint = info.hints.get(kind)
    hint = f"connection {settings.conn_id!r}: {hint}" if hint else f"connection {settings.conn_id!r}"
    return kind(info.title, request.method, request.path, status, shown_text(settings, said), hint, asked)


def shown_text(settings: Settings, text: str) -> str:
    """
    Return a text as it may be shown: clean, without the connection's secrets, at most 1,000 characters.

    :param settings: the connection.
    :param text: a text that may repeat what was sent, such as another library's error.
    """
    return settings.mask.text(text)[:_LONGEST_MESSAGE]


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """
    Return the seconds a ``Retry-After`` header asks for (given as seconds or as an HTTP date), else None.

    :param headers: the answer's headers, names in lower case.
    :param now: the time, for an answer that names a date.
    :return: at most ``MAX_HOLD_SECONDS``.
    """
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if _SECONDS.fullmatch(value):
        return min(float(value), MAX_HOLD_SECONDS)
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return min(max(0.0, (until - now).total_seconds()), MAX_HOLD_SECONDS)


class Walk:
    """
    Walks the pages of a list without doing the I/O: send :attr:`call`, hand the page to :meth:`take`, repeat.

    :param pages: the list.
    """

    def __init__(self, pages: Pages[Any]) -> None:
        self.call: Call[Page[Any]] | None = pages.first
        self._pages = pages
        #: In the order of their last appearance.
        self._seen: dict[Any, None] = {}
        self._stale = 0

    def take(self, page: Page[Any]) -> list[Any]:
        """
        Return the page's items that have not come before, and move on to the next page.

        :raises UnexpectedAnswer: page after page holds only what has come before.
        """
        sent, self.call = self.call, page.next
        fresh = []
        for item in page.items:
            identity = self._pages.identity(item)
            if identity in self._seen:
                del self._seen[identity]
            else:
                fresh.append(item)
            self._seen[identity] = None
        self._forget(2 * len(page.items))
        self._stale = self._stale + 1 if page.items and not fresh else 0
        if sent and self._stale > _MOST_STALE_PAGES:
            what = f"{self._stale} pages in a row held nothing new; the server does not move on in this list"
            title = SERVICES[sent.service].info.title
            raise UnexpectedAnswer(title, sent.request.method, sent.request.path, 200, what)
        return fresh

    def _forget(self, needed: int) -> None:
        # New items push back those that came last, and windows overlap at their ends: what came long ago never returns.
        while len(self._seen) > max(needed, _REMEMBERED):
            del self._seen[next(iter(self._seen))]

    def refused(self, error: InvalidRequest) -> None:
        """Say the first call in its other words; raises the error when there are none left to try."""
        other = self._pages.other_spelling
        if self.call is not self._pages.first or other is None:
            raise error
        self.call = other
