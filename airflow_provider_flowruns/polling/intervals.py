"""How long to sleep between two polls, and at which common times to poll."""

from __future__ import annotations

import math
from functools import lru_cache

from airflow_provider_flowruns.model.errors import MAX_RETRY_AFTER_SECONDS, ApiError, FlowRunsError, RateLimitError
from airflow_provider_flowruns.polling.poll_rate import PollRate

#: Minimum interval of a young wait, in seconds.
INITIAL_INTERVAL_SECONDS = 5.0
#: The interval grows to this fraction of the wait's age.
AGE_FRACTION = 0.5

#: Polls are aligned to multiples of at most this fraction of their interval.
ALIGNMENT_FRACTION = 0.1
#: Maximum alignment, in seconds: coarse where waits can share a request, and fine where they cannot. Responses that
#: arrive together still take half the CPU time.
MAX_SHARED_ALIGNMENT_SECONDS, MAX_INDIVIDUAL_ALIGNMENT_SECONDS = 4.0, 0.25
#: Below this many seconds polls are not aligned.
MIN_ALIGNMENT_SECONDS = 0.001


def get_next_interval(
    max_interval: float, age: float, run_age: float | None = None, poll_rate: PollRate | None = None
) -> float:
    """Return the seconds until the next poll: short at first, then longer; as learned if the flow's runs are known.

    :param max_interval: maximum interval in seconds, as configured.
    :param age: seconds since the wait began.
    :param run_age: seconds since the run began, None if unknown.
    :param poll_rate: how often to poll runs of the flow, None if unknown.
    """
    if poll_rate is None or run_age is None:
        return min(max_interval, max(INITIAL_INTERVAL_SECONDS, AGE_FRACTION * age))
    return poll_rate.get_interval(max(0.0, run_age))


def align(time: float, interval: float, *, is_shared: bool) -> float:
    """Return the first common polling time at or after a time.

    Alignments are powers of two, so that polls with a short interval include the times of those with a long one.

    :param time: Unix time.
    :param interval: the wait's interval in seconds.
    :param is_shared: whether one request may serve more than one wait.
    """
    alignment = _get_alignment(interval, is_shared)
    return math.ceil(time / alignment) * alignment if alignment else time


@lru_cache(maxsize=1_000)
def _get_alignment(interval: float, is_shared: bool) -> float:
    maximum = MAX_SHARED_ALIGNMENT_SECONDS if is_shared else MAX_INDIVIDUAL_ALIGNMENT_SECONDS
    alignment = min(maximum, ALIGNMENT_FRACTION * interval)
    return 0.0 if alignment < MIN_ALIGNMENT_SECONDS else 2.0 ** math.floor(math.log2(alignment))


def get_requested_delay(error: FlowRunsError) -> float | None:
    """Return for how many seconds a service asks to send no requests, at most :data:`MAX_RETRY_AFTER_SECONDS`.

    Only HTTP 429 and 503 can ask for it. ``Retry-After`` on other responses concerns that one request.

    :param error: the error that came instead of a response.
    :return: seconds, None if it does not ask for a delay.
    """
    if not isinstance(error, ApiError) or not (isinstance(error, RateLimitError) or error.status == 503):
        return None
    return min(error.retry_after, MAX_RETRY_AFTER_SECONDS) if error.retry_after else None
