"""From the end of a wait to the end of a task: one place for every mode."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, AirflowTaskTimeout

from airflow_provider_flowruns.exceptions import FlowRunCanceled, FlowRunFailed, FlowRunUnobservable
from airflow_provider_flowruns.services.errors import from_record
from airflow_provider_flowruns.waiting.watch import News, Outcome, Verdict

#: What a run came to, as opposed to not being able to look: only this is softened by ``soft_fail``.
_SOFT = {Outcome.FAILED, Outcome.CANCELED, Outcome.TIMED_OUT}


def tell(log: Any, news: Iterable[News]) -> None:
    """
    Write what a wait has to tell to a task's log.

    :param log: the logger of the sensor, operator or trigger that drives the wait.
    :param news: the lines, see ``waiting.watch.Decision``.
    """
    for line in news:
        log.log(logging.WARNING if line.is_warning else logging.INFO, "%s", line.text)


def error_for(verdict: Verdict, timeout_error: type[Exception] = AirflowSensorTimeout) -> BaseException:
    """
    Return the exception that stands for a wait that did not succeed.

    :param verdict: the end of the wait.
    :param timeout_error: class of the exception for a run that did not end within ``timeout``; for one that did not
        end within ``execution_timeout`` it is Airflow's own, as when Airflow itself ends the task.
    """
    if verdict.outcome is Outcome.FAILED:
        return FlowRunFailed(verdict.reason, verdict.run)
    if verdict.outcome is Outcome.CANCELED:
        return FlowRunCanceled(verdict.reason, verdict.run)
    if verdict.outcome is Outcome.TIMED_OUT and verdict.limited_by == "execution_timeout":
        return AirflowTaskTimeout(verdict.reason)
    if verdict.outcome is Outcome.TIMED_OUT:
        return timeout_error(verdict.reason)
    if verdict.outcome is Outcome.REFUSED and verdict.error:
        return from_record(verdict.error)
    return FlowRunUnobservable(verdict.reason, verdict.run)


def settle(
    verdict: Verdict,
    *,
    soft_fail: bool = False,
    never_fail: bool = False,
    timeout_error: type[Exception] = AirflowSensorTimeout,
) -> dict[str, Any]:
    """
    Return the run's summary if the wait succeeded, and only then.

    :param verdict: the end of the wait.
    :param soft_fail: skip the task when the run failed, was cancelled or did not end in time.
    :param never_fail: skip the task instead of failing it, whatever happened.
    :param timeout_error: class of the exception for a run that did not end within ``timeout``.
    :raises AirflowSkipException: the run was paused or cancelled and that is to skip, or failing is softened.
    :raises FlowRunFailed: the run failed; its subclass FlowRunCanceled: it was cancelled.
    :raises AirflowSensorTimeout: the run did not end within ``timeout``, or whatever ``timeout_error`` is.
    :raises AirflowTaskTimeout: it did not end within ``execution_timeout``.
    :raises FlowRunUnobservable: nobody could look for longer than the error budget.
    :raises ApiError: the service refuses to be asked, as the subclass says.
    """
    if verdict.outcome is Outcome.SUCCEEDED and verdict.run is not None:
        return verdict.run
    if verdict.outcome is Outcome.SKIPPED:
        raise AirflowSkipException(verdict.reason)
    error = error_for(verdict, timeout_error)
    if never_fail or (soft_fail and verdict.outcome in _SOFT):
        raise AirflowSkipException(f"{type(error).__name__}: {error}") from error
    raise error
