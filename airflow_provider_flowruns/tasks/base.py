"""What sensors and operators share: the hook behind their connection id, the run they are about, and waiting for it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, TypeVar

from airflow_provider_flowruns.links import FlowRunLink
from airflow_provider_flowruns.tasks.peer_arguments import reject_peer_arguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_flowruns.client.clock import Clock
    from airflow_provider_flowruns.hooks.base import FlowRunsHook
    from airflow_provider_flowruns.metrics import ConnectionMetrics
    from airflow_provider_flowruns.model.runs import RunSummary
    from airflow_provider_flowruns.services.info import ServiceInfo
    from airflow_provider_flowruns.tasks.waiting import Waiting

HookT = TypeVar("HookT", bound="FlowRunsHook[Any]")

#: Seconds before ``execution_timeout`` at which a wait ends on its own: time for its last poll, and for reporting what
#: it saw, before Airflow interrupts the task wherever it is. A tenth of shorter ones.
_LAST_POLL_SECONDS = 1.0


class ServiceTask(Generic[HookT]):
    """Mixin of a sensor or operator on one service; the connection id is the attribute its hook names."""

    #: The service's entry, which names the class of its hook; every concrete task names its own.
    info: ClassVar[ServiceInfo]

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:  # pyright in strict mode rejects calls on what Airflow returns
        """Return the task without the arguments that it is mapped over, as Airflow's own operators do.

        :raises InvalidArgumentError: an argument has another name here.
        """
        reject_peer_arguments(cls, kwargs)
        return super().partial(**kwargs)  # type: ignore[misc]

    @property
    def conn_id(self) -> str:
        """Id of the Airflow connection, rendered."""
        return str(getattr(self, self.info.conn_id_argument))

    @cached_property
    def hook(self) -> HookT:
        """The hook for the connection, made on first use."""
        from airflow_provider_flowruns.hooks.base import create_hook

        hook: HookT = create_hook(self.info, self.conn_id)
        return hook

    @cached_property
    def metrics(self) -> ConnectionMetrics | None:
        """Reports what the task does on its connection, None where Airflow's metrics are off."""
        from airflow_provider_flowruns.metrics import ConnectionMetrics

        return ConnectionMetrics.create(self.info.name, self.conn_id)


class RunTask(ServiceTask[HookT]):
    """Mixin of a task about one run: its link, and its outlets' asset events."""

    operator_extra_links: Collection[BaseOperatorLink] = (FlowRunLink(),)
    outlets: list[Any]
    inlets: list[Any]
    log: Any

    _run: RunSummary | None = None
    _shown: str | None = None
    #: Whether this try had a process before this one.
    _is_resumed = False

    @property
    def pushed_url(self) -> str | None:
        """The run's URL if this try has pushed it, empty if it has not; None if only XCom knows."""
        return self._shown or (None if self._is_resumed else "")

    def resume_execution(self, *args: Any, **kwargs: Any) -> Any:
        """Resume after a deferral, as Airflow's own operators do."""
        self._is_resumed = True
        return super().resume_execution(*args, **kwargs)  # type: ignore[misc]

    def record_run(self, run: RunSummary, context: Context) -> None:
        """Store the run's summary for lineage, and push its URL as soon as it is known.

        :param run: the run's summary.
        :param context: Airflow's context of the task.
        """
        self._run = run
        task_instance = context.get("ti")  # missing if a user's unit test calls a reading operator
        if task_instance is not None and run["url"] and run["url"] != self._shown:
            self._shown = run["url"]
            try:
                task_instance.xcom_push(key=FlowRunLink.xcom_key, value=run["url"])
            except Exception as error:  # a link must not fail the task; Airflow pushes it again when this process ends
                self.log.warning("The run's URL could not be pushed to XCom yet: %s", error)

    def result(self, run: RunSummary, context: Context) -> RunSummary:
        """Return a run's summary as the task's result, and emit the asset events of the task's outlets.

        :param run: the run's summary.
        :param context: Airflow's context of the task.
        """
        from airflow_provider_flowruns.tasks.outlets import emit_asset_events

        self.record_run(run, context)
        emit_asset_events(self.outlets, run, context)
        return run


class WaitingTask(RunTask[HookT]):
    """Mixin of a task that waits for its run, in this process or in the triggerer, and reports its lineage."""

    #: Seconds for which a failure that the service itself may repair is not final.
    recovery_grace: ClassVar[float] = 300.0
    #: Seconds for which something that was found before may be unknown to the service.
    gone_grace: ClassVar[float] = 120.0

    defer: Callable[..., NoReturn]
    timeout: float
    execution_timeout: timedelta | None
    error_budget: float
    on_paused: str
    on_canceled: str

    @cached_property
    def clock(self) -> Clock:
        """Wall-clock time that does not jump during this process."""
        from airflow_provider_flowruns.client.clock import Clock

        return Clock()

    def get_deadline(self, wait_began_at: float, task_began_at: float) -> tuple[float, str]:
        """Return the Unix time at which a wait has to end, and the argument that sets it.

        ``execution_timeout`` bounds the wait in every mode; Airflow itself counts only time in a worker.

        :param wait_began_at: when the wait began, for ``timeout``.
        :param task_began_at: when this try of the task began, for ``execution_timeout``.
        """
        by_timeout = wait_began_at + self.timeout
        if self.execution_timeout is None:
            return by_timeout, "timeout"
        seconds = self.execution_timeout.total_seconds()
        by_execution = task_began_at + seconds - min(_LAST_POLL_SECONDS, seconds / 10)
        return min((by_timeout, "timeout"), (by_execution, "execution_timeout"))

    @cached_property
    def waiting(self) -> Waiting:
        """What the task does while it waits; imported when it runs."""
        from airflow_provider_flowruns.tasks.waiting import Waiting

        return Waiting(self)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Return what OpenLineage is told about the run, see ``lineage.build_lineage``; None when no run was seen.

        :param task_instance: not needed, the task itself holds what it saw.
        """
        from airflow_provider_flowruns.tasks.lineage import build_lineage

        return build_lineage(self._run) if self._run else None

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Return what OpenLineage is told about the run as it was last seen, its errors included."""
        return self.get_openlineage_facets_on_complete(task_instance)
