"""What Airflow versions do differently, in one place."""

from __future__ import annotations

import json
from datetime import datetime
from importlib import import_module
from typing import Any

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS

try:
    from airflow.sdk.definitions.asset import AssetRef
except ImportError:  # Airflow 2 knows no ``Asset.ref``
    ASSET_REFERENCES: tuple[type, ...] = ()
else:
    ASSET_REFERENCES = (AssetRef,)


def alias_extra(facts: dict[str, Any]) -> dict[str, Any]:
    """Return what an alias's event is to say: below Airflow 3.1, what is nested becomes JSON text.

    Those put the values into a set, and fail a task that has succeeded when one of them has no hash.

    :param facts: plain JSON.
    """
    if AIRFLOW_V_3_1_PLUS:
        return facts
    return {
        name: json.dumps(value, sort_keys=True) if isinstance(value, (dict, list)) else value
        for name, value in facts.items()
    }


def get_due_time(context: Any) -> datetime | None:
    """Return when a DAG run was due: the end of its data interval, or else the time after which it was to run.

    :param context: the context of one of its tasks.
    """
    due: datetime | None = context.get("data_interval_end")
    # Airflow 2 has no run_after, and a data interval in every DAG run.
    return due or getattr(context.get("dag_run"), "run_after", None)


def is_mapped(operator: Any) -> bool:
    """Tell whether an operator is one instance of a mapped task, so that None among its arguments is a given value.

    :param operator: the operator, also while it is being made.
    """
    return bool(getattr(operator, "_BaseOperator__from_mapped", False))


def first_poke_at(sensor: Any, context: Any) -> float | None:
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


async def task_state(task_instance: Any) -> str | None:
    """Return a task instance's state as the database has it; for triggers (Airflow 3.3 and newer, which alone ask).

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


def base_event_trigger() -> type[Any]:
    """Return the base class of triggers for asset watchers; any trigger's on Airflow 2, which has no watchers."""
    from airflow.triggers import base  # takes its time, and DAG files with operators only do not need it

    return getattr(base, "BaseEventTrigger", base.BaseTrigger)


async def get_asset_state(accessors: Any, key: str) -> Any:
    """Return a value from the store of the asset a trigger watches (Airflow 3.3 and newer), None when there is none.

    :param accessors: the trigger's ``asset_state_store``.
    :param key: name of the value.
    :raises ValueError: the trigger does not belong to exactly one asset.
    """
    return await _asset_state(accessors, "get", key)


async def set_asset_state(accessors: Any, key: str, value: Any) -> None:
    """Keep a value in the store of the asset a trigger watches (Airflow 3.3 and newer).

    :param accessors: the trigger's ``asset_state_store``.
    :param key: name of the value.
    :param value: plain JSON.
    :raises ValueError: the trigger does not belong to exactly one asset.
    """
    await _asset_state(accessors, "set", key, value)


async def _asset_state(accessors: Any, name: str, *arguments: Any) -> Any:
    if hasattr(accessors, f"a{name}"):
        return await getattr(accessors, f"a{name}")(*arguments)
    from asgiref.sync import sync_to_async

    return await sync_to_async(getattr(accessors, name))(*arguments)  # Airflow 3.3.0 and 3.3.1
