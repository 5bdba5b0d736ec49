"""When to send a request again, and how long to wait before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from tenacity import RetryCallState, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential, wait_random

from airflow_provider_flowruns.model.calls import Request
from airflow_provider_flowruns.model.errors import (
    MAX_HOLD_SECONDS,
    ApiError,
    is_rejected,
)

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a request is sent again: an idempotent one, or one that was provably not carried out.

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
        if not request.is_idempotent and not is_rejected(error):
            return False
        return (error.retry_after or 0.0) <= self.longest_retry_after

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, ApiError) else None
        backoff = wait_exponential(self.first_wait, self.longest_wait) + wait_random(0, 1)
        return max(asked or 0.0, backoff(state))


#: For callers that do the repeating themselves, such as a wait with its error budget.
ONCE = RetryPolicy(attempts=1)


def parse_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds a ``Retry-After`` header asks for (given as seconds or as an HTTP date), else None.

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
