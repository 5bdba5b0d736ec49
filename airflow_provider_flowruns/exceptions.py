"""All exceptions of this package, in one place to import them from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_flowruns.model.errors import (
    ApiError,
    AuthenticationError,
    CodedError,
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

if TYPE_CHECKING:
    from airflow_provider_flowruns.model.quality import QualityCheck
    from airflow_provider_flowruns.model.runs import RunSummary

__all__ = [
    "ApiError",
    "AuthenticationError",
    "CodedError",
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


class FlowRunFailed(CodedError, AirflowException):
    """The run failed.

    :param message: which run, and the service's own error text.
    :param run: the run's summary.
    """

    code = "FR101"

    def __init__(self, message: str, run: RunSummary | None = None) -> None:
        super().__init__(message)
        self.run = run


class FlowRunCanceled(FlowRunFailed):
    """The run was cancelled."""

    code = "FR102"


class FlowRunTimeout(CodedError, AirflowException):
    """An operator's run did not end in time; unless it was cancelled, it continues."""

    code = "FR103"


class FlowAlreadyRunning(CodedError, AirflowException):
    """The flow was already running when it should start, and ``if_running`` is ``fail``."""

    code = "FR105"


class FlowRunNotFailed(CodedError, AirflowException):
    """The run that should be retried is still active, or has succeeded; nothing was sent."""

    code = "FR106"


class FlowRunQualityFailed(CodedError, AirflowException):
    """A flow's history did not pass the quality checks.

    :param message: each failed check with its value and limit.
    :param checks: the results of all checks.
    """

    code = "FR107"

    def __init__(self, message: str, checks: Sequence[QualityCheck] = ()) -> None:
        super().__init__(message)
        self.checks = [*checks]


class StepNotFound(CodedError, AirflowFailException):
    """The run's flow has no such step; the task is not retried."""

    code = "FR411"


class StepOutputMissing(CodedError, AirflowFailException):
    """The step's output is not there and will not be, or has nothing at ``path``; the task is not retried."""

    code = "FR412"


class StepNotEnded(CodedError, AirflowException):
    """The step has not ended, or not been reached yet; its run is active."""

    code = "FR413"


class ResultTooLarge(CodedError, AirflowFailException):
    """The runs are too large for XCom; ``output_path`` writes them to a file instead."""

    code = "FR401"


class ExtractionNotReady(CodedError, AirflowException):
    """The document of the extraction is still being processed; wait for the flow run that it belongs to."""

    code = "FR402"


class ExtractionFailed(CodedError, AirflowException):
    """The document of the extraction could not be read."""

    code = "FR403"


class TableNotFound(CodedError, AirflowException):
    """The extraction has no such table."""

    code = "FR404"


class EmptyTable(CodedError, AirflowException):
    """The table of the extraction has no rows, and ``on_empty`` is ``fail``."""

    code = "FR405"


class ExtractToFailed(CodedError, AirflowFailException):
    """The run succeeded, and ``extract_to`` cannot write what it made; trying again would not change this."""

    code = "FR406"


class FlowRunUnobservable(FlowRunsError):
    """The run could not be observed for longer than the error budget, or disappeared; it may still be active.

    Deliberately no AirflowException: ``soft_fail`` applies to the run's outcome, not to monitoring failures.

    :param message: for how long, and the last error.
    :param run: summary of the run when it was last seen, None if it never was.
    """

    code = "FR104"

    def __init__(self, message: str, run: RunSummary | None = None) -> None:
        super().__init__(message)
        self.run = run
