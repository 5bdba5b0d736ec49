"""Where an asset watcher keeps how far it got, if this Airflow has a store for it (3.3)."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from airflow_provider_flowruns.compat import get_asset_state, set_asset_state

#: Seconds to sleep between the tries to save. A watcher that did not save, and starts anew, repeats its events.
RETRY_AFTER = (1.0, 2.0, 4.0, 8.0)


class CursorStore:
    """
    One text in the state store of the asset that a trigger watches; keeps nothing where there is no such store.

    :param accessors: the trigger's ``asset_state_store``, None where Airflow has none.
    :param key: name of the text.
    :param log: told when there is a store and it cannot be used.
    """

    def __init__(self, accessors: Any, key: str, log: Any) -> None:
        self._accessors = accessors
        self._key = key
        self._log = log

    async def load(self) -> str | None:
        """
        Return what was saved, None when nothing was.

        :raises Exception: the store cannot be reached just now. Starting anew instead would miss runs.
        """
        try:
            saved = await get_asset_state(self._accessors, self._key) if self._accessors is not None else None
        except ValueError as error:
            self._give_up(error)
            return None
        return saved if isinstance(saved, str) else None

    async def save(self, text: str | None) -> None:
        """
        Save a text in place of the one before; a store that cannot be reached is tried again, and then left for now.

        :param text: the text; None saves nothing.
        """
        for sleep in (0.0, *RETRY_AFTER):
            await asyncio.sleep(sleep)
            failure = await self._try_to_save(text)
            if failure is None:
                return
        self._warn("How far this watcher got could not be saved; it goes on", failure)

    async def _try_to_save(self, text: str | None) -> Exception | None:
        try:
            if self._accessors is not None and text is not None:
                await set_asset_state(self._accessors, self._key, text)
        except ValueError as error:
            self._give_up(error)
        except Exception as error:
            return error
        return None

    def _give_up(self, error: ValueError) -> None:
        # Several assets with one and the same trigger: Airflow cannot say whose store it is.
        self._accessors = None
        self._warn("What this watcher has seen is not kept over a restart; give each asset a watcher of its own", error)

    def _warn(self, text: str, error: Exception | None) -> None:
        self._log.log(logging.WARNING, "%s (%s: %s)", text, type(error).__name__, error)
