"""When to stop polling a service because it asks for fewer requests."""

from __future__ import annotations

from airflow_provider_flowruns.model.errors import FlowRunsError, RateLimitError
from airflow_provider_flowruns.polling.intervals import get_requested_delay
from airflow_provider_flowruns.polling.polled_targets import ScheduledWait

#: Seconds without requests after HTTP 429 without ``Retry-After``; doubled each time, up to the maximum.
INITIAL_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 5.0, 60.0
#: Further rate-limit responses do not change the delay: 5 s doubled this often is above the maximum.
_MAX_DOUBLINGS = 10


class Backoff:
    """Backs off with all polls of a connection after HTTP 429, or 503 with ``Retry-After``. Times are Unix seconds.

    Waits are still polled at their deadline, and when their error budget would be spent.
    """

    __slots__ = ("_rate_limited_count", "_since", "count", "until")

    def __init__(self) -> None:
        self._since = self.until = 0.0
        #: How often it has backed off so far.
        self.count = 0
        self._rate_limited_count = 0

    def on_success(self) -> None:
        """Start with the initial delay again after the next rate-limit response."""
        self._rate_limited_count = 0

    def on_error(self, error: FlowRunsError, now: float) -> bool:
        """Back off if the error asks for it, and return whether it does.

        :param error: the error that came instead of a response.
        :param now: the current time.
        """
        requested = get_requested_delay(error)
        if requested is None and not isinstance(error, RateLimitError):
            return False
        if now >= self.until:
            self._rate_limited_count = min(self._rate_limited_count + 1, _MAX_DOUBLINGS)
            self._since = now
            self.count += 1
        # A success while backing off may have reset the count.
        doublings = max(0, self._rate_limited_count - 1)
        delay = requested or min(MAX_BACKOFF_SECONDS, INITIAL_BACKOFF_SECONDS * 2.0**doublings)
        self.until = max(self.until, now + delay)
        return True

    def allows(self, wait: ScheduledWait, now: float) -> bool:
        """Return whether a wait may be polled.

        :param wait: the wait.
        :param now: the current time.
        """
        return now >= self.until or now >= self.get_latest(wait)

    def get_latest(self, wait: ScheduledWait) -> float:
        """Return the time at which a wait is polled even while backing off.

        :param wait: the wait.
        """
        return min(wait.deadline, max(self._since, wait.polled_at) + wait.error_budget)
