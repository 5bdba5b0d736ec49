"""All exceptions of this package, in one place to import them from."""

from __future__ import annotations

from collections.abc import Sequence

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

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
from airflow_provider_flowruns.model.quality import QualityCheck
from airflow_provider_flowruns.model.runs import RunSummary

__all__ = [
    "ApiError",
    "AuthenticationError",
    "ConfigurationError",
    "EmptyTable",
    "ExtractToFailed",
    "ExtractionFailed",
    "ExtractionNotReady",
    "FlowAlreadyRunning",
    "FlowRunCanceled",
    "FlowRunFailed",
    "FlowRunNotFailed",
    "FlowRunQualityFailed",
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
    "StepNotEnded",
    "StepNotFound",
    "StepOutputMissing",
    "TableNotFound",
    "UnexpectedResponseError",
]


class FlowRunFailed(AirflowException):
    """The run failed.

    :param message: which run, and the service's own error text.
    :param run: the run's summary.
    """

    def __init__(self, message: str, run: RunSummary | None = None) -> None:
        super().__init__(message)
        self.run = run


class FlowRunCanceled(FlowRunFailed):
    """The run was cancelled."""


class FlowRunTimeout(AirflowException):
    """An operator's run did not end in time; unless it was cancelled, it continues."""


class FlowAlreadyRunning(AirflowException):
    """The flow was already running when it should start, and ``if_running`` is ``fail``."""


class FlowRunNotFailed(AirflowException):
    """The run that should be retried is still active, or has succeeded; nothing was sent."""


class FlowRunQualityFailed(AirflowException):
    """A flow's history did not pass the quality checks.

    :param message: each failed check with its value and limit.
    :param checks: the results of all checks.
    """

    def __init__(self, message: str, checks: Sequence[QualityCheck] = ()) -> None:
        super().__init__(message)
        self.checks = [*checks]


class StepNotFound(AirflowFailException):
    """The run's flow has no such step; the task is not retried."""


class StepOutputMissing(AirflowFailException):
    """The step's output is not there and will not be, or has nothing at ``path``; the task is not retried."""


class StepNotEnded(AirflowException):
    """The step has not ended, or not been reached yet; its run is active."""


class ResultTooLarge(AirflowFailException):
    """The runs are too large for XCom; ``output_path`` writes them to a file instead."""


class ExtractionNotReady(AirflowException):
    """The document of the extraction is still being processed; wait for the flow run that it belongs to."""


class ExtractionFailed(AirflowException):
    """The document of the extraction could not be read."""


class TableNotFound(AirflowException):
    """The extraction has no such table."""


class EmptyTable(AirflowException):
    """The table of the extraction has no rows, and ``on_empty`` is ``fail``."""


class ExtractToFailed(AirflowFailException):
    """The run succeeded, and ``extract_to`` cannot write what it made; trying again would not change this."""


class FlowRunUnobservable(FlowRunsError):
    """The run could not be observed for longer than the error budget, or disappeared; it may still be active.

    Deliberately no AirflowException: ``soft_fail`` applies to the run's outcome, not to monitoring failures.

    :param message: for how long, and the last error.
    :param run: summary of the run when it was last seen, None if it never was.
    """

    def __init__(self, message: str, run: RunSummary | None = None) -> None:
        super().__init__(message)
        self.run = run
