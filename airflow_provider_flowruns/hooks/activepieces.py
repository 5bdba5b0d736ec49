"""Hook for Activepieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_flowruns.hooks.base import FlowRunsHook
from airflow_provider_flowruns.services.activepieces_arguments import DEFAULT_LIMIT, validate_path, validate_steps
from airflow_provider_flowruns.services.catalog import ACTIVEPIECES

if TYPE_CHECKING:
    from airflow_provider_flowruns.model.choices import RetryStrategy
    from airflow_provider_flowruns.model.runs import Flow, FlowRun
    from airflow_provider_flowruns.services.activepieces import ActivepiecesApi  # noqa: F401 (the base class quotes it)


class ActivepiecesHook(FlowRunsHook["ActivepiecesApi"]):
    """Reads flows and flow runs of Activepieces, in the cloud or self-hosted.

    Every method raises an :class:`~airflow_provider_flowruns.exceptions.ApiError` if there is no usable response, and
    before any request ``InvalidArgumentError`` for an invalid argument or ``ConfigurationError`` for an invalid
    connection (lists need its ``project_id``).

    :param activepieces_conn_id: Airflow connection of type ``activepieces``.
    """

    info = ACTIVEPIECES

    def __init__(self, activepieces_conn_id: str = ACTIVEPIECES.default_conn_id) -> None:
        super().__init__()
        self.activepieces_conn_id = activepieces_conn_id

    def get_flow_run(self, run_id: str) -> FlowRun:
        """Return one run; its ``raw`` holds the data of all steps (``GET /api/v1/flow-runs/{id}``).

        :param run_id: 21 letters and digits.
        """
        return self._send(self.api.get_flow_run(run_id))

    def get_step_outputs(
        self, run_id: str, steps: Sequence[str], *, path: str | None = None, include_input: bool = False
    ) -> dict[str, Any]:
        """Return the outputs of some steps of a run, by the steps' names (``GET /api/v1/flow-runs/{id}``).

        An output is what the step returned. That of a step in a loop is a list with one output for each iteration, in
        nested loops a list of lists; an iteration in which the step was not reached, failed or did not end has None.
        The output of a loop contains the records of the steps in it.

        What a flow is given can hold secrets and is left out unless ``include_input``: the ``input`` of steps, also
        within the output of a loop, and the ``headers`` in the output of the trigger.

        :param run_id: 21 letters and digits.
        :param steps: names of the steps as the run shows them, such as ``step_1``; ``trigger`` is the trigger.
        :param path: JMESPath expression, applied to each output, in a loop to that of each iteration. A null counts as
            nothing. It is an error if it finds nothing; in a loop, if it finds nothing in any iteration.
        :param include_input: return ``{"output": ..., "input": ...}`` for each step.
        :raises StepNotFound: the flow has no such step.
        :raises StepNotEnded: the run is active and the step has not ended, or it is a loop or in one.
        :raises StepOutputMissing: the step has no output, or nothing at ``path``; or the server has deleted it.
        """
        names = validate_steps(steps)
        if path is not None:
            validate_path(path)
        return self.read_step_outputs(self.get_flow_run(run_id), names, path=path, include_input=include_input)

    @staticmethod
    def read_step_outputs(
        run: FlowRun, steps: Sequence[str], *, path: str | None = None, include_input: bool = False
    ) -> dict[str, Any]:
        """Return the outputs of some steps of a run that has been read, as :meth:`get_step_outputs` does.

        :param run: the run, as :meth:`get_flow_run` returns it.
        :param steps: names of the steps.
        :param path: see :meth:`get_step_outputs`.
        :param include_input: see :meth:`get_step_outputs`.
        :raises AirflowException: see :meth:`get_step_outputs`.
        """
        from airflow_provider_flowruns import exceptions
        from airflow_provider_flowruns.services.activepieces_steps import StepError, StepProblem, read_step_outputs

        errors = {
            StepProblem.NOT_FOUND: exceptions.StepNotFound,
            StepProblem.NOT_ENDED: exceptions.StepNotEnded,
            StepProblem.MISSING: exceptions.StepOutputMissing,
        }
        try:
            return read_step_outputs(run, steps, path=path, include_input=include_input, now=datetime.now(UTC))
        except StepError as error:
            raise errors[error.problem](str(error)) from None

    def list_flow_runs(
        self,
        *,
        flow_id: str | None = None,
        status: Iterable[str] | str | None = None,
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
        limit: int | str = DEFAULT_LIMIT,
    ) -> Iterator[FlowRun]:
        """Yield the project's production runs, newest first (``GET /api/v1/flow-runs``).

        :param flow_id: only runs of this flow.
        :param status: only runs in this status, or one of these, in the service's words.
        :param created_after: leave out runs created before this time.
        :param created_before: leave out runs created after this time.
        :param limit: runs a page, 1 to 1000.
        """
        return self._iterate(
            self.api.list_flow_runs(
                flow_id=flow_id,
                status=status,
                created_after=created_after,
                created_before=created_before,
                limit=limit,
            )
        )

    def run_flow(self, flow_id: str, payload: Mapping[str, Any] | Sequence[Any] | str | None = None) -> None:
        """Start a flow by its webhook (``POST /api/v1/webhooks/{flowId}``); the response does not name the run.

        Sent without the token, and again only if it provably was not carried out. After a ``ServiceConnectionError`` or
        ``ServerError`` check before starting again: the flow may be running.

        :param flow_id: 21 letters and digits.
        :param payload: JSON object or list that the flow's trigger is called with, or one as JSON text; datetimes in it
            are sent as ISO-8601 text.
        """
        self._send(self.api.run_flow(flow_id, payload))

    def retry_flow_run(self, run_id: str, strategy: RetryStrategy = "FROM_FAILED_STEP") -> FlowRun:
        """Retry a failed run and return it, or the new one (``POST /api/v1/flow-runs/{id}/retry``).

        :param run_id: 21 letters and digits.
        :param strategy: ``FROM_FAILED_STEP`` keeps the run's id, ``ON_LATEST_VERSION`` makes a new run.
        """
        return self._send(self.api.retry_flow_run(run_id, strategy))

    def cancel_flow_runs(self, run_ids: Iterable[str]) -> None:
        """Cancel queued and paused runs; running ones continue (``POST /api/v1/flow-runs/cancel``).

        :param run_ids: ids of the runs; an empty list, which would mean all runs to the server, raises
            ``InvalidArgumentError``.
        """
        self._send(self.api.cancel_flow_runs(run_ids))

    def list_flows(self, *, limit: int | str = DEFAULT_LIMIT) -> Iterator[Flow]:
        """Yield the project's flows (``GET /api/v1/flows``).

        :param limit: flows a page, 1 to 1000.
        """
        return self._iterate(self.api.list_flows(limit=limit))
