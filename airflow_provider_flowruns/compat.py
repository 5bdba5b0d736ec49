"""What Airflow versions do differently, in one place."""

from __future__ import annotations

from typing import Any

try:
    from airflow.sdk.definitions.asset import AssetRef
except ImportError:  # Airflow 2 knows no ``Asset.ref``
    ASSET_REFERENCES: tuple[type, ...] = ()
else:
    ASSET_REFERENCES = (AssetRef,)


async def task_state(task_instance: Any) -> str | None:
    """
    Return a task instance's state as the database has it; for triggers (Airflow 3.3 and newer, which alone ask).

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
