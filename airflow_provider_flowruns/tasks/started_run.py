"""The run that a task started, retried or joined: what is known of it, and where later tries find that."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec

from airflow_provider_flowruns.compat.state_stores import TaskState, get_generation
from airflow_provider_flowruns.exceptions import FlowRunUnobservable
from airflow_provider_flowruns.model import saved
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.targets import RunTarget, StartedRunTarget, StartMarker, Target
from airflow_provider_flowruns.polling.run_waiter import find_slowest

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

#: Key of the started run in the task state store.
STATE_KEY = "flowruns_run"


class StartedRun(msgspec.Struct):
    """The run that a task started or is about to start.

    :param flow_id: the flow's id.
    :param marker: what identifies the run of the start, None for a run that was not started but retried or joined.
    :param run_id: the run's id as soon as it is certain.
    :param candidates: ids of the runs that may each be the one, while that is not certain.
    :param ended_before: Unix time; an end of the run up to then belongs to an earlier attempt of it.
    :param sent_at: Unix time, on the service's clock as far as that is known, at which the start was sent.
    :param is_accepted: the start was accepted, or its run was seen: there is a run, and no other is started for it.
    :param is_joined: the task did not start the run.
    :param problem: why it is not known whether the service accepted the start.
    :param generation: generation of the task (see ``state_stores.get_generation``) that sent the start.
    :param delivered: generation of the task that has returned this run's result.
    """

    schema: ClassVar[int] = 1

    flow_id: str | None
    marker: StartMarker | None = None
    run_id: str | None = None
    candidates: list[str] = msgspec.field(default_factory=list)
    ended_before: float | None = None
    sent_at: float | None = None
    is_accepted: bool = False
    is_joined: bool = False
    problem: str | None = None
    generation: int | None = None
    delivered: int | None = None

    def __str__(self) -> str:
        at = f" sent at {datetime.fromtimestamp(self.sent_at, UTC):%Y-%m-%d %H:%M:%S} UTC" if self.sent_at else ""
        return f"the start of flow {self.flow_id}{at}"

    @property
    def label(self) -> str:
        """The run in words, by its id as far as that is known."""
        if self.run_id or len(self.candidates) == 1:
            return f"run {self.run_id or self.candidates[0]}"
        if self.candidates:
            return f"one of the runs {', '.join(self.candidates)}"
        return f"the run of {self}"

    def to_target(self, service: str) -> Target:
        """Return what a poll for this run asks for: the run by its id or, until that is certain, by its start.

        :param service: registry name of the service.
        """
        if self.run_id:
            return RunTarget(service, self.run_id, self.flow_id)
        if self.flow_id and self.marker:
            return StartedRunTarget(service, self.flow_id, self.marker)
        raise FlowRunUnobservable(f"neither the id of the run nor the marker of its start is known: {self}")

    def to_pending_run(self, service: str) -> FlowRun:
        """Return the run as far as it is known before the service shows it.

        :param service: registry name of the service.
        """
        return FlowRun(
            service=service,
            kind=Kind.RUN,
            run_id=None,
            flow_id=self.flow_id,
            lifecycle=Lifecycle.PENDING,
            disposition=Disposition.NONE,
            vendor_status="",
        )

    def to_record(self) -> dict[str, Any]:
        """Return it as plain JSON; :meth:`from_record` reads it."""
        return saved.to_record(self)

    @classmethod
    def from_record(cls, record: Any) -> Self | None:
        """Rebuild it from :meth:`to_record`; None when nothing was saved.

        :param record: what was saved.
        :raises ValueError: it was saved under a schema that this release does not know.
        """
        return saved.from_record(record, cls) if record else None


class StartedRunStore:
    """Holds the run of a task, saves it for later tries, and pushes its id to XCom.

    :param context: the task's context.
    """

    def __init__(self, context: Context) -> None:
        self.current: StartedRun | None = None
        self.generation = get_generation(context)
        self._state = TaskState(context, STATE_KEY)
        self._task_instance: Any = context["ti"]
        self._pushed_run_id: str | None = None

    def load(self) -> StartedRun | None:
        """Return the run that an earlier process of this task saved; None when this one has to start its own."""
        started = StartedRun.from_record(self._state.load())
        # Cleared after it returned a result, a task starts a new run; one that died just before that does not.
        return started if started and started.delivered in {None, self.generation} else None

    def save(self, started: StartedRun) -> StartedRun:
        """Keep what is known of the run, so that a later try, or a kill, finds it.

        :param started: what is known of it.
        """
        self.current = started
        self._state.save(started.to_record())
        return started

    def forget(self) -> None:
        """Drop a start that the service rejected."""
        self._state.forget()
        self.current = None

    def save_delivered(self) -> None:
        """Save that the task has the run's result."""
        if self.current:
            self.current.delivered = self.generation
            self.save(self.current)

    def record_run_id(self, run_id: str | None) -> None:
        """Push a run's id to XCom ``run_id``, unless this process has done so.

        :param run_id: the id, None while it is not known.
        """
        if run_id and run_id != self._pushed_run_id:
            self._pushed_run_id = run_id
            self._task_instance.xcom_push(key="run_id", value=run_id)

    def record_runs(self, runs: Sequence[FlowRun], certain_run_id: str | None = None) -> None:
        """Save which run is the task's, or which ones may be, as a poll has shown them.

        :param runs: at least one run.
        :param certain_run_id: id of the run that certainly is the task's.
        """
        started = self.current
        if started is None:
            return
        before = (started.run_id, started.candidates, started.is_accepted)
        started.run_id = certain_run_id or started.run_id
        if started.run_id is None:
            seen = (run.run_id for run in runs if run.run_id)
            started.candidates = list(dict.fromkeys((*started.candidates, *seen)))
        started.is_accepted = started.is_accepted or not started.is_joined
        if before != (started.run_id, started.candidates, started.is_accepted):
            self.save(started)
        self.record_run_id(started.run_id or find_slowest(runs).run_id)
