"""What a task keeps between its tries and reschedules, where this Airflow has a store for it (3.3)."""

from __future__ import annotations

from typing import Any


def generation(context: Any) -> int:
    """Return a number that a user's clear changes and a retry does not: the tries that the task is allowed by now.

    :param context: the task's context.
    """
    return int(context["ti"].max_tries)


class TaskState:
    """One JSON value in the task state store of a task instance; remembers nothing where Airflow has no store.

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
        """Return what :meth:`load` does; an empty dict, and a warning, when Airflow cannot be asked.

        :param log: the task's logger.
        """
        try:
            return self.load()
        except Exception as error:  # whatever this Airflow raises
            log.warning("Could not read what an earlier process of this task kept, going on without: %s", error)
            return {}

    def save_if_possible(self, value: dict[str, Any], log: Any) -> None:
        """Save the value as :meth:`save` does; only warn when Airflow cannot be reached.

        :param value: plain JSON.
        :param log: the task's logger.
        """
        try:
            self.save(value)
        except Exception as error:  # whatever this Airflow raises
            log.warning("Could not save the state of this wait, which goes on without: %s", error)

    def forget(self) -> None:
        """Remove the value."""
        if self._store is not None:
            self._store.delete(self._key)
