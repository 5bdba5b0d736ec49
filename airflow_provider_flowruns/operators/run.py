"""Starting a run exactly once and waiting for that very run: what the run operators of all services share."""

from __future__ import annotations

import random
import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_flowruns.compat.task_state import TaskState, generation
from airflow_provider_flowruns.exceptions import FlowRunTimeout
from airflow_provider_flowruns.model.calls import Call
from airflow_provider_flowruns.model.errors import FlowRunsError, is_rejected
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.targets import StartMarker, Target, start_value
from airflow_provider_flowruns.polling.run_waiter import NextAction, Outcome, RunWaiter, WaitResult, describe, slowest
from airflow_provider_flowruns.services.base import cancel_run
from airflow_provider_flowruns.tasks.arguments import check_choice, parse_seconds
from airflow_provider_flowruns.tasks.base import HookT, WaitingTask
from airflow_provider_flowruns.tasks.outcomes import error_for
from airflow_provider_flowruns.tasks.started_run import StartedRun

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_STATE_KEY = "flowruns_run"

#: Seconds for which the worker itself looks for the run it started before it leaves that to the triggerer.
FIND_BEFORE_DEFERRING_SECONDS = 10.0
#: Seconds for which a task that does not wait looks for the run it started before it returns without its id.
FIND_WITHOUT_WAITING_SECONDS = 60.0
#: Seconds after a start before its run is looked for, where the service makes runs a moment later.
FIRST_LOOK_SECONDS = 1.0
#: Seconds between two looks while others wait for this start to show.
FIND_INTERVAL = 1.0
#: Seconds after a start within which runs that may be its one become visible, where nothing but time tells them apart.
SETTLE_SECONDS = 5.0
#: Seconds that sending a start takes at most, repetitions of one that was provably not accepted among them.
MAX_SENDING_SECONDS = 300.0
#: Seconds at most, at random, before a flow is started after another run of it ended: all who waited see that at once.
MAX_STAGGER_SECONDS = 10.0
#: Seconds for one answer while a task is being killed.
KILL_TIMEOUT = 3.0


class RunOperator(WaitingTask[HookT], BaseOperator):
    """Base of the operators that make a run and wait for it.

    Exactly one run a try: what was started is noted before the request is sent, and a start without an answer is
    looked up, never repeated. With Airflow 3.3 and newer a retried task finds its own run again: it waits for a live
    one, takes the result of one that succeeded, and starts anew after one that failed. A start that was accepted is
    never repeated, not even when its run does not show: then the task fails with ``FlowRunUnobservable``, which says
    how to go on.

    The result is the run's summary. XCom ``run_id`` and ``run_url`` are pushed as soon as they are known, and the link
    *Flow run* with them. When the task succeeds, the asset events of its ``outlets`` say which run it was, see
    ``outlets.emit_asset_events``.

    :param wait: wait for the end of the run. Without, the result is the run as it is first seen; of a start that was
        accepted and whose run does not show within a minute, a summary without ``run_id``, ``PENDING``.
    :param deferrable: wait in the triggerer; the default is Airflow's ``[operators] default_deferrable``.
    :param poll_interval: seconds or timedelta between two looks.
    :param timeout: seconds or timedelta until the wait fails with ``FlowRunTimeout``.
    :param error_budget: seconds or timedelta without one good answer before the wait fails with
        ``FlowRunUnobservable``.
    :param on_paused: what a paused run (or one in review) means: ``wait``, ``succeed``, ``fail`` or ``skip``.
    :param on_canceled: what a cancelled run means: ``fail`` or ``skip``.
    :param cancel_on_timeout: cancel the run when it does not end in time, where the service can; never one that this
        task did not start, or may not have started.
    :param cancel_on_kill: the same when the task is killed or marked failed or succeeded.
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
        self._own: StartedRun | None = None

    @abstractmethod
    def start_run(self, context: Context) -> StartedRun:
        """Make the run this task is for with :meth:`start`, or note one that it did not start with :meth:`note`."""

    def recover_run(self, failed: FlowRun, context: Context) -> StartedRun | None:
        """Return the run that mends this task's own failed one, None to start anew.

        :param failed: the task's own run, which ended as failed or cancelled.
        :param context: Airflow's context of the task.
        """
        return None

    def execute(self, context: Context) -> Any:
        """Make the run, or find the one an earlier try made, and wait for it; see the class."""
        self._began = self.clock.now()
        self._ends = self._ends or self.ends_at(self._began, self._began)
        with self.hook:
            own = self._earlier_run(context) or self.start_run(context)
            waiter = self._watch_for(own)
            if not self.wait:
                return self._as_first_seen(own, waiter, context)
            result = self._wait_here(waiter, context)
            if result is None:
                self.hand_over(
                    waiter, cancel_on_kill=self.cancel_on_kill and not own.is_joined, own_run=own.to_record()
                )
            return self._settle(result, context)

    def execute_complete(
        self, context: Context, event: Any = None, own_run: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Settle what the trigger saw; anything but a verdict that says success fails.

        :param context: Airflow's context of the task.
        :param event: the trigger's event, see ``polling.run_waiter.WaitResult.to_dict``.
        :param own_run: the own run as it was known before, for an Airflow without a store for it.
        """
        result = WaitResult.from_dict(event)
        with self.hook:
            self._own = self._load(context) or StartedRun.from_record(own_run) or _own_run_of(result)
            if result.run:
                self._push_run_id(result.run["run_id"], context)
            return self._settle(result, context)

    def on_kill(self) -> None:
        """Cancel the run, where the service can; say so where it cannot. A joined run is left alone."""
        own = self._own
        if own is None:
            return
        if not self.cancel_on_kill:
            self.log.warning("The task was killed; its run %s goes on (cancel_on_kill=False)", own.run_id or "")
            return
        self._cancel(own)

    # -- making a run

    def save(self, own: StartedRun, context: Context) -> StartedRun:
        """Keep what is known of the own run, so that a later try, or a kill, finds it.

        :param own: what is known of it.
        :param context: Airflow's context of the task.
        """
        self._own = own
        TaskState(context, _STATE_KEY).save(own.to_record())
        return own

    def new_marker(self, correlation_key: str, context: Context, after_run_id: str | None = None) -> StartMarker:
        """Return a mark for a start; :meth:`start` fills in its times. Read something from the service before.

        :param correlation_key: name under which the mark's value travels with the start; empty where it cannot.
        :param context: Airflow's context of the task.
        :param after_run_id: the flow's newest run by now, None when it has none.
        """
        ti = context["ti"]
        names = (ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index), start_value(self._service_time()))
        return StartMarker("/".join(names), correlation_key, after_run_id=after_run_id)

    def start(self, own: StartedRun, call: Call[Any], context: Context) -> StartedRun:
        """Send a start once, noting it before and what came of it after.

        :param own: the run to be, with its mark; what is learnt is noted in it.
        :param call: the request that starts it.
        :param context: Airflow's context of the task.
        :raises FlowRunsError: the service refused, so nothing was started.
        """
        client = self.hook.client
        if warning := client.vendor_clock.warning():
            self.log.warning("%s: %s", self.hook.api.info.title, warning)
        sent_at = time.time()
        own.sent_at, own.generation = self._service_time(), generation(context)
        self._bound(own, since=sent_at, until=sent_at + MAX_SENDING_SECONDS)
        self.save(own, context)
        run: Any = None
        try:
            run = client.send(call)
        except FlowRunsError as error:
            if is_rejected(error):
                TaskState(context, _STATE_KEY).forget()
                self._own = None
                raise
            own.problem = str(error)
            self.log.warning("%s; looking for the run before anything else is started", error)
        else:
            own.is_accepted = True
        self._bound(own, until=time.time())
        if isinstance(run, FlowRun):
            own.run_id = run.run_id
            self.record_run(run.summary(), context)
        self.save(own, context)
        self._push_run_id(own.run_id, context)
        return own

    def _bound(self, own: StartedRun, *, since: float | None = None, until: float) -> None:
        """Note when the run can have been created, on the service's clock, from what this machine's clock said."""
        if own.marker is None:
            return
        clock = self.hook.client.vendor_clock
        if since is not None and (earliest := clock.range_at(since)):
            own.marker["since"] = earliest[0]
        if latest := clock.range_at(until):
            own.marker["until"] = latest[1]

    def _service_time(self) -> float:
        return time.time() + float(self.hook.client.vendor_clock.offset_seconds)

    def wait_until_shown(self, own: StartedRun, seconds: float, context: Context) -> None:
        """Wait until the run of a start shows, so that whoever starts the same flow next sees it.

        :param own: the run that was started.
        :param seconds: how long at most.
        :param context: Airflow's context of the task.
        """
        until = self.clock.now() + seconds
        while True:
            target = self._target_of(own)
            seen = self.hook.client.poll(target)
            if isinstance(seen, FlowRunsError) or self.clock.now() >= until:
                return
            if seen and target.marker:
                self._note_runs(target.marker.likeliest(seen), None, context)
                return
            time.sleep(min(FIND_INTERVAL, self.poll_interval))

    def wait_for_other(self, running: FlowRun, context: Context) -> None:
        """Wait for the end of a run that is not ours, in this process or in the triggerer.

        :param running: the run that is in the way.
        :param context: Airflow's context of the task.
        :raises FlowRunTimeout: it does not end in time; nothing was started.
        """
        target = Target(self.hook.api.info.name, Kind.RUN, running.flow_id, running.run_id)
        limits = self._limits
        config = self.build_config(target, interval=self.poll_interval, on_paused="wait", **limits)
        waiter = RunWaiter(config, self.clock.now())
        if self.deferrable:
            self.hand_over(waiter, "resume_after_other_run", **limits)
        while True:
            action = self.poll(waiter)
            if action.result:
                self._check_ended(action.result)
                return
            time.sleep(action.wait)

    def resume_after_other_run(
        self, context: Context, event: Any = None, deadline: float | None = None, limited_by: str = "timeout"
    ) -> Any:
        """Go on when a run that was in the way has ended.

        :param context: Airflow's context of the task.
        :param event: the trigger's event, see ``polling.run_waiter.WaitResult.to_dict``.
        :param deadline: Unix time at which the whole wait ends.
        :param limited_by: the argument that sets the deadline, ``timeout`` or ``execution_timeout``.
        """
        self._ends = (deadline, limited_by) if deadline else None
        self._check_ended(WaitResult.from_dict(event))
        return self.execute(context)

    def _check_ended(self, result: WaitResult) -> None:
        if result.outcome not in {Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELED, Outcome.SKIPPED}:
            raise error_for(result, FlowRunTimeout)
        # All who waited for this end see it at the same moment; whoever is first is seen running by the others.
        time.sleep(random.random() * min(MAX_STAGGER_SECONDS, self.poll_interval))

    # -- the run of an earlier try

    def _earlier_run(self, context: Context) -> StartedRun | None:
        """Return the run that an earlier try made, as far as it is to be waited for; None to make one."""
        own = self._load(context)
        if own is None:
            return None
        self._own = own
        waiter = self._find_earlier(own, context)
        runs = waiter.last_runs
        if waiter.is_run_absent and self._may_start_again(own, context):
            self.log.warning("No run of %s shows; starting anew", self._described_start(own))
            self._own = None
            return None
        if runs and _have_failed(runs):
            self.log.info("%s, made by an earlier try", "; ".join(map(describe, runs)))
            return self.recover_run(runs[0], context) if len(runs) == 1 else None
        self.log.info("Going on with %s", "; ".join(map(describe, runs)) or self._described_start(own))
        return own

    def _may_start_again(self, own: StartedRun, context: Context) -> bool:
        """Tell whether a start whose run does not show may be repeated: it was lost, or the task was cleared since."""
        return not (own.is_accepted or own.is_joined) or own.generation != generation(context)

    def _find_earlier(self, own: StartedRun, context: Context) -> RunWaiter:
        waiter = self._look_until_known(own, 0.0, context)
        if not waiter.is_run_absent or not self._may_start_again(own, context):
            return waiter
        left = float(self.hook.api.info.appear_within)
        if not own.is_accepted and own.sent_at is not None:
            left -= self._service_time() - own.sent_at  # the service's clock has been measured by now
        return self._look_until_known(own, left, context) if left > 0.0 else waiter

    def _look_until_known(self, own: StartedRun, seconds: float, context: Context) -> RunWaiter:
        """Return a wait for the own run after the look that showed it, or may have, or the last one that did not.

        :raises FlowRunUnobservable: it could not be looked for; nothing may be started then.
        """
        waiter = self._watch_for(own, appear_within=seconds)
        while True:
            action = self.poll(waiter)
            if waiter.last_runs:
                self._note_runs(waiter.last_runs, waiter.target.run_id, context)
            if waiter.last_runs or waiter.may_be_shown:
                return waiter
            if action.result:
                if waiter.is_run_absent and action.result.outcome is Outcome.UNOBSERVABLE:
                    return waiter
                raise error_for(action.result, FlowRunTimeout)
            time.sleep(action.wait)

    def _load(self, context: Context) -> StartedRun | None:
        own = StartedRun.from_record(TaskState(context, _STATE_KEY).load())
        # Cleared after it had its result, a task starts a new run; one that died on the way to success does not.
        return own if own and own.delivered in {None, generation(context)} else None

    # -- waiting

    def _target_of(self, own: StartedRun) -> Target:
        service = self.hook.api.info.name
        if own.run_id:
            return Target(service, Kind.RUN, own.flow_id, own.run_id)
        return Target(service, Kind.STARTED, own.flow_id, marker=StartMarker(**own.marker) if own.marker else None)

    def _watch_for(self, own: StartedRun, **more: Any) -> RunWaiter:
        arguments: dict[str, Any] = {
            "kind": str(Kind.STARTED),
            "run_id": own.run_id,
            "marker": own.marker,
            "appear_within": self.hook.api.info.appear_within,
            "absent_hint": self._absent_hint(own),
            "decide_at": self._decide_at(own),
            "ignore_ends_until": own.ended_before,
            **self._limits,
        }
        config = self.build_config(self._target_of(own), interval=self.poll_interval, **{**arguments, **more})
        return RunWaiter(config, self.clock.now(), own.candidates)

    def _decide_at(self, own: StartedRun) -> float | None:
        if own.run_id or own.marker is None or own.marker["correlation_key"] or own.sent_at is None:
            return None
        age = max(0.0, self._service_time() - own.sent_at)
        return self.clock.now() + min(SETTLE_SECONDS, self.poll_interval) - age

    def _described_start(self, own: StartedRun) -> str:
        at = f" sent at {datetime.fromtimestamp(own.sent_at, UTC):%Y-%m-%d %H:%M:%S} UTC" if own.sent_at else ""
        return f"the start of flow {own.flow_id}{at}"

    def _absent_hint(self, own: StartedRun) -> str:
        title, hint = self.hook.api.info.title, self.hook.api.info.no_run_hint
        if own.is_joined:
            return "it may have been deleted"
        if not own.is_accepted:
            problem = f": {own.problem}" if own.problem else ""
            return (
                f"{self._described_start(own)} got no usable answer and may still be carried out: a retry of this task "
                f"looks again before it starts another{problem}"
            )
        causes = f"; {hint}" if hint else ""
        return (
            f"{title} accepted {self._described_start(own)}, so no other run is started for it, and a retry of this "
            f"task only looks again{causes}. Look for the run in {title}: if it did its work, mark this task as "
            "success; if there is none, clear this task, which looks once more and then starts a run"
        )

    #: When this try of the task began, as Unix time.
    _began = 0.0
    #: When the whole wait ends, and the argument that says so; None until it begins.
    _ends: tuple[float, str] | None = None

    @property
    def _limits(self) -> dict[str, Any]:
        """When the whole wait ends and which argument says so, as fields of a plan."""
        deadline, limited_by = self._ends = self._ends or self.ends_at(self.clock.now(), self._began)
        return {"deadline": deadline, "limited_by": limited_by}

    @property
    def seconds_left(self) -> float:
        """Seconds until the whole wait ends."""
        return max(0.0, float(self._limits["deadline"]) - self.clock.now())

    def _wait_here(self, waiter: RunWaiter, context: Context) -> WaitResult | None:
        """Wait in this process: to the end, or, where that is left to others, until the run is known."""
        find_until = self.clock.now() + FIND_BEFORE_DEFERRING_SECONDS
        self._let_it_appear(waiter)
        while True:
            action = self._look_for_own(waiter, context)
            if action.result:
                return action.result
            if self.deferrable and (waiter.last_runs or waiter.is_one_of_many or self.clock.now() >= find_until):
                return None
            time.sleep(action.wait)

    def _as_first_seen(self, own: StartedRun, waiter: RunWaiter, context: Context) -> dict[str, Any]:
        """Return the run as it is first seen; one that was accepted and does not show soon, as what is known of it."""
        find_until = self.clock.now() + FIND_WITHOUT_WAITING_SECONDS
        self._let_it_appear(waiter)
        while True:
            action = self._look_for_own(waiter, context)
            if waiter.last_seen:
                return self._delivered(self.result(waiter.last_seen.summary(), context), context)
            if action.result:
                return self._settle(action.result, context)
            left = find_until - self.clock.now()
            if own.is_accepted and left <= 0.0:
                self.log.warning("No run of %s shows yet; returning without its id", self._described_start(own))
                return self._delivered(self.result(self._accepted_run(own).summary(), context), context)
            time.sleep(min(action.wait, left) if own.is_accepted else action.wait)

    def _accepted_run(self, own: StartedRun) -> FlowRun:
        return FlowRun(
            service=self.hook.api.info.name,
            kind=Kind.RUN,
            run_id=None,
            flow_id=own.flow_id,
            lifecycle=Lifecycle.PENDING,
            disposition=Disposition.NONE,
            vendor_status="",
        )

    def _let_it_appear(self, waiter: RunWaiter) -> None:
        if waiter.target.marker and waiter.target.marker.correlation_key:
            time.sleep(min(FIRST_LOOK_SECONDS, self.poll_interval))

    def _look_for_own(self, waiter: RunWaiter, context: Context) -> NextAction:
        action = self.poll(waiter)
        if waiter.last_runs and waiter.last_seen:
            self.record_run(waiter.last_seen.summary(), context)
            self._note_runs(waiter.last_runs, waiter.target.run_id, context)
        return action

    def _note_runs(self, runs: Sequence[FlowRun], certain_run_id: str | None, context: Context) -> None:
        """Keep which run is ours, or which may be, for later tries; push its id as soon as there is only one."""
        own = self._own
        if own is None:
            return
        known = (own.run_id, own.candidates, own.is_accepted)
        own.run_id = certain_run_id or own.run_id
        if own.run_id is None:
            own.candidates = list(dict.fromkeys((*own.candidates, *(run.run_id for run in runs if run.run_id))))
        own.is_accepted = own.is_accepted or not own.is_joined
        if known != (own.run_id, own.candidates, own.is_accepted):
            self.save(own, context)
        self._push_run_id(own.run_id or slowest(runs).run_id, context)

    def _push_run_id(self, run_id: str | None, context: Context) -> None:
        if run_id and run_id != self._pushed:
            self._pushed = run_id
            context["ti"].xcom_push(key="run_id", value=run_id)

    _pushed: str | None = None

    def _settle(self, result: WaitResult, context: Context) -> dict[str, Any]:
        if result.outcome is Outcome.TIMED_OUT and self.cancel_on_timeout and self._own:
            self._cancel(self._own)
        return self._delivered(self.result_or_raise(result, context, timeout_error=FlowRunTimeout), context)

    def _delivered(self, summary: dict[str, Any], context: Context) -> dict[str, Any]:
        if self._own:
            self.save(replace(self._own, delivered=generation(context)), context)
        return summary

    def _cancel(self, own: StartedRun) -> None:
        """Cancel the own run as far as the service can; never raises, and asks Airflow for nothing."""
        from airflow_provider_flowruns.client.retry import ONCE
        from airflow_provider_flowruns.client.settings import limit_timeout
        from airflow_provider_flowruns.client.sync import SyncClient

        if own.is_joined:
            self.log.warning("Run %s goes on: this task joined it and did not start it", own.run_id)
            return
        try:
            # A client of its own: a kill interrupts the other one anywhere.
            with SyncClient(limit_timeout(self.hook.settings, KILL_TIMEOUT), ONCE) as client:
                self.log.info("%s", client.execute(cancel_run(client.settings.service, self._target_of(own))))
        except FlowRunsError as error:
            self.log.warning("Run %s could not be cancelled and may go on: %s", own.run_id or "", error)


def _own_run_of(result: WaitResult) -> StartedRun | None:
    """Return the own run as the trigger saw it, where nothing else is known of it."""
    return StartedRun(result.run["flow_id"], run_id=result.run["run_id"], is_accepted=True) if result.run else None


def _have_failed(runs: Sequence[FlowRun]) -> bool:
    """Tell whether runs have all ended, and not all well."""
    have_ended = all(run.lifecycle is Lifecycle.NOT_RUNNING and not run.may_recover for run in runs)
    return have_ended and any(run.disposition in {Disposition.FAILED, Disposition.CANCELED} for run in runs)
