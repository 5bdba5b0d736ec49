"""Where an asset watcher keeps how far it got, if this Airflow has a store for it (3.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from typing import Any

from airflow_provider_flowruns.compat.state_stores import get_asset_state, set_asset_state

#: Seconds to sleep between the tries to reach the store.
RETRY_AFTER = (1.0, 2.0, 4.0, 8.0)
#: Seconds between the further tries to load, which go on until one succeeds: starting anew would miss runs.
LOAD_AGAIN_SECONDS = 60.0
#: One in this many tries to load is logged.
LOG_EVERY = 10


class TakenOver(Exception):
    """Another watcher has saved how far it got: this one stood still, and Airflow gave its work to another triggerer.

    :param text: what the other one saved.
    """

    def __init__(self, text: str) -> None:
        super().__init__("another triggerer has taken this watcher over")
        self.text = text


class CursorStore:
    """One text in the state store of the asset that a trigger watches; keeps nothing where there is no such store.

    Its owner is not alone: a triggerer that stood still has been replaced by another one without noticing. So the
    store is read before it is written, and whoever finds another's text there learns of it. Airflow's store cannot
    compare and write in one step, so that two that are both awake can still miss each other, within milliseconds.

    :param accessors: the trigger's ``asset_state_store``, None where Airflow has none.
    :param key: name of the text.
    :param log: told when there is a store and it cannot be used.
    """

    def __init__(self, accessors: Any, key: str, log: Any) -> None:
        self._accessors = accessors
        self._key = key
        self._log = log
        #: Hashes of what may be in the store without anybody else having written it. Several texts when saving has
        #: failed, because a write may have been carried out although its answer got lost.
        self._own = {hash(None)}

    async def load(self) -> str | None:
        """Return what was saved, None when nothing was; a store that cannot be reached is tried until it can."""
        for tries in count():
            try:
                saved = await self._read()
            except Exception as error:
                if tries % LOG_EVERY == len(RETRY_AFTER):
                    self._warn("where to go on from cannot be read, trying again every minute", error)
                await asyncio.sleep(RETRY_AFTER[tries] if tries < len(RETRY_AFTER) else LOAD_AGAIN_SECONDS)
            else:
                break
        self._own = {hash(None), hash(saved)}
        return saved

    async def check(self) -> None:
        """Make sure that nobody else has saved anything; a store that cannot be reached for long is let pass.

        :raises TakenOver: somebody has.
        """
        saved = await self._reach(self._read, "whether another triggerer has taken it over is not known")
        if saved is not None and hash(saved) not in self._own:
            self._own = {hash(None), hash(saved)}
            raise TakenOver(saved)

    async def save(self, text: str | None) -> None:
        """Save a text in place of the one before; a store that cannot be reached is tried again, and then left for now.

        :param text: the text; None saves nothing.
        :raises TakenOver: somebody else has saved one, which stays.
        """
        if text is None:
            return
        await self.check()
        self._own.add(hash(text))
        await self._reach(partial(self._write, text), "how far it got could not be saved")

    async def _reach(self, action: Callable[[], Awaitable[str | None]], failed: str) -> str | None:
        for sleep in (0.0, *RETRY_AFTER):
            await asyncio.sleep(sleep)
            try:
                return await action()
            except Exception as error:
                failure = error
        self._warn(f"{failed}; it goes on", failure)
        return None

    async def _read(self) -> str | None:
        try:
            saved = await get_asset_state(self._accessors, self._key) if self._accessors is not None else None
        except ValueError as error:
            self._give_up(error)
            return None
        return saved if isinstance(saved, str) else None

    async def _write(self, text: str) -> None:
        try:
            if self._accessors is not None:
                await set_asset_state(self._accessors, self._key, text)
        except ValueError as error:
            self._give_up(error)
        self._own = {hash(None), hash(text)}

    def _give_up(self, error: ValueError) -> None:
        if type(error) is not ValueError:  # a subclass says that an answer of Airflow's could not be read
            raise error
        # Several assets with one and the same trigger: Airflow cannot say whose store it is.
        self._accessors = None
        self._warn("what it has seen is not kept over a restart; give each asset a watcher of its own", error)

    def _warn(self, text: str, error: Exception) -> None:
        self._log.warning("Watcher %r: %s (%s: %s)", self._key, text, type(error).__name__, error)
