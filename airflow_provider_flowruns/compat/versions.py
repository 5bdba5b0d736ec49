"""What Airflow versions do differently."""

from __future__ import annotations

import json
from datetime import datetime
from importlib import import_module
from typing import Any

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS

try:
    from airflow.sdk.definitions.asset import AssetRef
except ImportError:  # Airflow 2 has no ``Asset.ref``
    ASSET_REFERENCES: tuple[type, ...] = ()
else:
    ASSET_REFERENCES = (AssetRef,)


def build_alias_extra(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the ``extra`` of an alias's event: below Airflow 3.1, nested values become JSON text.

    These versions put the values into a set, and fail a task that has succeeded when one of them has no hash.

    :param facts: plain JSON.
    """
    if AIRFLOW_V_3_1_PLUS:
        return facts
    return {
        name: json.dumps(value, sort_keys=True) if isinstance(value, (dict, list)) else value
        for name, value in facts.items()
    }


def get_due_time(context: Any) -> datetime | None:
    """Return when a DAG run was due: the end of its data interval, else the time after which it was to run.

    :param context: the context of one of its tasks.
    """
    due: datetime | None = context.get("data_interval_end")
    # Airflow 2 has no run_after, and a data interval in every DAG run.
    return due or getattr(context.get("dag_run"), "run_after", None)


def is_mapped(operator: Any) -> bool:
    """Return whether an operator is one instance of a mapped task, so that a None among its arguments was given.

    :param operator: the operator, also while it is being constructed.
    """
    return bool(getattr(operator, "_BaseOperator__from_mapped", False))


def get_first_poke_time(sensor: Any, context: Any) -> float | None:
    """Return the Unix time at which a rescheduled sensor began its first poke; None when this is the first one.

    :param sensor: the sensor, in ``reschedule`` mode.
    :param context: its context.
    """
    ti = context["ti"]
    if hasattr(ti, "get_first_reschedule_date"):
        began = ti.get_first_reschedule_date(context)
    else:  # Airflow 2 asks its database
        sensors = import_module("airflow.sensors.base")
        first_try = (ti.max_tries or 0) - (sensor.retries or 0) + 1
        began = sensors._orig_start_date(
            dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index, try_number=first_try
        )
    return began.timestamp() if began else None


async def get_task_state(task_instance: Any) -> str | None:
    """Return a task instance's state from the database, for triggers: Airflow calls their ``on_kill`` from 3.3 on.

    :param task_instance: the trigger's own ``task_instance``; None under ``dag.test()``.
    """
    if task_instance is None:
        return None
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from asgiref.sync import sync_to_async

    states: dict[str, dict[str, Any]] = await sync_to_async(RuntimeTaskInstance.get_task_states)(
        dag_id=task_instance.dag_id,
        task_ids=[task_instance.task_id],
        run_ids=[task_instance.run_id],
        map_index=task_instance.map_index,
    )
    state = states.get(task_instance.run_id, {}).get(task_instance.task_id)
    return str(state) if state is not None else None


def get_base_event_trigger() -> type[Any]:
    """Return the base class of triggers for asset watchers; Airflow 2, which has none, gets that of all triggers."""
    from airflow.triggers import base  # slow to import, and DAG files that have only operators do not need it

    return getattr(base, "BaseEventTrigger", base.BaseTrigger)
