"""The base of all sensors: drives a run waiter in every mode, and turns its result into the task's in one place."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from airflow.providers.common.compat.sdk import BaseSensorOperator, conf

from airflow_provider_flowruns.compat.versions import is_mapped
from airflow_provider_flowruns.model.choices import OnCanceled, OnPaused
from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.services.validation import validate_guard
from airflow_provider_flowruns.tasks.arguments import check_choice, check_when_known, parse_seconds
from airflow_provider_flowruns.tasks.base import HookT, WaitingTask
from airflow_provider_flowruns.tasks.explained_errors import explains_errors
from airflow_provider_flowruns.tasks.peer_arguments import reject_peer_arguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, PokeReturnValue

    from airflow_provider_flowruns.model.runs import RunSummary
    from airflow_provider_flowruns.model.targets import Target
    from airflow_provider_flowruns.sensors.wait import SensorWait

#: Default of a guard, to tell it from None.
_NOT_GIVEN: Any = object()
#: Value of a guard: the time at which the DAG run was due, however it was started.
AUTO = "auto"
_DEFAULT_INTERVAL_SECONDS = 60.0


class FlowRunSensor(WaitingTask[HookT], BaseSensorOperator):
    """Base of the sensors: waits until a run has ended and returns its summary.

    It fails with ``FlowRunFailed`` on a failed run (with the service's own error text), ``FlowRunCanceled`` on a
    cancelled one, ``AirflowSensorTimeout`` when the run does not end within ``timeout``, ``AirflowTaskTimeout`` when it
    does not end within ``execution_timeout``, ``FlowRunUnobservable`` when there is no usable response within
    ``error_budget``, and with the ``ApiError`` subclass that says why when the service refuses the request.
    ``soft_fail`` skips on the first four of these, ``never_fail`` on all.

    Airflow's ``execution_timeout`` limits the whole wait in every mode, deferred and rescheduled time included. Unlike
    ``timeout`` it allows retries.

    XCom ``run_url`` and the link *Flow run* are available as soon as a poll has shown a run. When the task succeeds,
    the asset events of its ``outlets`` name the run, see ``outlets.emit_asset_events``.

    :param deferrable: wait in the triggerer, holding no worker slot; the default is Airflow's
        ``[operators] default_deferrable``.
    :param error_budget: seconds or timedelta without a usable response after which the wait gives up. Within it,
        connection errors, HTTP 429 and 5xx and responses that are not JSON are retried; the run itself is not touched.
    :param on_paused: what a run that is paused or in review means: ``wait``, ``succeed``, ``fail`` or ``skip``.
    :param on_canceled: what a cancelled run means: ``fail`` or ``skip``.
    :param poke_interval: seconds or timedelta between two polls (default 60): at most, except in ``reschedule`` mode,
        where it is at least so long, and at least 15 seconds.
    :param poll_interval: the same under the name that it has in operators.
    :param timeout: seconds or timedelta until the wait fails; the default is Airflow's ``[sensors] default_timeout``.
    """

    template_fields: Sequence[str] = ()
    ui_color = "#dff3ef"

    #: Minimum number of seconds between two polls in ``reschedule`` mode: Airflow 3.3 fails a task that is queued again
    #: before the end of its last process was recorded, which takes up to 5 s.
    min_reschedule_seconds: ClassVar[float] = 15.0

    #: Whether this sensor waits for a last run, which may be older than wanted.
    takes_guard: ClassVar[bool] = False

    completed_after: datetime | str | None = None
    started_after: datetime | str | None = None

    #: Names of the guards that were given, also if they render to nothing.
    given_guards: frozenset[str] = frozenset()

    def __init__(
        self,
        *,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        error_budget: float | timedelta = 900,
        on_paused: OnPaused = "wait",
        on_canceled: OnCanceled = "fail",
        poke_interval: float | timedelta | None = None,
        poll_interval: float | timedelta | None = None,
        timeout: float | timedelta | None = None,
        **kwargs: Any,
    ) -> None:
        reject_peer_arguments(type(self), kwargs)
        # Before Airflow takes them: it would let through what no wait can last, or break on it.
        durations: dict[str, Any] = {"poke_interval": _choose_interval(poke_interval, poll_interval)}
        if timeout is not None:  # else Airflow's own default
            durations["timeout"] = parse_seconds(timeout, argument="timeout")
        super().__init__(**durations, **kwargs)
        self.deferrable = deferrable
        self.error_budget = parse_seconds(error_budget, argument="error_budget")
        self.on_paused = on_paused
        self.on_canceled = on_canceled
        check_choice(on_paused, argument="on_paused", choices=get_args(OnPaused))
        check_choice(on_canceled, argument="on_canceled", choices=get_args(OnCanceled))

    @abstractmethod
    def target(self) -> Target:
        """Return what to poll. The arguments are rendered by then, and their ids are validated here.

        :raises InvalidArgumentError: an argument is not valid.
        """

    @cached_property
    def waiting(self) -> SensorWait:
        """The wait; imported when the task runs."""
        from airflow_provider_flowruns.sensors.wait import SensorWait

        return SensorWait(self)

    @explains_errors
    def execute(self, context: Context) -> Any:
        """Wait for the run; see the class for what is returned and raised."""
        self._is_resumed = bool(context.get("task_reschedule_count"))
        with self.hook:
            self.waiting.begin(context)
            if not self.deferrable:
                return super().execute(context)
            result = self.waiting.poll_and_hand_over(context)
        return self.waiting.deliver(result, context)

    @explains_errors
    def execute_complete(self, context: Context, event: Any = None) -> RunSummary:
        """Return the run's summary if the trigger reports success; anything else fails.

        :param context: Airflow's context of the task.
        :param event: the trigger's event, see ``polling.run_waiter.WaitResult.to_dict``.
        """
        return self.waiting.complete(event, context)

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll once. Done when the wait succeeded; a wait that ended otherwise raises, see the class."""
        return self.waiting.poke(context)

    @property
    def is_guarded(self) -> bool:
        """Whether only a run that is fresh enough counts."""
        return bool(self.given_guards) or self.completed_after is not None or self.started_after is not None

    def _take_guard(self, name: str, value: datetime | str | None) -> None:
        """Store a guard as the DAG file has it.

        :param name: the argument's name.
        :param value: its value. None is "not given", except among the arguments of a mapped task: there it came out of
            another task's result.
        """
        is_given = value is not None or is_mapped(self)
        if value is _NOT_GIVEN or not is_given:
            setattr(self, name, None)
            return
        setattr(self, name, value)
        self.given_guards |= {name}
        if value != AUTO:
            # Whether it is too far ahead is checked when the task runs: a DAG file may be written long before.
            check_when_known(value, partial(validate_guard, argument=name))

    def _get_next_poke_interval(self, *_: Any, **__: Any) -> float:
        # Airflow's own loop sleeps as long as the waiter says, as in every other mode.
        return self.waiting.get_next_interval()


def _choose_interval(poke_interval: float | timedelta | None, poll_interval: float | timedelta | None) -> float:
    """Return the interval between two polls in seconds, whichever name it was given by."""
    given = {"poke_interval": poke_interval, "poll_interval": poll_interval}
    seconds = {name: parse_seconds(value, argument=name) for name, value in given.items() if value is not None}
    if len({*seconds.values()}) > 1:
        raise InvalidArgumentError(
            f"poke_interval ({poke_interval}) and poll_interval ({poll_interval}) are the same argument and differ: "
            "pass one of them; the other may be in default_args"
        )
    return next(iter(seconds.values()), _DEFAULT_INTERVAL_SECONDS)


class FreshSensor(FlowRunSensor[HookT]):
    """Base of the sensors on a last run, which may be an old one.

    :param completed_after: accept no run that ended before this time; ``"auto"`` for the time at which the DAG run was
        due (the end of its data interval; without one, its ``run_after``), or a datetime or ISO-8601 text (UTC when it
        has no time zone), templated. It is a time on Airflow's clock. Without a guard, or with None, the last run
        counts whatever its age; a guard that renders to nothing is an error.
    """

    template_fields: Sequence[str] = ("completed_after",)
    takes_guard = True

    def __init__(self, *, completed_after: datetime | str | None = _NOT_GIVEN, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.completed_after = None
        self._take_guard("completed_after", completed_after)


class FlowSensor(FreshSensor[HookT]):
    """Base of the sensors on a flow's last run, where the service tells its runs apart.

    With a guard, the newest run that is fresh enough and has ended decides; a failure does not while a newer run is
    still active.

    :param started_after: accept no run that started (Portable: was created) before this time; like ``completed_after``.
    """

    template_fields: Sequence[str] = (*FreshSensor.template_fields, "started_after")

    def __init__(self, *, started_after: datetime | str | None = _NOT_GIVEN, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.started_after = None
        self._take_guard("started_after", started_after)
