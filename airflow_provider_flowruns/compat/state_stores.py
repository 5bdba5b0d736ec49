"""The state stores of tasks and assets, which came with Airflow 3.3; without them nothing is kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_provider_flowruns.compat.versions import ASSET_REFERENCES


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


class AssetState:
    """One JSON value in the state store of a task's asset, which all tasks of that asset share.

    It remembers nothing if Airflow has no such store, or the task has no asset.

    :param context: the task's context.
    :param assets: the task's outlets and inlets; the first asset among them keeps the value.
    :param key: name of the value.
    """

    def __init__(self, context: Any, assets: Iterable[Any], key: str) -> None:
        self._stores = context.get("asset_state_store")
        self._assets = assets
        self._key = key

    def load_if_possible(self, log: Any) -> Any:
        """Return the value, None if there is none; warn when Airflow cannot be reached.

        :param log: the task's logger.
        """
        try:
            store = self._find_store()
            return None if store is None else store.get(self._key)
        except Exception as error:  # whatever this Airflow raises
            log.warning("Could not load %r from the state store of this task's asset: %s", self._key, error)
            return None

    def save_if_possible(self, value: Any, log: Any) -> None:
        """Save the value in place of the one before; only warn when Airflow cannot be reached.

        :param value: plain JSON.
        :param log: the task's logger.
        """
        try:
            if (store := self._find_store()) is not None:
                store.set(self._key, value)
        except Exception as error:  # whatever this Airflow raises
            log.warning("Could not save %r to the state store of this task's asset: %s", self._key, error)

    def _find_store(self) -> Any:
        if self._stores is None:
            return None
        from airflow.providers.common.compat.sdk import Asset

        kinds = (Asset, *ASSET_REFERENCES)
        asset = next((one for one in self._assets if isinstance(one, kinds)), None)
        return None if asset is None else self._stores[asset]


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
