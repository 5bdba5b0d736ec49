"""What deferred tasks wait for now, from the triggers in Airflow's database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from airflow_provider_flowruns.cli.saved_triggers import decrypt_arguments
from airflow_provider_flowruns.cli.why import TRIGGER_CLASS, describe_guards, describe_target
from airflow_provider_flowruns.model import saved
from airflow_provider_flowruns.model.errors import FlowRunsError
from airflow_provider_flowruns.polling.wait_state import SavedWait

#: Number of waits that are read, those that were deferred last.
MAX_WAITS = 1_000
#: Number of ids in one query, below what every database takes.
_IDS_IN_QUERY = 500


class Wait(NamedTuple):
    """A deferred task and what it waits for.

    :param dag_id: id of its DAG.
    :param dag_run_id: id of its DAG run.
    :param task_id: id of the task.
    :param map_index: its map index, -1 for a task that is not mapped.
    :param conn_id: id of the connection that it polls.
    :param service: registry name of the connection's service.
    :param flow_id: id of the flow that it waits for, None if only a run or a workflow is known.
    :param target: what it waits for, in words.
    :param guards: what a run has to be to count, in words.
    :param deadline: when the wait ends.
    """

    dag_id: str
    dag_run_id: str
    task_id: str
    map_index: int
    conn_id: str
    service: str
    flow_id: str | None
    target: str
    guards: Sequence[str]
    deadline: datetime


class Waits(NamedTuple):
    """The waits that were found.

    :param waits: those that could be read, the earliest deadline first.
    :param unreadable: number of those that could not.
    """

    waits: Sequence[Wait] = ()
    unreadable: int = 0


def read_waits(dag_ids: Collection[str]) -> Waits:
    """Return the waits of deferred tasks.

    :param dag_ids: ids of the DAGs whose tasks may be shown.
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import Trigger
    from airflow.utils.session import create_session
    from sqlalchemy import select

    query = (
        select(TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.map_index, Trigger)
        .join(Trigger, TaskInstance.trigger_id == Trigger.id)
        .where(TaskInstance.state == "deferred", Trigger.classpath == TRIGGER_CLASS)
        .order_by(Trigger.id.desc())
    )
    waits: list[Wait] = []
    unreadable = 0
    ids = sorted(dag_ids)
    with create_session() as session:
        for start in range(0, len(ids), _IDS_IN_QUERY):
            permitted = TaskInstance.dag_id.in_(ids[start : start + _IDS_IN_QUERY])
            for row in session.execute(query.where(permitted).limit(MAX_WAITS)):
                if wait := _read_wait(row):
                    waits.append(wait)
                else:
                    unreadable += 1
    return Waits(sorted(waits, key=lambda wait: wait.deadline), unreadable)


def _read_wait(row: Any) -> Wait | None:
    dag_id, run_id, task_id, map_index, trigger = row
    try:
        arguments = decrypt_arguments(trigger)
        wait = saved.from_json(str(arguments.get("waiter")), SavedWait)
        config = wait.config
        return Wait(
            dag_id,
            run_id,
            task_id,
            map_index,
            str(arguments.get("conn_id")),
            config.target.service,
            getattr(config.target, "flow_id", None),
            describe_target(config.target, wait.state),
            tuple(describe_guards(config)),
            datetime.fromtimestamp(config.deadline_at, UTC),
        )
    except (FlowRunsError, ValueError, OverflowError):  # another release, another key, or a service that is gone
        return None
