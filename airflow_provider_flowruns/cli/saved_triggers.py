"""The triggers of deferred tasks, from Airflow's database. Only a command may read it, a task may not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from airflow_provider_flowruns.cli.errors import CommandError


class DeferredTask(NamedTuple):
    """An instance of a task, with its trigger if it is deferred.

    :param map_index: its map index, -1 for a task that is not mapped.
    :param state: its state.
    :param try_number: number of its current try, from 1.
    :param trigger_class: dotted path of its trigger's class, None if it is not deferred.
    :param arguments: the trigger's arguments, decrypted.
    :param created_at: when the trigger was created.
    :param triggerer: the triggerer that runs it, None if there is none.
    """

    map_index: int
    state: str | None
    try_number: int
    trigger_class: str | None = None
    arguments: Mapping[str, Any] = {}
    created_at: datetime | None = None
    triggerer: str | None = None


def read_task_instances(dag_id: str, run_id: str, task_id: str) -> list[DeferredTask]:
    """Return all instances of a task in a DAG run, by their map index.

    :param dag_id: id of the DAG.
    :param run_id: id of the DAG run.
    :param task_id: id of the task.
    :raises CommandError: Airflow's database cannot be read from here.
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select
    from sqlalchemy.exc import SQLAlchemyError

    query = (
        select(TaskInstance)
        .where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id, TaskInstance.task_id == task_id)
        .order_by(TaskInstance.map_index)
    )
    try:
        with create_session() as session:
            return [_read_task_instance(instance) for instance in session.scalars(query)]
    except SQLAlchemyError as error:  # its text may show the address of the database with its password
        raise CommandError(
            f"Airflow's database cannot be read from here ({type(error).__name__}): run this where Airflow's own "
            "commands work, such as 'airflow dags list'"
        ) from None


def _read_task_instance(instance: Any) -> DeferredTask:
    task = DeferredTask(instance.map_index, instance.state, instance.try_number)
    trigger = instance.trigger
    if trigger is None:
        return task
    job = trigger.triggerer_job
    return task._replace(
        trigger_class=trigger.classpath,
        arguments=decrypt_arguments(trigger),
        created_at=trigger.created_date,
        triggerer=f"{trigger.triggerer_id} on {job.hostname}" if job else None,
    )


def decrypt_arguments(trigger: Any) -> Mapping[str, Any]:
    """Return the arguments of a saved trigger.

    :param trigger: the trigger, as Airflow's database has it.
    :raises CommandError: this process has another key than the one they were encrypted with.
    """
    try:
        arguments: Mapping[str, Any] = trigger.kwargs
    except Exception as error:
        raise CommandError(
            f"the trigger's arguments cannot be decrypted here ({type(error).__name__}): this process needs the same "
            "[core] fernet_key as the scheduler"
        ) from None
    return arguments
