"""When to send a request again, and how long to wait before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tenacity import RetryCallState, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential, wait_random

from airflow_provider_flowruns.model.calls import Request
from airflow_provider_flowruns.model.errors import ApiError, is_rejected


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when a request is sent again: an idempotent one, or one that provably was not carried out.

    :param attempts: maximum number of requests.
    :param first_wait: seconds before the second request, doubled each time, plus up to a second of jitter.
    :param max_wait: seconds at which the doubling ends.
    :param max_retry_after: a ``Retry-After`` above this many seconds is not waited for; the error is raised.
    """

    attempts: int = 4
    first_wait: float = 0.5
    max_wait: float = 10.0
    max_retry_after: float = 60.0

    def arguments(self, request: Request) -> dict[str, Any]:
        """Return what tenacity's ``Retrying`` and ``AsyncRetrying`` both take."""
        return {
            "retry": retry_if_exception(lambda error: self._should_retry(request, error)),
            "stop": stop_after_attempt(self.attempts),
            "wait": self._get_wait,
            "reraise": True,
        }

    def _should_retry(self, request: Request, error: BaseException) -> bool:
        if not isinstance(error, ApiError) or not error.retryable:
            return False
        if not request.is_idempotent and not is_rejected(error):
            return False
        return (error.retry_after or 0.0) <= self.max_retry_after

    def _get_wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        retry_after = error.retry_after if isinstance(error, ApiError) else None
        backoff = wait_exponential(self.first_wait, self.max_wait) + wait_random(0, 1)
        return max(retry_after or 0.0, backoff(state))


#: For callers with retries of their own, such as a wait with its error budget.
ONCE = RetryPolicy(attempts=1)
