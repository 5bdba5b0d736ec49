"""The exceptions a task of this package ends with, in one place to import them from."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_flowruns.model.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    FlowRunsError,
    InvalidArgumentError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestNotSentError,
    ServerError,
    ServiceConnectionError,
    UnexpectedResponseError,
)
from airflow_provider_flowruns.model.runs import RunSummary

__all__ = [
    "ApiError",
    "AuthenticationError",
    "ConfigurationError",
    "FlowAlreadyRunning",
    "FlowRunCanceled",
    "FlowRunFailed",
    "FlowRunNotFailed",
    "FlowRunTimeout",
    "FlowRunUnobservable",
    "FlowRunsError",
    "InvalidArgumentError",
    "InvalidRequestError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "RequestNotSentError",
    "ResultTooLarge",
    "ServerError",
    "ServiceConnectionError",
    "UnexpectedResponseError",
]


class FlowRunFailed(AirflowException):
    """The run ended as failed.

    :param message: which run, and the service's own error text.
    :param run: the run's summary.
    """

    def __init__(self, message: str, run: RunSummary | None = None) -> None:
        super().__init__(message)
        self.run = run


class FlowRunCanceled(FlowRunFailed):
    """The run was cancelled before it ended by itself."""


class FlowRunTimeout(AirflowException):
    """An operator's run did not end in time; unless it was cancelled, it goes on."""


class FlowAlreadyRunning(AirflowException):
    """The flow was running when it was to be started, and ``if_running`` says to fail then."""


class FlowRunNotFailed(AirflowException):
    """The run that was to be retried goes on, or has succeeded; nothing was sent."""


class ResultTooLarge(AirflowException):
    """The runs read come to more than XCom takes; ``output_path`` has them written to a file instead."""


class FlowRunUnobservable(FlowRunsError):
    """The run could not be observed for longer than the error budget, or was there before and is gone; it may be going.

    Deliberately no AirflowException: ``soft_fail`` is about what a run came to, not about a wait that saw nothing.

    :param message: for how long, and what came instead of an answer.
    :param run: summary of the run when it was last seen, None when it never was.
    """

    def __init__(self, message: str, run: RunSummary | None = None) -> None:
        super().__init__(message)
        self.run = run
