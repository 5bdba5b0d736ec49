"""Operators on Activepieces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.operators.activepieces_outputs import ActivepiecesGetStepOutputOperator
from airflow_provider_flowruns.operators.base import ReadRunOperator
from airflow_provider_flowruns.operators.flows import ListFlowsOperator
from airflow_provider_flowruns.operators.history import HistoryOperator
from airflow_provider_flowruns.operators.run import RunOperator
from airflow_provider_flowruns.services.activepieces_arguments import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    validate_flow_id,
    validate_run_id,
    validate_statuses,
    validate_step,
    validate_strategy,
)
from airflow_provider_flowruns.services.catalog import ACTIVEPIECES
from airflow_provider_flowruns.services.payload import parse_payload
from airflow_provider_flowruns.tasks.arguments import (
    check_range_when_known,
    check_text,
    check_when_known,
    get_given_arguments,
    get_known_part,
    require_rendered,
)
from airflow_provider_flowruns.tasks.explained_errors import explains_errors
from airflow_provider_flowruns.tasks.xcom_size import check_xcom_size

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.hooks.activepieces import ActivepiecesHook  # noqa: F401 (base classes quote it)
    from airflow_provider_flowruns.model.calls import Pages
    from airflow_provider_flowruns.model.runs import Flow, FlowRun, RunSummary
    from airflow_provider_flowruns.tasks.started_run import StartedRun
    from airflow_provider_flowruns.tasks.starting import RunStarter

__all__ = [
    "ActivepiecesGetFlowRunOperator",
    "ActivepiecesGetStepOutputOperator",
    "ActivepiecesListFlowRunsOperator",
    "ActivepiecesListFlowsOperator",
    "ActivepiecesRetryFlowRunOperator",
    "ActivepiecesRunFlowOperator",
]


class ActivepiecesGetFlowRunOperator(ReadRunOperator["ActivepiecesHook"]):
    """Return the summary of a flow run in its current state.

    Reads ``GET /api/v1/flow-runs/{id}``; the data of the run's steps stays out of XCom. Raises ``InvalidArgumentError``
    for an invalid id, and an ``ApiError`` if there is no usable response.

    :param run_id: the run's id, 21 letters and digits, templated.
    :param activepieces_conn_id: Airflow connection of type ``activepieces``, templated.
    """

    template_fields: Sequence[str] = ("run_id", "activepieces_conn_id")
    info = ACTIVEPIECES

    def __init__(self, *, run_id: str, activepieces_conn_id: str = ACTIVEPIECES.default_conn_id, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.activepieces_conn_id = activepieces_conn_id
        check_when_known(run_id, validate_run_id)

    @explains_errors
    def execute(self, context: Context) -> RunSummary:
        """Return the run's summary."""
        with self.hook as hook:
            return self.result(hook.get_flow_run(self.run_id).summary(), context)


class ActivepiecesListFlowRunsOperator(HistoryOperator["ActivepiecesHook"]):
    """Return the project's production runs, newest first, as a list of run summaries, or write them to a file.

    Reads ``GET /api/v1/flow-runs``, which needs the connection's ``project_id``; ``limit``, ``fetch_all``, ``max_runs``
    and ``output_path``, and what is returned and raised, are those of
    :class:`~airflow_provider_flowruns.operators.history.HistoryOperator`. A request without a usable response raises an
    ``ApiError``. The page size is 100 unless ``limit`` is given, because each run contains its flow's whole definition.

    :param flow_id: only runs of this flow, templated.
    :param status: only runs in this status, or one of these, in the service's words, templated.
    :param created_after: leave out runs created before this time; datetime or ISO-8601 text, templated.
    :param created_before: leave out runs created after this time; datetime or ISO-8601 text, templated.
    :param activepieces_conn_id: Airflow connection of type ``activepieces``, templated.
    """

    template_fields: Sequence[str] = (
        "flow_id",
        "status",
        "created_after",
        "created_before",
        "limit",
        "max_runs",
        "output_path",
        "activepieces_conn_id",
    )
    info = ACTIVEPIECES
    default_limit = fetch_all_page_size = DEFAULT_LIMIT
    max_limit = MAX_LIMIT

    def __init__(
        self,
        *,
        flow_id: str | None = None,
        status: Sequence[str] | str | None = None,
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
        activepieces_conn_id: str = ACTIVEPIECES.default_conn_id,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.status = status
        self.created_after = created_after
        self.created_before = created_before
        self.activepieces_conn_id = activepieces_conn_id
        if flow_id is not None:
            check_when_known(flow_id, validate_flow_id)
        check_when_known(status, validate_statuses)
        check_range_when_known(created_after, created_before, "created_after", "created_before")
        self._given = get_given_arguments(self, *self.template_fields)

    def pages(self, page_size: int) -> Pages[FlowRun]:
        """Return the project's runs."""
        runs: Pages[FlowRun] = self.hook.api.list_flow_runs(
            flow_id=self.flow_id,
            status=self.status,
            created_after=self.created_after,
            created_before=self.created_before,
            limit=page_size,
        )
        return runs


class ActivepiecesListFlowsOperator(ListFlowsOperator["ActivepiecesHook"]):
    """Return the project's flows as a list of flow summaries.

    Reads ``GET /api/v1/flows``, which needs the connection's ``project_id``; what is returned and raised is that of
    :class:`~airflow_provider_flowruns.operators.flows.ListFlowsOperator`.

    :param activepieces_conn_id: Airflow connection of type ``activepieces``, templated.
    """

    template_fields: Sequence[str] = ("activepieces_conn_id",)
    info = ACTIVEPIECES

    def __init__(self, *, activepieces_conn_id: str = ACTIVEPIECES.default_conn_id, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activepieces_conn_id = activepieces_conn_id

    def list_flows(self) -> Iterable[Flow]:
        """Return the project's flows."""
        return self.hook.list_flows()


class ActivepiecesRunFlowOperator(RunOperator["ActivepiecesHook"]):
    """Start a flow that has a webhook trigger, and wait for that very run.

    Starts it with ``POST /api/v1/webhooks/{flowId}``, whose response does not name the run. So the payload contains a
    value that no other start has, which identifies the run. The API token is never sent to a webhook, because the
    server keeps the headers of the request in the run. Needs the connection's ``project_id`` and a token that may list
    the project's runs; both are checked before the flow is started.

    The runs of a flow whose trigger does not pass on its input do not show this value. If no run has shown it for three
    minutes, the task takes the run that was created at the time of the start, and warns; if there are several, it waits
    for all of them and succeeds only if all succeed.

    Cancelling (``POST /api/v1/flow-runs/cancel``) works while the run is queued or paused.

    With ``return_step`` the result is the run's summary with what that step returned under ``step_output``, see
    :class:`~airflow_provider_flowruns.operators.activepieces_outputs.ActivepiecesGetStepOutputOperator`. It is read
    before the task counts as done, so that a retry finds the same run and reads it again. The task fails without a
    retry if there is no such step, no output, or too much of it, and if the run does not show the task's own value.

    :param flow_id: the flow's id, 21 letters and digits, templated.
    :param payload: JSON object or list that the flow's trigger is called with, or one as JSON text, templated;
        datetimes in it are sent as ISO-8601 text.
    :param correlation_key: key under which this task's own value is added to the payload or, where that is a list, to
        the query of the webhook's address.
    :param retry_from_failure: if the task is retried and its own run has failed, retry that run from its failed step
        instead of starting a new one.
    :param return_step: name of a step whose output is returned too, such as ``step_3``, templated.
    :param activepieces_conn_id: Airflow connection of type ``activepieces``, templated.
    """

    template_fields: Sequence[str] = ("flow_id", "payload", "return_step", "activepieces_conn_id")
    info = ACTIVEPIECES

    def __init__(
        self,
        *,
        flow_id: str,
        payload: Mapping[str, Any] | Sequence[Any] | str | None = None,
        correlation_key: str = "airflow_run",
        retry_from_failure: bool = False,
        return_step: str | None = None,
        activepieces_conn_id: str = ACTIVEPIECES.default_conn_id,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.payload = payload
        self.correlation_key = correlation_key
        self.retry_from_failure = retry_from_failure
        self.return_step = return_step
        self.activepieces_conn_id = activepieces_conn_id
        check_when_known(flow_id, validate_flow_id)
        check_text(correlation_key, argument="correlation_key")
        parse_payload(get_known_part(payload), reserved=correlation_key)
        self._payload_given = payload is not None
        self._returns_step = return_step is not None
        if self._returns_step:
            check_when_known(return_step, self._validate_return_step)
            if not self.wait:
                raise InvalidArgumentError("return_step requires wait=True: the step returns something when it has run")

    def start_run(self, starter: RunStarter) -> StartedRun:
        """Call the flow's webhook."""
        from airflow_provider_flowruns.operators.activepieces_runs import start_flow

        flow_id = validate_flow_id(self.flow_id)
        if self._returns_step:
            self._validate_return_step(self.return_step)
        if self._payload_given:
            require_rendered(self.payload, argument="payload")
        payload = parse_payload(self.payload, reserved=self.correlation_key)
        return start_flow(self.hook, flow_id, payload, self.correlation_key, starter)

    def recover_run(self, failed: FlowRun, starter: RunStarter) -> StartedRun | None:
        """Retry the failed run from its failed step, if asked to."""
        from airflow_provider_flowruns.operators.activepieces_runs import retry_run

        if not self.retry_from_failure or failed.disposition != "FAILED":
            return None
        return retry_run(self.hook, failed, "FROM_FAILED_STEP", starter)

    def add_results(self, summary: RunSummary, context: Context) -> Mapping[str, Any]:
        """Add what the step returned, if one is named."""
        from airflow_provider_flowruns.operators.activepieces_runs import read_returned_step

        added = super().add_results(summary, context)
        if not self._returns_step:
            return added
        step = self._validate_return_step(self.return_step)
        result = {**added, "step_output": read_returned_step(self, summary, step)}
        check_xcom_size(
            result,
            f"what {step} of run {summary['run_id']} returned",
            "write it with ActivepiecesGetStepOutputOperator",
        )
        return result

    @staticmethod
    def _validate_return_step(value: Any) -> str:
        return validate_step(value, argument="return_step")


class ActivepiecesRetryFlowRunOperator(RunOperator["ActivepiecesHook"]):
    """Retry a failed run, and wait for the end of the new attempt.

    Sends ``POST /api/v1/flow-runs/{id}/retry``. ``FROM_FAILED_STEP`` keeps the run's id, ``ON_LATEST_VERSION`` creates
    a new run; in both cases the old result is ignored. If the response is lost, the run is looked up with
    ``FROM_FAILED_STEP``; with ``ON_LATEST_VERSION`` nothing identifies the new run, so a retry of the task may create
    a second one.

    A run that has neither failed nor been cancelled raises ``FlowRunNotFailed`` with its state, and nothing is sent:
    the server would accept the request without running anything.

    :param run_id: the failed run's id, 21 letters and digits, templated.
    :param strategy: ``FROM_FAILED_STEP`` or ``ON_LATEST_VERSION``, templated.
    :param activepieces_conn_id: Airflow connection of type ``activepieces``, templated.
    """

    template_fields: Sequence[str] = ("run_id", "strategy", "activepieces_conn_id")
    info = ACTIVEPIECES

    def __init__(
        self,
        *,
        run_id: str,
        strategy: str = "FROM_FAILED_STEP",
        activepieces_conn_id: str = ACTIVEPIECES.default_conn_id,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.strategy = strategy
        self.activepieces_conn_id = activepieces_conn_id
        check_when_known(run_id, validate_run_id)
        check_when_known(strategy, validate_strategy)

    def start_run(self, starter: RunStarter) -> StartedRun:
        """Retry the run, if it has failed or was cancelled."""
        from airflow_provider_flowruns.operators.activepieces_runs import get_failed_run, retry_run

        run = get_failed_run(self.hook, self.run_id)
        return retry_run(self.hook, run, validate_strategy(self.strategy), starter)
