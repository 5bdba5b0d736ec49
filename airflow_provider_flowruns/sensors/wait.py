"""The wait of a sensor, in every mode; imported when a task runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import PokeReturnValue

from airflow_provider_flowruns.compat.state_stores import TaskState, get_generation
from airflow_provider_flowruns.compat.versions import get_due_time, get_first_poke_time
from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.polling.run_waiter import NextAction, RunWaiter
from airflow_provider_flowruns.polling.wait_state import WaitResult
from airflow_provider_flowruns.sensors.base import AUTO, FlowRunSensor
from airflow_provider_flowruns.services.parsing import parse_time
from airflow_provider_flowruns.services.validation import validate_guard
from airflow_provider_flowruns.tasks.polling import poll_before_deferring
from airflow_provider_flowruns.tasks.waiting import Waiting

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.model.runs import FlowRun, RunSummary

_STATE_KEY = "flowruns_wait"


class SensorWait(Waiting):
    """The wait of a sensor.

    :param task: the sensor.
    """

    task: FlowRunSensor[Any]
    #: The wait's state machine, None before the first poll.
    waiter: RunWaiter | None = None
    #: Unix time at which this process began to wait.
    _began_at = 0.0
    _action = NextAction()
    #: The run as it was last recorded.
    _recorded: FlowRun | None = None

    def begin(self, context: Context) -> None:
        """Start the wait, or continue that of the process before.

        :param context: Airflow's context of the task.
        """
        self._began_at = self.task.clock.now()
        self.waiter = self.resume_or_start(context)

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll once, as Airflow's sensors do.

        :param context: Airflow's context of the task.
        """
        waiter = self._get_waiter(context)
        result = self._poll_and_record(context)
        if result is None and self.task.clock.now() >= waiter.deadline:
            # Airflow would end the task now, without a last poll and without regard to never_fail.
            result = self._poll_and_record(context)
        if result is None:
            if self.task.reschedule:  # what this process has seen would be lost
                self._save(waiter, context)
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self.deliver(result, context))

    def poll_and_hand_over(self, context: Context) -> WaitResult:
        """Poll once, or as long as a young run may end soon, and return how the wait ended; if it goes on, defer.

        :param context: Airflow's context of the task.
        """
        waiter = self._get_waiter(context)

        def poll() -> NextAction:
            self._poll_and_record(context)
            return self._action

        return poll_before_deferring(poll, waiter, self.task.clock.now) or self.hand_over(waiter)

    def complete(self, event: Any, context: Context) -> RunSummary:
        """Return the run's summary if the trigger reports success; anything else raises.

        :param event: the trigger's event.
        :param context: Airflow's context of the task.
        """
        return self.deliver(WaitResult.from_dict(event), context)

    def get_next_interval(self) -> float:
        """Return the seconds until the next poke. A rescheduled task is only woken early for its last poll."""
        wait, task = self._action.wait, self.task
        if task.reschedule and self.waiter:
            left = self.waiter.deadline - task.clock.now()
            wait = max(wait, min(task.poke_interval, left), task.min_reschedule_seconds)
        return wait

    def resume_or_start(self, context: Context) -> RunWaiter:
        """Return the waiter from before this try was rescheduled, or a new one.

        :param context: Airflow's context of the task.
        """
        task = self.task
        target = task.target()
        task.hook.get_conn()  # an invalid connection fails here, also with silent_fail
        saved = self._load(context)
        if saved.get("try_number") == context["ti"].try_number and "waiter" in saved:
            return RunWaiter.from_json(saved["waiter"])
        # The guards stay those of the first try: a template that says "now" must not move between tries.
        completed_after, started_after = saved.get("guards") or (
            self.validate_guard("completed_after", context),
            self.validate_guard("started_after", context),
        )
        began = (get_first_poke_time(task, context) if task.reschedule else None) or self._began_at or task.clock.now()
        deadline_at, limited_by = task.get_deadline(began, began)
        config = self.build_config(
            target,
            deadline_at=deadline_at,
            limited_by=limited_by,
            interval_seconds=task.poke_interval,
            completed_after_at=completed_after,
            started_after_at=started_after,
            can_fail=not task.silent_fail,
            is_backing_off=task.exponential_backoff,
            max_interval_seconds=task.max_wait.total_seconds() if task.max_wait else None,
        )
        waiter = RunWaiter(config, began)
        self.log_beginning(waiter, "deferrable=True" if task.deferrable else f"mode={task.mode!r}")
        self._save(waiter, context)
        return waiter

    def validate_guard(self, name: str, context: Context) -> float | None:
        """Return a guard as Unix time, None if it was not given.

        :param name: name of the sensor's argument.
        :param context: Airflow's context of the task.
        :raises InvalidArgumentError: it was given and is not valid.
        """
        value = getattr(self.task, name)
        if value is None and name not in self.task.given_guards:
            return None
        if value == AUTO:
            value = get_due_time(context)
            if value is None:
                raise InvalidArgumentError(f"{name}='auto' requires a DAG run, and this task has none: pass a time")
        return validate_guard(value, argument=name, now=datetime.fromtimestamp(self.task.clock.now(), UTC)).timestamp()

    def _get_waiter(self, context: Context) -> RunWaiter:
        self.waiter = self.waiter or self.resume_or_start(context)
        return self.waiter

    def _poll_and_record(self, context: Context) -> WaitResult | None:
        waiter = self._get_waiter(context)
        self._action = self.poll(waiter)
        if waiter.last_seen and waiter.last_seen is not self._recorded:
            self.record_run(waiter.last_seen.summary(), context)
            self._recorded = waiter.last_seen
        return self._action.result

    @property
    def _is_saved(self) -> bool:
        return self.task.reschedule or self.task.is_guarded

    def _load(self, context: Context) -> dict[str, Any]:
        saved = TaskState(context, _STATE_KEY).load_if_possible(self.task.log) if self._is_saved else {}
        return saved if saved.get("generation") == get_generation(context) else {}  # a cleared task waits anew

    def _save(self, waiter: RunWaiter, context: Context) -> None:
        if self._is_saved:
            config = waiter.config
            state = {
                "generation": get_generation(context),
                "try_number": context["ti"].try_number,
                "guards": [config.completed_after_at, config.started_after_at],
                "waiter": waiter.to_json(),
            }
            TaskState(context, _STATE_KEY).save_if_possible(state, self.task.log)

    def deliver(self, result: WaitResult, context: Context) -> RunSummary:
        """Return the run's summary if the wait succeeded, else raise.

        :param result: how the wait ended.
        :param context: Airflow's context of the task.
        """
        task = self.task
        summary = self.result_or_raise(result, context, soft_fail=task.soft_fail, never_fail=task.never_fail)
        self._warn_if_old(summary, result.vendor_offset, context)
        return summary

    def _warn_if_old(self, run: RunSummary, vendor_offset: float, context: Context) -> None:
        ended, due = parse_time(run["completed_at"]), get_due_time(context)
        if not self.task.takes_guard or self.task.is_guarded or ended is None or due is None:
            return
        if ended.timestamp() < due.timestamp() + vendor_offset:
            self.task.log.warning(
                "The run that was accepted ended at %s, before this DAG run was due (%s); "
                "set completed_after='auto' to accept nothing older",
                ended.isoformat(),
                due.isoformat(),
            )
