"""Operators on Portable."""

from __future__ import annotations

import random
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, get_args

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_flowruns.client.clock import Clock
from airflow_provider_flowruns.exceptions import FlowAlreadyRunning, FlowRunTimeout
from airflow_provider_flowruns.hooks.portable import PortableHook
from airflow_provider_flowruns.metrics import Metric
from airflow_provider_flowruns.model.calls import Pages
from airflow_provider_flowruns.model.choices import IfRunning
from airflow_provider_flowruns.model.errors import FlowRunsError
from airflow_provider_flowruns.model.runs import Flow, FlowRun, RunSummary
from airflow_provider_flowruns.model.targets import NewestRunsTarget, RunTarget, StartedRunTarget
from airflow_provider_flowruns.operators.base import ReadOperator
from airflow_provider_flowruns.operators.flows import ListFlowsOperator
from airflow_provider_flowruns.operators.history import HistoryOperator
from airflow_provider_flowruns.operators.run import RunOperator
from airflow_provider_flowruns.polling.messages import describe
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import Outcome, WaitResult
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
from airflow_provider_flowruns.tasks.outcomes import build_error
from airflow_provider_flowruns.tasks.start_lock import StartLockTimeout, hold_start_lock
from airflow_provider_flowruns.tasks.started_run import StartedRun, StartedRunStore
from airflow_provider_flowruns.tasks.starting import RunStarter

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

#: Number of a flow's newest attempts that tell whether it is running.
_NEWEST_ATTEMPTS = 50
#: Maximum number of seconds for which a task keeps others of its machine from starting a flow after its own start.
MAX_LOCK_SECONDS = 10.0
#: Seconds between two polls while other tasks wait for the lock.
VISIBILITY_POLL_SECONDS = 1.0
#: Maximum of the random delay between the end of another run and the start of the flow, in seconds.
MAX_STAGGER_SECONDS = 10.0


class PortableGetRunAttemptsOperator(HistoryOperator[PortableHook]):
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
    hook_class = PortableHook
    default_limit = DEFAULT_LIMIT
    max_limit = fetch_all_page_size = MAX_LIMIT

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
        self._given = get_given_arguments(self, *self.template_fields)

    def pages(self, page_size: int) -> Pages[FlowRun]:
        """Return the flow's run attempts."""
        attempts: Pages[FlowRun] = self.hook.api.get_run_attempts(
            self.flow_id, limit=page_size, sort=self.sort, start_time=self.start_time, end_time=self.end_time
        )
        return attempts


class PortableListFlowsOperator(ListFlowsOperator[PortableHook]):
    """Return all flows of the account as a list of flow summaries.

    Reads ``GET /v2/flows``; what is returned and raised is that of
    :class:`~airflow_provider_flowruns.operators.flows.ListFlowsOperator`.

    :param portable_conn_id: Airflow connection of type ``portable``, templated.
    """

    template_fields: Sequence[str] = ("portable_conn_id",)
    hook_class = PortableHook

    def __init__(self, *, portable_conn_id: str = PortableHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.portable_conn_id = portable_conn_id

    def list_flows(self) -> Iterable[Flow]:
        """Return the account's flows."""
        return self.hook.list_flows()


class PortableRunFlowOperator(RunOperator[PortableHook]):
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
    hook_class = PortableHook

    def __init__(
        self,
        *,
        flow_id: int | str,
        if_running: IfRunning = "wait",
        portable_conn_id: str = PortableHook.default_conn_name,
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
        flow_id = validate_flow_id(self.flow_id)
        while True:
            with self._start_lock(flow_id):
                newest = self._read_newest_attempts(flow_id)
                running = next((attempt for attempt in newest if attempt.is_active), None)
                if running is None:
                    marker = starter.new_marker("", newest[0].run_id if newest else None)
                    started = starter.start(StartedRun(flow_id, marker), self.hook.api.run_flow(flow_id))
                    # The next holder of the lock must see it running; if that takes too long, the lock is released.
                    self._wait_until_visible(started, starter.store)
                    return started
            if self.if_running == "join":
                return self._join(running, starter.store)
            self._wait_for_other_run(running)

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
        if deadline_at:
            self.wait_limits = {"deadline_at": deadline_at, "limited_by": limited_by}
        self._require_end(WaitResult.from_dict(event))
        return self.execute(context)

    @contextmanager
    def _start_lock(self, flow_id: str) -> Generator[None]:
        """Let one task of this machine at a time start the flow; starts of other machines are told apart by time."""
        seconds_left = self.wait_limits["deadline_at"] - self.clock.now()
        try:
            with hold_start_lock(self.hook.settings.base_url, flow_id, timeout=seconds_left) as problem:
                if problem:
                    self.log.warning(
                        "No lock file for starts of Portable flow %s (%s): set TMPDIR to a folder that the worker can "
                        "write to. Until then, tasks of this machine that start the flow at the same moment wait for "
                        "all of their runs",
                        flow_id,
                        problem,
                    )
                yield
        except StartLockTimeout:
            raise FlowRunTimeout(
                f"Portable flow {flow_id} was not started: other tasks of this machine were starting it during all of "
                f"this task's timeout ({self.timeout:g} s); let this task be retried, or raise timeout"
            ) from None

    def _read_newest_attempts(self, flow_id: str) -> tuple[FlowRun, ...]:
        # Read as a wait reads them: if the newest attempt cannot be read, nothing may be started.
        target = NewestRunsTarget("portable", flow_id, _NEWEST_ATTEMPTS)
        return self.hook.client.execute(self.hook.api.poll(target))

    def _wait_until_visible(self, started: StartedRun, store: StartedRunStore) -> None:
        """Wait until the attempt list shows the run, for as long as the lock may be held."""
        until = self.clock.now() + MAX_LOCK_SECONDS
        target = started.to_target("portable")
        while True:
            seen = self.hook.client.poll(target)
            if isinstance(seen, FlowRunsError) or self.clock.now() >= until:
                return
            if seen and isinstance(target, StartedRunTarget):
                store.record_runs(target.marker.most_likely(seen))
                return
            time.sleep(min(VISIBILITY_POLL_SECONDS, self.poll_interval))

    def _join(self, running: FlowRun, store: StartedRunStore) -> StartedRun:
        self.log.warning(
            "Joined run %s of flow %s, which this task did not start and will not cancel",
            running.run_id,
            running.flow_id,
        )
        generation = store.generation
        return store.save(StartedRun(running.flow_id, run_id=running.run_id, is_joined=True, generation=generation))

    def _wait_for_other_run(self, running: FlowRun) -> None:
        """Wait for the end of a run that is in the way, in this process or in the triggerer.

        :raises FlowRunTimeout: it does not end in time; nothing was started.
        """
        reason = f"Portable flow {running.flow_id} is already running (run {running.run_id})"
        if self.if_running == "fail":
            raise FlowAlreadyRunning(reason)
        if self.if_running == "skip":
            raise AirflowSkipException(reason)
        self.log.info("%s; waiting for it to end before starting another run", reason)
        target = RunTarget("portable", str(running.run_id), running.flow_id)
        config = self.build_config(target, interval_seconds=self.poll_interval, on_paused="wait", **self.wait_limits)
        waiter = RunWaiter(config, self.clock.now())
        self.log_beginning(waiter, f"deferrable={self.deferrable}")
        if self.deferrable:
            self.hand_over(waiter, "resume_after_other_run", **self.wait_limits)
        while (action := self.poll(waiter)).result is None:
            time.sleep(action.wait)
        self._require_end(action.result)

    def _require_end(self, result: WaitResult) -> None:
        if result.outcome not in {Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELED, Outcome.SKIPPED}:
            raise build_error(result, FlowRunTimeout)
        # All tasks that waited for this end see it at the same moment; the first one to start is seen by the others.
        time.sleep(random.random() * min(MAX_STAGGER_SECONDS, self.poll_interval))


class PortableCancelFlowOperator(ReadOperator[PortableHook]):
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

    @explains_errors
    def execute(self, context: Context) -> RunSummary:
        """Cancel, and return the flow's status once it is idle."""
        clock = Clock()
        deadline = clock.now() + self.timeout
        with self.hook as hook:
            hook.cancel_flow(self.flow_id)
            if self.metrics:
                self.metrics.increment(Metric.CANCELS)
            while True:
                status: FlowRun = hook.get_flow_status(self.flow_id)
                if not status.is_active:
                    return status.summary()
                if clock.now() >= deadline:
                    raise FlowRunTimeout(f"{describe(status)} {self.timeout:g} s after it was cancelled")
                time.sleep(self.poll_interval)
