"""Which run of a flow counts: the guards of a wait, and the service's times that they are compared with.

Guards are given on Airflow's clock, the times of runs are on the service's; ``vendor_offset`` is the number of seconds
by which the latter is ahead. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Lifecycle
from airflow_provider_flowruns.polling.wait_state import WaitConfig
from airflow_provider_flowruns.polling.wording import format_moment

#: A time that is further ahead of the service's own clock cannot be right: it counts as unknown.
MAX_AHEAD_SECONDS = 24 * 60 * 60.0


def to_unix(moment: datetime | None, service_now: float) -> float | None:
    """Return one of the service's times as Unix time on its own clock; None for one that is too far ahead.

    :param moment: the time.
    :param service_now: the current time on the service's clock.
    """
    if moment is None:
        return None
    seconds = moment.timestamp()
    return seconds if seconds <= service_now + MAX_AHEAD_SECONDS else None


def get_start(run: FlowRun, service_now: float) -> float | None:
    """Return when a run started, else when it was created, on the service's clock; None if neither is known.

    :param run: the run.
    :param service_now: the current time on the service's clock.
    """
    started_at = to_unix(run.started_at, service_now)
    return to_unix(run.created_at, service_now) if started_at is None else started_at


def find_decisive(
    runs: Sequence[FlowRun], config: WaitConfig, last_active_at: Mapping[str, float], now: float, vendor_offset: float
) -> FlowRun | None:
    """Return the run that decides a wait with guards: the newest fresh one that has ended, else an active one.

    :param runs: the flow's runs, newest first.
    :param config: holds the guards.
    :param last_active_at: run ids to the time of the last poll that showed them active.
    :param now: the current time.
    :param vendor_offset: seconds by which the service's clock is ahead.
    """
    active: FlowRun | None = None
    for run in runs:
        if run.lifecycle is not Lifecycle.NOT_RUNNING:
            active = active or (run if _has_started_in_time(run, config, now, vendor_offset) else None)
        elif _is_fresh(run, config, last_active_at.get(run.run_id or ""), now, vendor_offset):
            # A newer run that is still active may repair an earlier failure, never spoil an earlier success.
            return run if run.disposition is Disposition.SUCCEEDED else active or run
    return active


def _has_started_in_time(run: FlowRun, config: WaitConfig, now: float, vendor_offset: float) -> bool:
    if config.started_after_at is None:
        return True
    started_at = get_start(run, now + vendor_offset)
    return started_at is not None and started_at >= config.started_after_at + vendor_offset


def _is_fresh(run: FlowRun, config: WaitConfig, active_at: float | None, now: float, vendor_offset: float) -> bool:
    if not _has_started_in_time(run, config, now, vendor_offset):
        return False
    ended_at, ignored = to_unix(run.completed_at, now + vendor_offset), config.ignore_ends_until_at
    if ignored is not None and active_at is None and (ended_at is None or ended_at <= ignored):
        return False
    guard = config.completed_after_at
    if guard is None or (active_at is not None and active_at >= guard):
        return True
    # It ended later than it was created or seen active: some ends are missing, others cut to whole seconds.
    times = (ended_at, to_unix(run.created_at, now + vendor_offset))
    return any(time is not None and time >= guard + vendor_offset for time in times)


def explain_rejection(run: FlowRun, config: WaitConfig, vendor_offset: float, now: float) -> str:
    """Return why a run that is not fresh enough does not count.

    :param run: a run that :func:`find_decisive` passed over.
    :param config: holds the guards.
    :param vendor_offset: seconds by which the service's clock is ahead.
    :param now: the current time.
    """
    service_now = now + vendor_offset
    if not _has_started_in_time(run, config, now, vendor_offset):
        text = _tell_time("started", get_start(run, service_now), vendor_offset)
        return f"{text}, before started_after"
    text = _tell_time("ended", to_unix(run.completed_at, service_now), vendor_offset)
    if config.completed_after_at is not None:
        return f"{text}, before completed_after"
    return f"{text}, in an earlier attempt"


def _tell_time(verb: str, service_time: float | None, vendor_offset: float) -> str:
    if service_time is None:
        return f"{verb} at an unknown time"
    # Guards are on Airflow's clock, and so is what they are compared with here.
    return f"{verb} {format_moment(service_time - vendor_offset)}"
