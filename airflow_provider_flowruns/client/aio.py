"""How a call travels from the triggerer: one client per event loop and connection, shared by all who wait there."""

from __future__ import annotations

import asyncio
import time
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

T = TypeVar("T")

#: Reads the Airflow connection and checks it.
Lookup = Callable[[], Awaitable[Settings]]
#: Seconds until a connection with a token that was refused is looked up once more: watchers never leave.
ASK_AGAIN_AFTER = 60.0


class AsyncClient:
    """Sends the calls of one connection from one event loop, over a bounded pool of kept-alive connections.

    The connection is looked up once, for the first call. When the service stops accepting the token, it is looked up
    again, once a minute for that token: it may have been changed meanwhile. What else was changed then counts, too.

    :param lookup: reads the connection; awaited at most once at a time.
    :param retry: how an idempotent request is repeated.
    """

    def __init__(self, lookup: Lookup, retry: RetryPolicy | None = None) -> None:
        self.vendor_clock = VendorClock()
        self._lookup = lookup
        self._retry = retry or RetryPolicy()
        self._opening: asyncio.Task[Settings] | None = None
        self._settings: Settings | None = None
        self._transport: Transport | None = None
        self._refused_token: str | None = None
        self._asked_again_at = 0.0
        #: Why the connection could not be looked up again.
        self._renewal_failure: ServiceConnectionError | None = None

    async def send(self, call: Call[T], retry: RetryPolicy | None = None) -> T:
        """Send a call and return what its answer says.

        :param call: what to ask, and how to read the answer.
        :param retry: instead of the client's own policy.
        :raises FlowRunsError: there was no usable answer, or the connection cannot be used.
        """
        policy = retry or self._retry
        if policy is ONCE:  # every look of every wait comes this way
            return await self._send_with_fresh_token(call)
        result: T = await AsyncRetrying(**policy.arguments(call.request))(self._send_with_fresh_token, call)
        return result

    async def execute(self, steps: CallSequence[T], retry: RetryPolicy | None = None) -> T:
        """Send the calls of some steps in turn and return their answer.

        :param steps: a generator of calls.
        :param retry: instead of the client's own policy.
        :raises FlowRunsError: a call failed and the steps had no other way.
        """
        try:
            call = next(steps)
            while True:
                try:
                    result = await self.send(call, retry)
                except ApiError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(result)
        except StopIteration as end:
            answer: T = end.value
            return answer

    async def poll(self, target: Target) -> tuple[FlowRun, ...] | FlowRunsError:
        """Look at a target once, without repeating anything: a wait has its own patience.

        :param target: what the wait is for.
        :return: the runs seen, newest first, or the error that came instead.
        """
        try:
            settings = await self._current_settings()
            return await self.execute(settings.service.poll(target), ONCE)
        except FlowRunsError as error:
            return error

    async def poll_batch(
        self, targets: Sequence[Target], required_count: int, max_runs: int
    ) -> BatchResult | FlowRunsError:
        """Look at several targets at once, without repeating anything.

        :param targets: targets that the service shows together, see ``services.base.Service.batch_key``.
        :param required_count: so many of them, the first ones, are worth a further request; the others only come along.
        :param max_runs: so many runs may come in one answer.
        :return: what was seen, or the error that came instead.
        """
        try:
            settings = await self._current_settings()
            return await self.execute(settings.service.poll_batch(targets, required_count, max_runs), ONCE)
        except FlowRunsError as error:
            return error

    async def cancel(self, target: Target) -> str:
        """Cancel the run a wait is for, as far as the service can.

        :param target: what the wait is for.
        :return: a sentence that says what was done.
        :raises FlowRunsError: the service could not be asked.
        """
        service = (await self._current_settings()).service
        return await self.execute(cancel_run(service, target), ONCE)

    async def close(self) -> None:
        """Close the pool's connections."""
        if self._opening is not None:
            self._opening.cancel()
        if self._transport is not None:
            await self._transport.close()
            self._transport = None

    async def _send_with_fresh_token(self, call: Call[T]) -> T:
        settings = await self._current_settings()
        try:
            return await self._send_once(settings, call)
        except AuthenticationError:
            renewed = await self._renewed_settings(settings)
            if renewed is None:
                raise
            return await self._send_once(renewed, call)

    async def _current_settings(self) -> Settings:
        if self._settings is not None and self._opening is None:
            return self._settings
        try:
            return await self._opened()
        except FlowRunsError:
            if self._settings is None:
                raise
            return self._settings

    async def _renewed_settings(self, refused: Settings) -> Settings | None:
        """Return settings with another token than the one refused, None when there is none.

        :raises ServiceConnectionError: the connection could not be looked up again; there may be another token.
        """
        now = asyncio.get_running_loop().time()
        asked_before = self._refused_token == refused.token and now - self._asked_again_at < ASK_AGAIN_AFTER
        if self._settings is refused and not asked_before:
            self._refused_token, self._asked_again_at, self._renewal_failure = refused.token, now, None
            self._opening = self._opening or self._start_opening()
        current = self._settings
        if self._opening is not None:
            try:
                current = await self._opened()
            except ServiceConnectionError as error:
                self._renewal_failure = error
            except ConfigurationError:
                return None  # the connection is being changed; the refusal says what is wrong with what is known
        if current is not None and current.token != refused.token:
            return current
        if self._renewal_failure is not None:
            raise self._renewal_failure.with_traceback(None)
        return None

    async def _opened(self) -> Settings:
        """Wait for a look-up; whoever comes meanwhile shares it, and one of them leaving does not end it."""
        self._opening = self._opening or self._start_opening()
        return await asyncio.shield(self._opening)

    def _start_opening(self) -> asyncio.Task[Settings]:
        opening = asyncio.create_task(self._open())
        opening.add_done_callback(self._note_opened)
        return opening

    async def _open(self) -> Settings:
        settings = await self._lookup()
        transport = self._transport
        if transport is None or not transport.serves(settings):
            # Importing aiohttp takes longer than the loop may stand still.
            module = await asyncio.to_thread(import_module, "airflow_provider_flowruns.client.aio_transport")
            self._transport = await module.open_transport(settings)
            if transport is not None:
                await transport.retire()
        self._settings = settings
        return settings

    def _note_opened(self, opening: asyncio.Task[Settings]) -> None:
        self._opening = None
        if not opening.cancelled():
            opening.exception()  # marks it as seen, should everyone who waited have left

    async def _send_once(self, settings: Settings, call: Call[T]) -> T:
        if self._transport is None:
            raise build_connection_error(settings, call.request, "this client is closed")
        sent_at = time.time()
        response = await self._transport.exchange(settings, call.request)
        self.vendor_clock.measure(response.headers, sent_at, time.time())
        if len(response.body) > MAX_INLINE_BODY_BYTES:
            return await asyncio.to_thread(read_result, settings, call, response)
        return read_result(settings, call, response)


class _Pool:
    """A client and how many use it."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.users = 0


_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], _Pool]] = WeakKeyDictionary()


class SharedClient:
    """Lend the client that everyone in this event loop shares for one connection; the last user closes it.

    :param service: registry name of the service.
    :param conn_id: the connection's id.
    :param look_up: reads the connection of a service and id, for the first user.
    """

    # A class of its own, because thousands of waits stand in it at a time: the standard library's decorator makes
    # several times as many objects, and the garbage collector looks at all of them.
    __slots__ = ("_key", "_look_up", "_pools")

    def __init__(self, service: str, conn_id: str, look_up: Callable[[str, str], Awaitable[Settings]]) -> None:
        self._key = service, conn_id
        self._look_up = look_up

    async def __aenter__(self) -> AsyncClient:
        self._pools = _pools.setdefault(asyncio.get_running_loop(), {})
        pool = self._pools.get(self._key)
        if pool is None:
            pool = self._pools[self._key] = _Pool(AsyncClient(partial(self._look_up, *self._key)))
        pool.users += 1
        return pool.client

    async def __aexit__(self, *_: object) -> None:
        pool = self._pools[self._key]
        pool.users -= 1
        if pool.users == 0:
            del self._pools[self._key]
            await pool.client.close()
