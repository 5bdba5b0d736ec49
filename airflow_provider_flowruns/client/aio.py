"""Send calls from the triggerer: one client per event loop and connection, shared by all waits there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from tenacity import AsyncRetrying

from airflow_provider_flowruns.client.bodies import MAX_INLINE_BODY_BYTES
from airflow_provider_flowruns.client.responses import build_connection_error, read_result
from airflow_provider_flowruns.client.retry import ONCE, RetryPolicy
from airflow_provider_flowruns.client.settings import Settings
from airflow_provider_flowruns.client.vendor_clock import VendorClock
from airflow_provider_flowruns.model.calls import Call, CallSequence
from airflow_provider_flowruns.model.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    FlowRunsError,
    ServiceConnectionError,
)
from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.model.targets import BatchResult, Target
from airflow_provider_flowruns.services.base import cancel_run

if TYPE_CHECKING:
    from airflow_provider_flowruns.client.aio_transport import Transport
    from airflow_provider_flowruns.services.base import Service

T = TypeVar("T")

#: Reads the Airflow connection and checks it.
Lookup = Callable[[], Awaitable[Settings]]
#: Interval at which a connection is read again while its token is rejected; watchers never end.
RELOAD_INTERVAL_SECONDS = 60.0


class AsyncClient:
    """Sends the calls of one connection from one event loop, over a bounded pool of kept-alive connections.

    The connection is read for the first call. When the service rejects the token, the connection is read again, at most
    once a minute for that token; all fields that have changed by then take effect.

    :param lookup: reads the connection; at most one call runs at a time.
    :param retry: how an idempotent request is repeated.
    """

    def __init__(self, lookup: Lookup, retry: RetryPolicy | None = None) -> None:
        self.vendor_clock = VendorClock()
        self._lookup = lookup
        self._retry = retry or RetryPolicy()
        self._opening: asyncio.Task[Settings] | None = None
        self._settings: Settings | None = None
        #: The same, None while the connection is being read.
        self._ready_settings: Settings | None = None
        self._transport: Transport | None = None
        self._rejected_token: str | None = None
        self._reloaded_at = 0.0
        #: Why the connection could not be read again.
        self._renewal_failure: ServiceConnectionError | None = None

    async def send(self, call: Call[T], retry: RetryPolicy | None = None) -> T:
        """Send a call and return its result.

        :param call: the request, and how to read its response.
        :param retry: instead of the client's own policy.
        :raises FlowRunsError: there was no usable response, or the connection cannot be used.
        """
        policy = retry or self._retry
        result: T = await AsyncRetrying(**policy.arguments(call.request))(self._send_with_fresh_token, call)
        return result

    async def execute(self, steps: CallSequence[T], retry: RetryPolicy | None = None) -> T:
        """Send the calls of a sequence in turn and return its result.

        :param steps: the sequence.
        :param retry: instead of the client's own policy.
        :raises FlowRunsError: a call failed and the sequence has no alternative.
        """
        # Every poll of every wait takes the first path.
        send = self._send_with_fresh_token if retry is ONCE else partial(self.send, retry=retry)
        try:
            call = next(steps)
            while True:
                try:
                    result = await send(call)
                except ApiError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(result)
        except StopIteration as end:
            outcome: T = end.value
            return outcome

    async def poll(self, target: Target) -> tuple[FlowRun, ...] | FlowRunsError:
        """Poll a target once, without retries: a wait has its own error budget.

        :param target: what the wait is for.
        :return: the runs, newest first, or the error.
        """
        try:
            settings = self._ready_settings or await self._wait_for_settings()
            return await self.execute(settings.service.poll(target), ONCE)
        except FlowRunsError as error:
            return error

    async def poll_batch(
        self, targets: Sequence[Target], required_count: int, max_runs: int
    ) -> BatchResult | FlowRunsError:
        """Poll several targets together, without retries.

        :param targets: targets with the same ``services.base.Service.batch_key``.
        :param required_count: number of targets, from the first one, that are due and worth another request.
        :param max_runs: maximum number of runs in one response.
        :return: the runs that were found, or the error.
        """
        try:
            settings = self._ready_settings or await self._wait_for_settings()
            return await self.execute(settings.service.poll_batch(targets, required_count, max_runs), ONCE)
        except FlowRunsError as error:
            return error

    async def cancel(self, target: Target) -> str:
        """Cancel the run a wait is for, as far as the service can.

        :param target: what the wait is for.
        :return: what was done, in a sentence.
        :raises FlowRunsError: the request failed.
        """
        return await self.execute(cancel_run(await self.get_service(), target), ONCE)

    async def get_service(self) -> Service:
        """Return the service's API as the connection means it.

        :raises FlowRunsError: the connection cannot be used, or could not be read at the moment.
        """
        return (self._ready_settings or await self._wait_for_settings()).service

    async def close(self) -> None:
        """Close the pool's connections."""
        if self._opening is not None:
            self._opening.cancel()
        if self._transport is not None:
            await self._transport.close()
            self._transport = None

    async def _send_with_fresh_token(self, call: Call[T]) -> T:
        settings = self._ready_settings or await self._wait_for_settings()
        is_renewed = False
        while True:
            if self._transport is None:
                raise build_connection_error(settings, call.request, "this client is closed", has_begun=False)
            response = await self._transport.exchange(settings, call.request)
            if isinstance(response, ApiError):
                raise response
            try:
                if len(response.body) > MAX_INLINE_BODY_BYTES:
                    return await asyncio.to_thread(read_result, settings, call, response)
                return read_result(settings, call, response)
            except AuthenticationError:
                renewed = None if is_renewed else await self._reload_settings(settings)
                if renewed is None:
                    raise
                settings, is_renewed = renewed, True

    async def _wait_for_settings(self) -> Settings:
        """Return the settings once the connection has been read; those known before if it cannot be read again."""
        try:
            return await self._wait_until_open()
        except FlowRunsError:
            if self._settings is None:
                raise
            return self._settings

    async def _reload_settings(self, rejected: Settings) -> Settings | None:
        """Return settings with another token than the rejected one, None when there is none.

        :raises ServiceConnectionError: the connection could not be read again; there may be another token.
        """
        now = asyncio.get_running_loop().time()
        was_read_before = self._rejected_token == rejected.token and now - self._reloaded_at < RELOAD_INTERVAL_SECONDS
        if self._settings is rejected and not was_read_before:
            self._rejected_token, self._reloaded_at, self._renewal_failure = rejected.token, now, None
            self._opening = self._opening or self._start_opening()
        current = self._settings
        if self._opening is not None:
            try:
                current = await self._wait_until_open()
            except ServiceConnectionError as error:
                self._renewal_failure = error
            except ConfigurationError:
                return None  # the connection is being edited; the rejection says what is wrong with the known token
        if current is not None and current.token != rejected.token:
            return current
        if self._renewal_failure is not None:
            raise self._renewal_failure.with_traceback(None)
        return None

    async def _wait_until_open(self) -> Settings:
        """Wait until the connection has been read; all callers share one reading, which none of them can cancel."""
        self._opening = self._opening or self._start_opening()
        return await asyncio.shield(self._opening)

    def _start_opening(self) -> asyncio.Task[Settings]:
        self._ready_settings = None
        opening = asyncio.create_task(self._open())
        opening.add_done_callback(self._finish_opening)
        return opening

    async def _open(self) -> Settings:
        settings = await self._lookup()
        transport = self._transport
        if transport is None or not transport.serves(settings):
            # Importing aiohttp would block the event loop for too long.
            module = await asyncio.to_thread(import_module, "airflow_provider_flowruns.client.aio_transport")
            self._transport = await module.open_transport(settings, self.vendor_clock)
            if transport is not None:
                await transport.retire()
        self._settings = settings
        return settings

    def _finish_opening(self, opening: asyncio.Task[Settings]) -> None:
        self._opening, self._ready_settings = None, self._settings
        if not opening.cancelled():
            opening.exception()  # marks it as retrieved in case all waiting callers were cancelled


class _Pool:
    """A client and the number of its users."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.users = 0


_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], _Pool]] = WeakKeyDictionary()


class SharedClient:
    """Provide the client that all users of a connection in this event loop share; the last one closes it.

    :param service: registry name of the service.
    :param conn_id: the connection's id.
    :param read_settings: reads the connection of a service and id, for the first user.
    """

    # A class instead of the standard library's decorator, which creates several times as many objects: thousands of
    # waits are in it at the same time, and the garbage collector traverses all of them.
    __slots__ = ("_key", "_pools", "_read_settings")

    def __init__(self, service: str, conn_id: str, read_settings: Callable[[str, str], Awaitable[Settings]]) -> None:
        self._key = service, conn_id
        self._read_settings = read_settings

    async def __aenter__(self) -> AsyncClient:
        self._pools = _pools.setdefault(asyncio.get_running_loop(), {})
        pool = self._pools.get(self._key)
        if pool is None:
            pool = self._pools[self._key] = _Pool(AsyncClient(partial(self._read_settings, *self._key)))
        pool.users += 1
        return pool.client

    async def __aexit__(self, *_: object) -> None:
        pool = self._pools[self._key]
        pool.users -= 1
        if pool.users == 0:
            del self._pools[self._key]
            await pool.client.close()
