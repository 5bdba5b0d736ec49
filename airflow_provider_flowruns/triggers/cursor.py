"""Where an asset watcher stores its cursor, if Airflow has a state store for assets (3.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from typing import Any

from airflow_provider_flowruns.compat.state_stores import get_asset_state, set_asset_state
from airflow_provider_flowruns.triggers.log_lines import log_in_thread

#: Seconds before each retry of a failed access to the store.
RETRY_DELAYS_SECONDS = (1.0, 2.0, 4.0, 8.0)
#: Seconds between further attempts to load. They never end, because starting without the cursor would miss runs.
LOAD_RETRY_INTERVAL_SECONDS = 60.0
#: Number of failed attempts to load for each line in the log.
ATTEMPTS_PER_LOG_LINE = 10


class TakenOver(Exception):
    """Another watcher has saved its cursor: this triggerer stood still, and Airflow moved the watcher to another one.

    :param text: the cursor that the other watcher saved.
    """

    def __init__(self, text: str) -> None:
        super().__init__("another triggerer has taken this watcher over")
        self.text = text


class CursorStore:
    """One text in the state store of the asset that a trigger watches. Does nothing where there is no such store.

    A triggerer that stood still does not notice that another one has replaced it. Therefore the store is read before
    each write, and finding another watcher's text raises an error. Airflow's store cannot compare and write in one
    step, so two running watchers can still overwrite each other within milliseconds.

    :param accessors: the trigger's ``asset_state_store``, None where Airflow has none.
    :param key: name of the text.
    :param log: logger for problems with the store.
    """

    def __init__(self, accessors: Any, key: str, log: Any) -> None:
        self._accessors = accessors
        self._key = key
        self._log = log
        #: Hashes of the texts that this watcher may have written. There are several after a failed write, because it
        #: may have succeeded although its response was lost.
        self._own = {hash(None)}

    async def load(self) -> str | None:
        """Return the saved text, None if there is none. Retries until the store can be reached."""
        for attempt in count():
            try:
                saved = await self._read()
            except Exception as error:
                if attempt % ATTEMPTS_PER_LOG_LINE == len(RETRY_DELAYS_SECONDS):
                    await self._warn("the saved cursor cannot be read, trying again every minute", error)
                is_early = attempt < len(RETRY_DELAYS_SECONDS)
                await asyncio.sleep(RETRY_DELAYS_SECONDS[attempt] if is_early else LOAD_RETRY_INTERVAL_SECONDS)
            else:
                break
        self._own = {hash(None), hash(saved)}
        return saved

    async def check(self) -> None:
        """Check that no other watcher has saved a cursor. Passes, after retries, if the store cannot be reached.

        :raises TakenOver: another watcher has.
        """
        saved = await self._retry(self._read, "cannot check whether another triggerer has taken this watcher over")
        if saved is not None and hash(saved) not in self._own:
            self._own = {hash(None), hash(saved)}
            raise TakenOver(saved)

    async def save(self, text: str | None) -> None:
        """Replace the saved text. Gives up, after retries, if the store cannot be reached.

        :param text: the text; None saves nothing.
        :raises TakenOver: another watcher has saved a text, which is kept.
        """
        if text is None:
            return
        await self.check()
        self._own.add(hash(text))
        await self._retry(partial(self._write, text), "the cursor could not be saved")

    async def _retry(self, action: Callable[[], Awaitable[str | None]], failure_text: str) -> str | None:
        for delay in (0.0, *RETRY_DELAYS_SECONDS):
            await asyncio.sleep(delay)
            try:
                return await action()
            except Exception as error:
                failure = error
        await self._warn(f"{failure_text}; it continues without", failure)
        return None

    async def _read(self) -> str | None:
        try:
            saved = await get_asset_state(self._accessors, self._key) if self._accessors is not None else None
        except ValueError as error:
            await self._disable(error)
            return None
        return saved if isinstance(saved, str) else None

    async def _write(self, text: str) -> None:
        try:
            if self._accessors is not None:
                await set_asset_state(self._accessors, self._key, text)
        except ValueError as error:
            await self._disable(error)
        self._own = {hash(None), hash(text)}

    async def _disable(self, error: ValueError) -> None:
        if type(error) is not ValueError:  # a subclass means that a response of Airflow could not be read
            raise error
        # Several assets have the same trigger, so Airflow cannot tell which asset's store to use.
        self._accessors = None
        text = (
            "the cursor is not kept after a restart, because assets share this watcher; give each asset its own watcher"
        )
        await self._warn(text, error)

    async def _warn(self, text: str, error: Exception) -> None:
        line = "Watcher %r: %s (%s: %s)"
        await log_in_thread(self._log.warning, line, self._key, text, type(error).__name__, error)
