"""Where an asset watcher keeps how far it got, if this Airflow has a store for it (3.3)."""

from __future__ import annotations

import logging
from typing import Any

from airflow_provider_flowruns.compat import get_asset_state, set_asset_state


class CursorStore:
    """
    One text in the state store of the asset that a trigger watches; keeps nothing where there is no such store.

    :param accessors: the trigger's ``asset_state_store``, None where Airflow has none.
    :param key: name of the text.
    :param log: told once when there is a store and it cannot be used.
    """

    def __init__(self, accessors: Any, key: str, log: Any) -> None:
        self._accessors = accessors
        self._key = key
        self._log = log

    async def load(self) -> str | None:
        """Return what was saved, None when nothing was."""
        try:
            saved = await get_asset_state(self._accessors, self._key) if self._accessors is not None else None
        except ValueError as error:
            self._give_up(error)
            return None
        return saved if isinstance(saved, str) else None

    async def save(self, text: str | None) -> None:
        """
        Save a text in place of the one before.

        :param text: the text; None saves nothing.
        """
        if self._accessors is None or text is None:
            return
        try:
            await set_asset_state(self._accessors, self._key, text)
        except ValueError as error:
            self._give_up(error)

    def _give_up(self, error: ValueError) -> None:
        # Several assets with one and the same trigger: Airflow cannot say whose store it is.
        self._accessors = None
        self._log.log(
            logging.WARNING,
            "What this watcher has seen is not kept over a restart; give each asset a watcher of its own (%s)",
            error,
        )
