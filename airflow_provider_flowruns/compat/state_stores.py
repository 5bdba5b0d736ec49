"""The state stores of tasks and assets, which came with Airflow 3.3; without them nothing is kept."""

from __future__ import annotations

from typing import Any


def get_generation(context: Any) -> int:
    """Return a number that a user's clear changes and a retry does not: the number of tries allowed so far.

    :param context: the task's context.
    """
    return int(context["ti"].max_tries)


class TaskState:
    """One JSON value in the state store of a task instance; remembers nothing if Airflow has no such store.

    :param context: the task's context.
    :param key: name of the value.
    """

    def __init__(self, context: Any, key: str) -> None:
        self._store = context.get("task_state_store")
        self._key = key

    def load(self) -> dict[str, Any]:
        """Return what was saved; an empty dict when nothing was."""
        saved = self._store.get(self._key) if self._store is not None else None
        return saved if isinstance(saved, dict) else {}

    def save(self, value: dict[str, Any]) -> None:
        """Save the value in place of the one before.

        :param value: plain JSON.
        """
        if self._store is not None:
            self._store.set(self._key, value)

    def load_if_possible(self, log: Any) -> dict[str, Any]:
        """Load the value; warn and return an empty dict when Airflow cannot be reached.

        :param log: the task's logger.
        """
        try:
            return self.load()
        except Exception as error:  # whatever this Airflow raises
            log.warning("Could not load what an earlier process of this task saved; continuing without it: %s", error)
            return {}

    def save_if_possible(self, value: dict[str, Any], log: Any) -> None:
        """Save the value; only warn when Airflow cannot be reached.

        :param value: plain JSON.
        :param log: the task's logger.
        """
        try:
            self.save(value)
        except Exception as error:  # whatever this Airflow raises
            log.warning("Could not save the state of this wait; continuing without it: %s", error)

    def forget(self) -> None:
        """Remove the value."""
        if self._store is not None:
            self._store.delete(self._key)


def get_asset_stores(trigger: Any) -> Any:
    """Return the state stores of the assets that a trigger watches; None if this Airflow has none.

    :param trigger: the trigger of an asset watcher.
    """
    return getattr(trigger, "asset_state_store", None)


async def get_asset_state(accessors: Any, key: str) -> Any:
    """Return a value from the store of the asset that a trigger watches, None when there is none.

    :param accessors: see :func:`get_asset_stores`.
    :param key: name of the value.
    :raises ValueError: the trigger does not belong to exactly one asset.
    """
    return await _call_asset_store(accessors, "get", key)


async def set_asset_state(accessors: Any, key: str, value: Any) -> None:
    """Save a value in the store of the asset that a trigger watches.

    :param accessors: see :func:`get_asset_stores`.
    :param key: name of the value.
    :param value: plain JSON.
    :raises ValueError: the trigger does not belong to exactly one asset.
    """
    await _call_asset_store(accessors, "set", key, value)


async def _call_asset_store(accessors: Any, name: str, *arguments: Any) -> Any:
    if hasattr(accessors, f"a{name}"):
        return await getattr(accessors, f"a{name}")(*arguments)
    from asgiref.sync import sync_to_async

    return await sync_to_async(getattr(accessors, name))(*arguments)  # Airflow 3.3.0 and 3.3.1
