"""How long to sleep between two looks at a run: quick at first, slower with its age, quick again when it should end."""

from __future__ import annotations

from airflow_provider_flowruns.model.errors import MAX_HOLD_SECONDS, ApiError, FlowRunsError, RateLimitError
from airflow_provider_flowruns.polling.durations import DurationRange

#: Seconds between the first looks.
QUICK = 5.0
#: A run is looked at again when it is older by this share of its age.
GROWTH = 0.5
#: Around its usual end a run is looked at so many times, but not more often than every so many seconds.
LOOKS_AT_USUAL_END = 24
CLOSEST = 2.0
#: The usual end begins and ends by this share of the shortest and longest duration sooner and later.
MARGIN = 0.02


def next_poll(
    longest: float, age: float, run_age: float | None = None, durations: DurationRange | None = None
) -> float:
    """Return the seconds until the next look.

    :param longest: seconds between two looks at most: the interval asked for.
    :param age: seconds since the wait began.
    :param run_age: seconds since the run began, None when that is not known.
    :param durations: how long the flow's runs usually take, None when that is not known.
    """
    if durations is None or run_age is None:
        return min(longest, max(QUICK, GROWTH * age))
    begin, end = durations.shortest * (1 - MARGIN), durations.longest * (1 + MARGIN)
    close = max(CLOSEST, (end - begin) / LOOKS_AT_USUAL_END)
    if run_age < begin:
        return min(longest, max(close, begin - run_age))
    return min(longest, max(close, GROWTH * (run_age - end)))


def requested_hold(error: FlowRunsError) -> float | None:
    """Return for how many seconds a response asks to leave the service alone, at most :data:`MAX_HOLD_SECONDS`.

    Only HTTP 429 and 503 can ask for it: on others ``Retry-After`` says nothing about the service as a whole.

    :param error: what came instead of an answer.
    :return: seconds; None when it asks for nothing.
    """
    if not isinstance(error, ApiError) or not (isinstance(error, RateLimitError) or error.status == 503):
        return None
    return min(error.retry_after, MAX_HOLD_SECONDS) if error.retry_after else None
