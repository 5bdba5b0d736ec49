"""Operators on Portable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_flowruns.model.choices import IfRunning
from airflow_provider_flowruns.operators.base import ReadOperator
from airflow_provider_flowruns.operators.flows import ListFlowsOperator
from airflow_provider_flowruns.operators.history import HistoryOperator
from airflow_provider_flowruns.operators.run import RunOperator
from airflow_provider_flowruns.services.catalog import PORTABLE
from airflow_provider_flowruns.services.portable_arguments import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    validate_flow_id,
    validate_sort,
)
from airflow_provider_flowruns.tasks.arguments import (
    check_choice,
    check_range_when_known,
    check_when_known,
    get_given_arguments,
    parse_seconds,
)
from airflow_provider_flowruns.tasks.explained_errors import explains_errors

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.hooks.portable import PortableHook  # noqa: F401 (base classes quote it)
    from airflow_provider_flowruns.model.calls import Pages
    from airflow_provider_flowruns.model.runs import Flow, FlowRun, RunSummary
    from airflow_provider_flowruns.tasks.started_run import StartedRun
    from airflow_provider_flowruns.tasks.starting import RunStarter


class PortableGetRunAttemptsOperator(HistoryOperator["PortableHook"]):
    """Return the run attempts of a flow as a list of run summaries in the given order, or write them to a file.

    Reads ``GET /v2/flows/{id}/run``; ``limit``, ``fetch_all``, ``max_runs`` and ``output_path``, and what is returned
    and raised, are those of :class:`~airflow_provider_flowruns.operators.history.HistoryOperator`. A request without a
    usable response raises an ``ApiError``.

    :param flow_id: the flow's number, templated.
    :param sort: ``DESC`` (newest first) or ``ASC``, by the time of creation, templated.
    :param start_time: leave out attempts before this time; datetime or ISO-8601 text, templated.
    :param end_time: leave out attempts after this time; datetime or ISO-8601 text, templated.
    :param portable_conn_id: Airflow connection of type ``portable``, templated.
    """

    template_fields: Sequence[str] = (
        "flow_id",
        "sort",
        "start_time",
        "end_time",
        "limit",
        "max_runs",
        "output_path",
        "portable_conn_id",
    )
    info = PORTABLE
    default_limit = DEFAULT_LIMIT
    max_limit = fetch_all_page_size = MAX_LIMIT

    def __init__(
        self,
        *,
        flow_id: int | str,
        sort: str = "DESC",
        start_time: datetime | str | None = None,
        end_time: datetime | str | None = None,
        portable_conn_id: str = PORTABLE.default_conn_id,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.sort = sort
        self.start_time = start_time
        self.end_time = end_time
        self.portable_conn_id = portable_conn_id
        check_when_known(flow_id, validate_flow_id)
        check_when_known(sort, validate_sort)
        check_range_when_known(start_time, end_time, "start_time", "end_time")
        self._given = get_given_arguments(self, *self.template_fields)

    def pages(self, page_size: int) -> Pages[FlowRun]:
        """Return the flow's run attempts."""
        attempts: Pages[FlowRun] = self.hook.api.get_run_attempts(
            self.flow_id, limit=page_size, sort=self.sort, start_time=self.start_time, end_time=self.end_time
        )
        return attempts


class PortableListFlowsOperator(ListFlowsOperator["PortableHook"]):
    """Return all flows of the account as a list of flow summaries.

    Reads ``GET /v2/flows``; what is returned and raised is that of
    :class:`~airflow_provider_flowruns.operators.flows.ListFlowsOperator`.

    :param portable_conn_id: Airflow connection of type ``portable``, templated.
    """

    template_fields: Sequence[str] = ("portable_conn_id",)
    info = PORTABLE

    def __init__(self, *, portable_conn_id: str = PORTABLE.default_conn_id, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.portable_conn_id = portable_conn_id

    def list_flows(self) -> Iterable[Flow]:
        """Return the account's flows."""
        return self.hook.list_flows()


class PortableRunFlowOperator(RunOperator["PortableHook"]):
    """Start a flow and wait for that very run.

    Starts it with ``POST /v2/flows/{id}/run``. The response does not name the run, so the newest run attempt is saved
    before; the run is the newer attempt with trigger ``API`` that was created while the request was in flight. Tasks of
    one machine start the same flow one after the other. If another API client, or a task of another machine, starts
    the flow within the same few seconds, the runs cannot be told apart: then the task warns with the ids of all runs
    that may be its own, waits for all of them, and succeeds only if all succeed.

    Portable cancels by flow (``POST /v2/flows/{id}/cancel``), so a run is cancelled only while no other run is active,
    and never while it is not certain which run is this task's.

    :param flow_id: the flow's number, templated.
    :param if_running: what to do if the flow is already running: ``wait`` until it has ended and then start it,
        ``join`` the active run and take its outcome (this task never cancels it), ``fail`` with
        ``FlowAlreadyRunning``, or ``skip``.
    :param portable_conn_id: Airflow connection of type ``portable``, templated.
    """

    template_fields: Sequence[str] = ("flow_id", "portable_conn_id")
    info = PORTABLE

    def __init__(
        self,
        *,
        flow_id: int | str,
        if_running: IfRunning = "wait",
        portable_conn_id: str = PORTABLE.default_conn_id,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.if_running = if_running
        self.portable_conn_id = portable_conn_id
        check_when_known(flow_id, validate_flow_id)
        check_choice(if_running, argument="if_running", choices=get_args(IfRunning))

    def start_run(self, starter: RunStarter) -> StartedRun:
        """Start the flow as soon as ``if_running`` allows it."""
        from airflow_provider_flowruns.operators.portable_runs import PortableStart

        return PortableStart(self, starter).start()

    @explains_errors
    def resume_after_other_run(
        self, context: Context, event: Any = None, deadline_at: float | None = None, limited_by: str = "timeout"
    ) -> Any:
        """Start the flow after the run that was in the way has ended.

        :param context: Airflow's context of the task.
        :param event: the trigger's event, see ``polling.run_waiter.WaitResult.to_dict``.
        :param deadline_at: Unix time at which the whole wait ends.
        :param limited_by: the argument that sets the deadline, ``timeout`` or ``execution_timeout``.
        """
        from airflow_provider_flowruns.operators.portable_runs import require_end
        from airflow_provider_flowruns.polling.wait_state import WaitResult

        if deadline_at:
            self.wait_limits = {"deadline_at": deadline_at, "limited_by": limited_by}
        require_end(WaitResult.from_dict(event), self.poll_interval)
        return self.execute(context)


class PortableCancelFlowOperator(ReadOperator["PortableHook"]):
    """Cancel the active runs of a flow, and return its status afterwards as a run summary.

    Sends ``POST /v2/flows/{id}/cancel``, which does nothing if the flow is idle, and then reads
    ``GET /v2/flows/{id}/status`` until the flow is idle. Raises ``FlowRunTimeout`` if it does not become idle in time,
    and an ``ApiError`` if there is no usable response.

    :param flow_id: the flow's number, templated.
    :param timeout: seconds or timedelta within which the flow has to become idle.
    :param poll_interval: seconds or timedelta between two polls.
    :param portable_conn_id: Airflow connection of type ``portable``, templated.
    """

    template_fields: Sequence[str] = ("flow_id", "portable_conn_id")
    info = PORTABLE

    def __init__(
        self,
        *,
        flow_id: int | str,
        timeout: float | timedelta = 300,
        poll_interval: float | timedelta = 5,
        portable_conn_id: str = PORTABLE.default_conn_id,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.timeout = parse_seconds(timeout, argument="timeout")
        self.poll_interval = parse_seconds(poll_interval, argument="poll_interval")
        self.portable_conn_id = portable_conn_id
        check_when_known(flow_id, validate_flow_id)

    @explains_errors
    def execute(self, context: Context) -> RunSummary:
        """Cancel, and return the flow's status once it is idle."""
        from airflow_provider_flowruns.operators.portable_runs import cancel_flow

        return cancel_flow(self)
