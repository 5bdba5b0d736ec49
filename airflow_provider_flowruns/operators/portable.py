"""Operators on Portable."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_flowruns.client.clock import Clock
from airflow_provider_flowruns.compat.task_state import generation
from airflow_provider_flowruns.exceptions import FlowAlreadyRunning, FlowRunTimeout
from airflow_provider_flowruns.hooks.portable import PortableHook
from airflow_provider_flowruns.model.calls import Pages
from airflow_provider_flowruns.model.runs import FlowRun, Kind
from airflow_provider_flowruns.model.targets import Target
from airflow_provider_flowruns.operators.base import ReadOperator
from airflow_provider_flowruns.operators.history import HistoryOperator
from airflow_provider_flowruns.operators.run import RunOperator
from airflow_provider_flowruns.polling.run_waiter import describe
from airflow_provider_flowruns.services.portable import DEFAULT_LIMIT, MAX_LIMIT, validate_flow_id, validate_sort
from airflow_provider_flowruns.tasks.arguments import (
    check_choice,
    check_range_when_known,
    check_when_known,
    given_arguments,
    parse_seconds,
)
from airflow_provider_flowruns.tasks.start_lock import StartLockTimeout, one_at_a_time
from airflow_provider_flowruns.tasks.started_run import StartedRun

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

#: So many of a flow's newest attempts tell whether it is running.
_NEWEST = 50
#: Seconds at most for which a task keeps others of its machine from starting a flow after its own start.
HOLD_LOCK_SECONDS = 10.0


class PortableGetRunAttemptsOperator(HistoryOperator[PortableHook]):
    """Return the run attempts of a flow, as a list of run summaries in the order asked for, or write them to a file.

    Reads ``GET /v2/flows/{id}/run``; ``limit``, ``fetch_all``, ``max_runs`` and ``output_path``, and what is returned
    and raised, are those of :class:`~airflow_provider_flowruns.operators.history.HistoryOperator`. A request without a
    usable answer raises an ``ApiError``.

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
    hook_class = PortableHook
    default_limit = DEFAULT_LIMIT
    max_limit = walk_limit = MAX_LIMIT

    def __init__(
        self,
        *,
        flow_id: int | str,
        sort: str = "DESC",
        start_time: datetime | str | None = None,
        end_time: datetime | str | None = None,
        portable_conn_id: str = PortableHook.default_conn_name,
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
        self._given = given_arguments(self, *self.template_fields)

    def pages(self, page_size: int) -> Pages[FlowRun]:
        """Return the flow's run attempts."""
        attempts: Pages[FlowRun] = self.hook.api.get_run_attempts(
            self.flow_id, limit=page_size, sort=self.sort, start_time=self.start_time, end_time=self.end_time
        )
        return attempts


class PortableRunFlowOperator(RunOperator[PortableHook]):
    """Start a flow and wait for that very run.

    Starts it with ``POST /v2/flows/{id}/run``, which names no run: the newest run attempt is noted before, and the
    attempt with trigger ``API`` that is newer, and that was created while the request was under way, is the one. Tasks
    that start the same flow on one machine do so one after the other. Another API client, or another machine's task,
    that starts it within the same few seconds cannot be told from this one: then the task warns with the ids of all
    runs that may be its own, waits for all of them, and succeeds only if all succeed.

    Cancelling goes by the flow (``POST /v2/flows/{id}/cancel``), so it is done only while no other run is active, and
    never while it is not certain which run is this task's.

    :param flow_id: the flow's number, templated.
    :param if_running: what to do when the flow is running already: ``wait`` until it has ended and then start, ``join``
        the run that is going and take its outcome (it is never cancelled by this task), ``fail`` with
        ``FlowAlreadyRunning``, or ``skip``.
    :param portable_conn_id: Airflow connection of type ``portable``, templated.
    """

    template_fields: Sequence[str] = ("flow_id", "portable_conn_id")
    hook_class = PortableHook

    def __init__(
        self,
        *,
        flow_id: int | str,
        if_running: str = "wait",
        portable_conn_id: str = PortableHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.if_running = if_running
        self.portable_conn_id = portable_conn_id
        check_when_known(flow_id, validate_flow_id)
        check_choice(if_running, argument="if_running", choices=("wait", "join", "fail", "skip"))

    def start_run(self, context: Context) -> StartedRun:
        """Start the flow as soon as ``if_running`` lets it."""
        flow_id = validate_flow_id(self.flow_id)
        while True:
            with self._start_lock(flow_id):
                newest = self._newest_attempts(flow_id)
                running = next((attempt for attempt in newest if attempt.is_active), None)
                if running is None:
                    marker = self.new_marker("", context, newest[0].run_id if newest else None)
                    own = self.start(StartedRun(flow_id, asdict(marker)), self.hook.api.run_flow(flow_id), context)
                    # Whoever is next must see it running; where it takes longer to show, the wait goes on outside.
                    self.wait_until_shown(own, HOLD_LOCK_SECONDS, context)
                    return own
            if self.if_running == "join":
                return self._join(running, context)
            self._let_end(running, context)

    def _join(self, running: FlowRun, context: Context) -> StartedRun:
        self.log.warning(
            "Joined run %s of flow %s, which this task did not start: it is never cancelled by this task",
            running.run_id,
            running.flow_id,
        )
        own = StartedRun(running.flow_id, run_id=running.run_id, is_joined=True, generation=generation(context))
        return self.save(own, context)

    @contextmanager
    def _start_lock(self, flow_id: str) -> Generator[None]:
        """Let one task of this machine at a time start the flow; another machine's tasks are told apart by time."""
        try:
            with one_at_a_time(self.hook.settings.base_url, flow_id, timeout=self.seconds_left) as problem:
                if problem:
                    self.log.warning(
                        "Starts of Portable flow %s by tasks of this machine are not kept apart, because there is no "
                        "lock file (%s): set TMPDIR to a folder that the worker can write to. Tasks that start it at "
                        "the same moment wait for all of their runs",
                        flow_id,
                        problem,
                    )
                yield
        except StartLockTimeout:
            raise FlowRunTimeout(
                f"Portable flow {flow_id} was being started by other tasks of this machine for all of this task's "
                f"timeout ({self.timeout:g} s), so it was not started; let this task be retried, or raise timeout"
            ) from None

    def _newest_attempts(self, flow_id: str) -> tuple[FlowRun, ...]:
        # As a wait reads them: where the newest one cannot be read, nothing may be started.
        target = Target("portable", Kind.FLOW_RUNS, flow_id, newest=_NEWEST)
        attempts: tuple[FlowRun, ...] = self.hook.client.execute(self.hook.api.poll(target))
        return attempts

    def _let_end(self, running: FlowRun, context: Context) -> None:
        said = f"Portable flow {running.flow_id} is running already (run {running.run_id})"
        if self.if_running == "fail":
            raise FlowAlreadyRunning(said)
        if self.if_running == "skip":
            raise AirflowSkipException(said)
        self.log.info("%s; waiting for its end before starting another", said)
        self.wait_for_other(running, context)


class PortableCancelFlowOperator(ReadOperator[PortableHook]):
    """Cancel whatever a flow is running, and return its status afterwards as a run summary.

    Sends ``POST /v2/flows/{id}/cancel``, which does nothing when the flow is idle, and then reads
    ``GET /v2/flows/{id}/status`` until the flow is at rest. Raises ``FlowRunTimeout`` when it does not come to rest,
    and an ``ApiError`` when there is no usable answer.

    :param flow_id: the flow's number, templated.
    :param timeout: seconds or timedelta for the flow to come to rest.
    :param poll_interval: seconds or timedelta between two looks.
    :param portable_conn_id: Airflow connection of type ``portable``, templated.
    """

    template_fields: Sequence[str] = ("flow_id", "portable_conn_id")
    hook_class = PortableHook

    def __init__(
        self,
        *,
        flow_id: int | str,
        timeout: float | timedelta = 300,
        poll_interval: float | timedelta = 5,
        portable_conn_id: str = PortableHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.timeout = parse_seconds(timeout, argument="timeout")
        self.poll_interval = parse_seconds(poll_interval, argument="poll_interval")
        self.portable_conn_id = portable_conn_id
        check_when_known(flow_id, validate_flow_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Cancel, and return the flow's status once it is at rest."""
        clock = Clock()
        deadline = clock.now() + self.timeout
        with self.hook as hook:
            hook.cancel_flow(self.flow_id)
            while True:
                status: FlowRun = hook.get_flow_status(self.flow_id)
                if not status.is_active:
                    return status.summary()
                if clock.now() >= deadline:
                    raise FlowRunTimeout(f"{describe(status)} {self.timeout:g} s after it was cancelled")
                time.sleep(self.poll_interval)
