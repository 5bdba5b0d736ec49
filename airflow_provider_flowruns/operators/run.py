"""Starting a run exactly once and waiting for that very run: what the run operators of all services share."""

from __future__ import annotations

import time
import uuid
from abc import abstractmethod
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_flowruns.arguments import check_choice, parse_seconds
from airflow_provider_flowruns.exceptions import FlowRunTimeout, FlowRunUnobservable
from airflow_provider_flowruns.outcomes import error_for
from airflow_provider_flowruns.services.base import cancel_run
from airflow_provider_flowruns.services.errors import ApiError, FlowRunsError, NotFound, was_refused
from airflow_provider_flowruns.services.model import Call, Disposition, FlowRun, Kind, StartMark, Target
from airflow_provider_flowruns.task import WaitingTask
from airflow_provider_flowruns.task_state import TaskState, generation
from airflow_provider_flowruns.waiting.watch import Outcome, Verdict, Watch

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_STATE_KEY = "flowruns_run"

#: Seconds for which the worker itself looks for the run it started before it leaves that to the triggerer.
FIND_IN_WORKER = 60.0
#: Seconds between two looks for a run that was just started.
FIND_INTERVAL = 2.0
#: Seconds for one answer while a task is being killed.
KILL_TIMEOUT = 3.0


@dataclass
class OwnRun:
    """
    The run this task started or is about to start, as it is kept between tries.

    :param mark: what was noted before the start, None for a run that was not started but retried or joined.
    :param run_id: the run's id as soon as it is known.
    :param flow_id: the flow's id.
    :param ended_before: Unix time; an end of the run up to then belongs to an earlier attempt of it.
    :param delivered: generation of the task (see ``task_state.generation``) that has had this run's result.
    """

    flow_id: str | None
    mark: dict[str, Any] | None = None
    run_id: str | None = None
    ended_before: float | None = None
    delivered: int | None = None


class RunOperator(WaitingTask, BaseOperator):
    """
    Base of the operators that make a run and wait for it.

    Exactly one run a try: what was started is noted before the request is sent, and a start without an answer is
    looked up, never repeated. With Airflow 3.3 and newer a retried task finds its own run again: it waits for a live
    one, takes the result of one that succeeded, and starts anew after one that failed.

    The result is the run's summary. XCom ``run_id`` and ``run_url`` are pushed as soon as they are known, and the link
    *Flow run* with them. When the task succeeds, the asset events of its ``outlets`` say which run it was, see
    ``outlets.tell_outlets``.

    :param wait: wait for the end of the run; without, the result is the run as it was first seen.
    :param deferrable: wait in the triggerer; the default is Airflow's ``[operators] default_deferrable``.
    :param poll_interval: seconds or timedelta between two looks.
    :param timeout: seconds or timedelta until the wait fails with ``FlowRunTimeout``.
    :param error_budget: seconds or timedelta without one good answer before the wait fails with
        ``FlowRunUnobservable``.
    :param on_paused: what a paused run (or one in review) means: ``wait``, ``succeed``, ``fail`` or ``skip``.
    :param on_canceled: what a cancelled run means: ``fail`` or ``skip``.
    :param cancel_on_timeout: cancel the run when it does not end in time, where the service can.
    :param cancel_on_kill: cancel the run when the task is killed or marked failed or succeeded, where the service can.
    """

    ui_color = "#c9e9e3"

    def __init__(
        self,
        *,
        wait: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | timedelta = 30,
        timeout: float | timedelta = 7 * 24 * 60 * 60,
        error_budget: float | timedelta = 900,
        on_paused: str = "wait",
        on_canceled: str = "fail",
        cancel_on_timeout: bool = False,
        cancel_on_kill: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.wait = wait
        self.deferrable = deferrable
        self.poll_interval = parse_seconds(poll_interval, argument="poll_interval")
        self.timeout = parse_seconds(timeout, argument="timeout")
        self.error_budget = parse_seconds(error_budget, argument="error_budget")
        self.on_paused = on_paused
        self.on_canceled = on_canceled
        self.cancel_on_timeout = cancel_on_timeout
        self.cancel_on_kill = cancel_on_kill
        check_choice(on_paused, argument="on_paused", choices=("wait", "succeed", "fail", "skip"))
        check_choice(on_canceled, argument="on_canceled", choices=("fail", "skip"))
        self._own: OwnRun | None = None

    @abstractmethod
    def make_run(self, context: Context) -> OwnRun:
        """Make the run this task is for, noting it with :meth:`note` before the request is sent."""

    def recover(self, failed: FlowRun, context: Context) -> OwnRun | None:
        """
        Return the run that mends this task's own failed one, None to start anew.

        :param failed: the task's own run, which ended as failed or cancelled.
        """
        return None

    def execute(self, context: Context) -> Any:
        """Make the run, or find the one an earlier try made, and wait for it; see the class."""
        self._began = self.clock.now()
        with self.hook:
            self._own = self._earlier_run(context) or self.make_run(context)
            watch = self._watch_own_run()
            verdict = self._wait_here(watch, context)
            if not self.wait and watch.last_seen:
                return self._delivered(self.result(watch.last_seen.summary(), context), context)
            if verdict is None:
                self.hand_over(watch, cancel_on_kill=self.cancel_on_kill)
            return self._settle(verdict, context)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """
        Settle what the trigger saw; anything but a verdict that says success fails.

        :param event: the trigger's event, see ``waiting.watch.Verdict.to_dict``.
        """
        verdict = Verdict.from_dict(event)
        with self.hook:
            self._own = self._load(context) or _own_run_of(verdict)
            if verdict.run:
                self._know(verdict.run["run_id"], context)
            return self._settle(verdict, context)

    def on_kill(self) -> None:
        """Cancel the run, where the service can; say so where it cannot."""
        own = self._own
        if own is None:
            return
        if not self.cancel_on_kill:
            self.log.warning("The task was killed; its run %s goes on (cancel_on_kill=False)", own.run_id or "")
            return
        self._cancel(own)

    # -- making a run

    def note(self, own: OwnRun, context: Context) -> OwnRun:
        """
        Keep what is known of the own run, so that a later try, or a kill, finds it.

        :param own: what is known of it.
        """
        self._own = own
        TaskState(context, _STATE_KEY).save(asdict(own))
        return own

    def new_mark(self, correlation_key: str, context: Context, after_run_id: str | None = None) -> StartMark:
        """
        Return a mark for a start that is about to be sent.

        :param correlation_key: name under which the mark's value travels with the start; empty where it cannot.
        :param after_run_id: the flow's newest run by now, None when it has none.
        """
        ti = context["ti"]
        names = (ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index), uuid.uuid4().hex[:12])
        return StartMark("/".join(names), correlation_key, self.clock.now(), after_run_id)

    def start(self, own: OwnRun, call: Call[Any], context: Context) -> OwnRun:
        """
        Send a start that has been noted, once, and find out which run it became as far as it shows soon.

        :param own: the run to be, with its mark.
        :param call: the request that starts it.
        :raises FlowRunsError: the service refused, so nothing was started.
        :raises FlowRunUnobservable: there was no answer and no run appeared; the next try looks for it again first.
        """
        self.note(own, context)
        try:
            answer = self.hook.client.send(call)
        except FlowRunsError as error:
            if was_refused(error):
                TaskState(context, _STATE_KEY).forget()
                self._own = None
                raise
            self.log.warning("%s; looking for the run before anything else is started", error)
            return self._found_after(error, own, context)
        if isinstance(answer, FlowRun):
            self._found(answer, context)
        return own

    def find_now(self, own: OwnRun, context: Context) -> None:
        """
        Find out which run a start became, before another one can be started; what does not show soon can wait.

        :param own: the run that was started.
        """
        if own.run_id is None and (run := self._find(own, until=self.clock.now() + FIND_IN_WORKER)):
            self._found(run, context)

    def wait_for_other(self, running: FlowRun, context: Context) -> None:
        """
        Wait for the end of a run that is not ours, in this process or in the triggerer.

        :param running: the run that is in the way.
        :raises FlowRunTimeout: it does not end in time; nothing was started.
        """
        now = self.clock.now()
        self._ends = self._ends or self.ends_at(now, self._began)
        deadline, limited_by = self._ends
        target = Target(self.hook.api.info.name, Kind.RUN, running.flow_id, running.run_id)
        limits: dict[str, Any] = {"deadline": deadline, "limited_by": limited_by}
        watch = Watch(self.plan_for(target, interval=self.poll_interval, on_paused="wait", **limits), now)
        if self.deferrable:
            self.hand_over(watch, "other_run_ended", **limits)
        while True:
            decision = self.look(watch)
            if decision.verdict:
                self._check_ended(decision.verdict)
                return
            time.sleep(decision.wait)

    def other_run_ended(
        self, context: Context, event: Any = None, deadline: float | None = None, limited_by: str = "timeout"
    ) -> Any:
        """
        Go on when a run that was in the way has ended.

        :param event: the trigger's event, see ``waiting.watch.Verdict.to_dict``.
        :param deadline: Unix time at which the whole wait ends.
        :param limited_by: the argument that sets the deadline, ``timeout`` or ``execution_timeout``.
        """
        self._check_ended(Verdict.from_dict(event))
        self._ends = (deadline, limited_by) if deadline else None
        return self.execute(context)

    def _check_ended(self, verdict: Verdict) -> None:
        if verdict.outcome not in {Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELED, Outcome.SKIPPED}:
            raise error_for(verdict, FlowRunTimeout)

    def _found_after(self, error: FlowRunsError, own: OwnRun, context: Context) -> OwnRun:
        run = self._find(own, until=self.clock.now() + self.hook.api.info.appear_within)
        if run is None:
            raise FlowRunUnobservable(
                f"the start got no answer and no run of it appeared, it may still do so; a retry of this task looks "
                f"for it before it starts another ({error})"
            ) from error
        self._found(run, context)
        return own

    # -- finding the run of an earlier try

    def _earlier_run(self, context: Context) -> OwnRun | None:
        own = self._load(context)
        if own is None:
            return None
        self._own = own
        since = own.mark["since"] if own.mark else 0.0
        run = self._find(own, until=since + self.hook.api.info.appear_within)
        if run is None:
            self.log.info("The run of an earlier try is not there; starting anew")
            self._own = None
            return None
        if run.disposition in {Disposition.FAILED, Disposition.CANCELED} and not run.may_recover:
            self.log.info("Run %s of an earlier try is %s", run.run_id, run.disposition)
            return self.recover(run, context)
        self.log.info("Going on with run %s of an earlier try, which is %s", run.run_id or "", run.lifecycle)
        self._found(run, context)
        return own

    def _find(self, own: OwnRun, until: float) -> FlowRun | None:
        """
        Return the own run, looking again and again until a point in time.

        :raises FlowRunUnobservable: it cannot be looked at; nothing may be started then.
        """
        target = self._target_of(own)
        while True:
            seen = self._seen(target)
            if seen and not _is_earlier_end(seen[0], own):
                return seen[0]
            if self.clock.now() >= until:
                return None
            time.sleep(min(FIND_INTERVAL, self.poll_interval))

    def _seen(self, target: Target) -> tuple[FlowRun, ...]:
        try:
            runs: tuple[FlowRun, ...] = self.hook.client.run(self.hook.api.look(target))
        except NotFound:
            return ()
        except ApiError as error:
            if not error.transient:
                raise
            raise FlowRunUnobservable(
                f"could not look for this task's own run, so nothing is started: {error}"
            ) from error
        return runs

    def _load(self, context: Context) -> OwnRun | None:
        saved = TaskState(context, _STATE_KEY).load()
        if not saved:
            return None
        own = OwnRun(**{name: value for name, value in saved.items() if name in OwnRun.__dataclass_fields__})
        # Cleared after it had its result, a task starts a new run; one that died on the way to success does not.
        return None if own.delivered not in {None, generation(context)} else own

    # -- waiting

    def _target_of(self, own: OwnRun) -> Target:
        service = self.hook.api.info.name
        if own.run_id:
            return Target(service, Kind.RUN, own.flow_id, own.run_id)
        return Target(service, Kind.STARTED, own.flow_id, mark=StartMark(**own.mark) if own.mark else None)

    def _watch_own_run(self) -> Watch:
        own, now = self._own, self.clock.now()
        if own is None:
            raise ValueError("no run was made")
        deadline, limited_by = self._ends or self.ends_at(now, self._began)
        plan = self.plan_for(
            self._target_of(own),
            deadline=deadline,
            limited_by=limited_by,
            interval=self.poll_interval,
            ignore_ends_until=own.ended_before,
        )
        return Watch(plan, now)

    def _wait_here(self, watch: Watch, context: Context) -> Verdict | None:
        """Wait in this process: to the end, or, where that is left to others, until the run is known."""
        find_until = self.clock.now() + FIND_IN_WORKER
        while True:
            decision = self.look(watch)
            if watch.last_seen:
                self.see(watch.last_seen.summary(), context)
            if watch.target.run_id:
                self._know(watch.target.run_id, context)
            if decision.verdict:
                return decision.verdict
            known = bool(watch.target.run_id)
            if not self.wait and known and watch.last_seen:
                return None
            if self.wait and self.deferrable and (known or self.clock.now() >= find_until):
                return None
            time.sleep(decision.wait if known else min(decision.wait, FIND_INTERVAL))

    #: When this try of the task began, as Unix time.
    _began = 0.0
    #: When the whole wait ends, and the argument that says so; None until it begins.
    _ends: tuple[float, str] | None = None

    def _found(self, run: FlowRun, context: Context) -> None:
        self.see(run.summary(), context)
        self._know(run.run_id, context)

    def _know(self, run_id: str | None, context: Context) -> None:
        """Push the run's id as soon as it is known, and keep it for later tries."""
        own = self._own
        if own is None or not run_id or own.run_id == run_id == self._pushed:
            return
        own.run_id = self._pushed = run_id
        self.note(own, context)
        context["ti"].xcom_push(key="run_id", value=run_id)

    _pushed: str | None = None

    def _settle(self, verdict: Verdict, context: Context) -> dict[str, Any]:
        if verdict.outcome is Outcome.TIMED_OUT and self.cancel_on_timeout and self._own:
            self._cancel(self._own)
        return self._delivered(self.settle(verdict, context, timeout_error=FlowRunTimeout), context)

    def _delivered(self, summary: dict[str, Any], context: Context) -> dict[str, Any]:
        if self._own:
            self.note(replace(self._own, delivered=generation(context)), context)
        return summary

    def _cancel(self, own: OwnRun) -> None:
        """Cancel the own run as far as the service can; never raises, and asks Airflow for nothing."""
        from airflow_provider_flowruns.client.policy import ONCE
        from airflow_provider_flowruns.client.settings import with_timeout
        from airflow_provider_flowruns.client.sync import SyncClient

        try:
            # A client of its own: a kill interrupts the other one anywhere.
            with SyncClient(with_timeout(self.hook.settings, KILL_TIMEOUT), ONCE) as client:
                self.log.info("%s", client.run(cancel_run(client.settings.service, self._target_of(own))))
        except FlowRunsError as error:
            self.log.warning("Run %s could not be cancelled and may go on: %s", own.run_id or "", error)


def _own_run_of(verdict: Verdict) -> OwnRun | None:
    """Return the own run as the trigger saw it, for an Airflow that keeps nothing between a task's processes."""
    return OwnRun(verdict.run["flow_id"], run_id=verdict.run["run_id"]) if verdict.run else None


def _is_earlier_end(run: FlowRun, own: OwnRun) -> bool:
    """Whether a run shows the end that it had before it was retried."""
    ended = run.completed_at.timestamp() if run.completed_at else None
    return own.ended_before is not None and ended is not None and ended <= own.ended_before
