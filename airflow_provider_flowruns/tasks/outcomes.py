"""Turn the end of a wait into the end of a task, in every mode."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, AirflowTaskTimeout

from airflow_provider_flowruns.exceptions import FlowRunCanceled, FlowRunFailed, FlowRunTimeout, FlowRunUnobservable
from airflow_provider_flowruns.model.errors import CodedError, add_code, from_record
from airflow_provider_flowruns.model.runs import RunSummary
from airflow_provider_flowruns.polling.end_lines import explain_end
from airflow_provider_flowruns.polling.messages import LogMessage
from airflow_provider_flowruns.polling.wait_state import Outcome, WaitResult
from airflow_provider_flowruns.tasks.explained_errors import attach_explanation, get_explanation

#: ``soft_fail`` applies to the run's outcome, not to monitoring failures.
_SOFT_OUTCOMES = {Outcome.FAILED, Outcome.CANCELED, Outcome.TIMED_OUT}


def log_messages(log: Any, messages: Iterable[LogMessage]) -> None:
    """Write a wait's messages to a task's log.

    :param log: the logger of the sensor, operator or trigger that drives the wait.
    :param messages: the lines.
    """
    for message in messages:
        log.log(logging.WARNING if message.is_warning else logging.INFO, "%s", message.text)


def build_error(result: WaitResult, timeout_error: type[Exception] = AirflowSensorTimeout) -> BaseException:
    """Return the exception for a wait that did not succeed, with the lines that explain it attached.

    :param result: the end of the wait.
    :param timeout_error: class of the exception for a run that did not end within ``timeout``; for one that did not
        end within ``execution_timeout`` it is Airflow's own, as when Airflow itself ends the task.
    """
    error = _build_bare_error(result, timeout_error)
    code = error.code if isinstance(error, CodedError) else FlowRunTimeout.code
    return attach_explanation(error, explain_end(result, code))


def _build_bare_error(result: WaitResult, timeout_error: type[Exception]) -> BaseException:
    if result.outcome is Outcome.FAILED:
        return FlowRunFailed(result.reason, result.run)
    if result.outcome is Outcome.CANCELED:
        return FlowRunCanceled(result.reason, result.run)
    if result.outcome is Outcome.TIMED_OUT and result.limited_by == "execution_timeout":
        return AirflowTaskTimeout(add_code(FlowRunTimeout.code, result.reason))
    if result.outcome is Outcome.TIMED_OUT:
        return timeout_error(add_code(FlowRunTimeout.code, result.reason))
    if result.outcome is Outcome.REFUSED and result.error:
        return from_record(result.error)
    return FlowRunUnobservable(result.reason, result.run)


def result_or_raise(
    result: WaitResult,
    *,
    soft_fail: bool = False,
    never_fail: bool = False,
    timeout_error: type[Exception] = AirflowSensorTimeout,
) -> RunSummary:
    """Return the run's summary if the wait succeeded, and only then.

    :param result: the end of the wait.
    :param soft_fail: skip the task when the run failed, was cancelled or did not end in time.
    :param never_fail: skip the task instead of failing it, whatever happened.
    :param timeout_error: class of the exception for a run that did not end within ``timeout``.
    :raises AirflowSkipException: the run was paused or cancelled and that is to skip, or failing is softened.
    :raises FlowRunFailed: the run failed; its subclass FlowRunCanceled: it was cancelled.
    :raises AirflowSensorTimeout: the run did not end within ``timeout``, or whatever ``timeout_error`` is.
    :raises AirflowTaskTimeout: it did not end within ``execution_timeout``.
    :raises FlowRunUnobservable: there was no usable response within the error budget.
    :raises ApiError: the service refuses to be asked, as the subclass says.
    """
    if result.outcome is Outcome.SUCCEEDED and result.run is not None:
        return result.run
    if result.outcome is Outcome.SKIPPED:
        raise AirflowSkipException(result.reason)
    error = build_error(result, timeout_error)
    if never_fail or (soft_fail and result.outcome in _SOFT_OUTCOMES):
        skip = AirflowSkipException(f"{type(error).__name__}: {error}")
        raise attach_explanation(skip, get_explanation(error)) from error
    raise error
