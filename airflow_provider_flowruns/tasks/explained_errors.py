"""Log what an error means and what to do, in short lines of their own, before the task raises it.

Airflow shows the exception itself behind a stack of frames, cut at the edge of the window.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from airflow_provider_flowruns.model.errors import CodedError

P = ParamSpec("P")
R = TypeVar("R")
TaskT = TypeVar("TaskT")
ErrorT = TypeVar("ErrorT", bound=BaseException)

#: Attribute of an exception with the lines that explain it; empty once they are logged.
_LINES = "flowruns_explanation"


def attach_explanation(error: ErrorT, lines: tuple[str, ...]) -> ErrorT:
    """Return an exception after attaching the lines that explain it.

    :param error: the exception, which may be Airflow's own.
    :param lines: the lines.
    """
    setattr(error, _LINES, lines)
    return error


def get_explanation(error: BaseException) -> tuple[str, ...]:
    """Return the lines that explain an exception and are not logged yet.

    :param error: the exception.
    """
    lines: tuple[str, ...] | None = getattr(error, _LINES, None)
    if lines is not None:
        return lines
    if not isinstance(error, CodedError):
        return ()
    from airflow_provider_flowruns.polling.end_lines import explain_error

    return explain_error(error)


def log_explanation(log: Any, error: BaseException) -> None:
    """Log the lines that explain an exception, once; as warnings if the task is skipped.

    :param log: the task's logger.
    :param error: the exception.
    """
    from airflow.providers.common.compat.sdk import AirflowSkipException

    level = logging.WARNING if isinstance(error, AirflowSkipException) else logging.ERROR
    for line in get_explanation(error):
        log.log(level, "%s", line)
    attach_explanation(error, ())


def explains_errors(method: Callable[Concatenate[TaskT, P], R]) -> Callable[Concatenate[TaskT, P], R]:
    """Let a task's method, such as ``execute``, log what an error means before it raises it.

    :param method: a method of a sensor or an operator.
    """

    @wraps(method)
    def explaining(self: TaskT, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except BaseException as error:  # Airflow's own exception for execution_timeout is no Exception
            if get_explanation(error):
                log_explanation(self.log, error)  # type: ignore[attr-defined]
            raise

    return explaining
