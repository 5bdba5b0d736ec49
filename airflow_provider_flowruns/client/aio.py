"""How a call travels from the triggerer: aiohttp, one bounded pool per event loop and connection."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakKeyDictionary

import aiohttp
from tenacity import AsyncRetrying
from yarl import URL

from airflow_provider_flowruns.client.policy import ONCE, RetryPolicy, Walk, headers_for, no_answer, result_of
from airflow_provider_flowruns.client.settings import Settings
from airflow_provider_flowruns.services.errors import ApiError, AuthenticationError, FlowRunsError, InvalidRequest
from airflow_provider_flowruns.services.model import Call, FlowRun, Pages, Request, Response, Steps, Target

T = TypeVar("T")

#: Connections of one pool at most; further requests wait their turn.
MAX_CONNECTIONS = 20

#: Reads the Airflow connection and checks it.
Lookup = Callable[[], Awaitable[Settings]]


class AsyncClient:
    """
    Sends the calls of one connection from one event loop, over a bounded pool of kept-alive connections.

    The connection is looked up once, for the first call. When the service stops accepting the token, it is looked up
    again, once for that token: it may have been changed meanwhile.

    :param lookup: reads the connection; awaited at most once at a time.
    :param retry: how an idempotent request is repeated.
    """

    def __init__(self, lookup: Lookup, retry: RetryPolicy | None = None) -> None:
        self._lookup = lookup
        self._retry = retry or RetryPolicy()
        self._opening: asyncio.Task[Settings] | None = None
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._settings: Settings | None = None
        self._session: aiohttp.ClientSession | None = None
        self._proxy: str | None = None
        self._refused_token: str | None = None

    async def send(self, call: Call[T], retry: RetryPolicy | None = None) -> T:
        """
        Send a call and return what its answer says.

        :param retry: instead of the client's own policy.
        :raises FlowRunsError: there was no usable answer, or the connection cannot be used.
        """
        policy = retry or self._retry
        result: T = await AsyncRetrying(**policy.arguments(call.request))(self._send_with_fresh_token, call)
        return result

    async def run(self, steps: Steps[T], retry: RetryPolicy | None = None) -> T:
        """
        Send the calls of some steps in turn and return their answer.

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

    async def iterate(self, pages: Pages[T]) -> AsyncIterator[T]:
        """Yield the items of a list, asking for each page when the one before has been used up."""
        walk = Walk(pages)
        while walk.call:
            try:
                page = await self.send(walk.call)
            except InvalidRequest as error:
                walk.refused(error)
            else:
                for item in walk.take(page):
                    yield item

    async def look(self, target: Target) -> tuple[FlowRun, ...] | FlowRunsError:
        """
        Look at a target once, without repeating anything: a wait has its own patience.

        :return: the runs seen, newest first, or the error that came instead.
        """
        try:
            settings = await self._current_settings()
            return await self.run(settings.service.look(target), ONCE)
        except FlowRunsError as error:
            return error

    async def close(self) -> None:
        """Close the pool's connections."""
        if self._opening is not None:
            self._opening.cancel()
        if self._session is not None:
            await self._session.close()
            self._session = None

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
        if self._settings is not None:
            return self._settings
        # Whoever comes while a look-up is under way shares it, its failure too; one of them leaving does not end it.
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(self._opened)
        return await asyncio.shield(self._opening)

    async def _open(self) -> Settings:
        settings = await self._lookup()
        if self._session is None:
            self._session, self._proxy = await _open_session(settings), _proxy(settings)
        self._settings = settings
        return settings

    def _opened(self, opening: asyncio.Task[Settings]) -> None:
        self._opening = None
        if not opening.cancelled():
            opening.exception()  # marks it as seen, should everyone who waited have left

    async def _renewed_settings(self, refused: Settings) -> Settings | None:
        """Return settings with another token than the one refused, None when there is none."""
        if self._settings is refused and self._refused_token != refused.token:
            self._refused_token = refused.token
            self._settings = None
        current = await self._current_settings()
        return current if current.token != refused.token else None

    async def _send_once(self, settings: Settings, call: Call[T]) -> T:
        return result_of(settings, call, await self._exchange(settings, call.request))

    async def _exchange(self, settings: Settings, request: Request) -> Response:
        if self._session is None:
            raise no_answer(settings, request, "this client is closed")
        url = URL(settings.base_url + request.path, encoded=True).with_query(list(request.query))
        try:
            # The session's own queue would count waiting for a connection as waiting for the answer.
            async with (
                self._slots,
                self._session.request(
                    request.method,
                    url,
                    json=request.json,
                    headers=headers_for(settings, request),
                    proxy=self._proxy,
                    allow_redirects=False,
                ) as answer,
            ):
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return Response(answer.status, headers, await answer.read())
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            raise no_answer(settings, request, _reason(error)) from None


class _Pool:
    """A client and how many use it."""

    def __init__(self, lookup: Lookup) -> None:
        self.client = AsyncClient(lookup)
        self.users = 0


_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], _Pool]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_client(service: str, conn_id: str, lookup: Lookup) -> AsyncGenerator[AsyncClient]:
    """
    Lend the client that everyone in this event loop shares for one connection; the last user closes it.

    :param service: registry name of the service.
    :param conn_id: the connection's id.
    :param lookup: reads the connection, for the first user.
    """
    pools = _pools.setdefault(asyncio.get_running_loop(), {})
    key = (service, conn_id)
    pool = pools.setdefault(key, _Pool(lookup))
    pool.users += 1
    try:
        yield pool.client
    finally:
        pool.users -= 1
        if pool.users == 0:
            del pools[key]
            await pool.client.close()


async def _open_session(settings: Settings) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, ssl=await _tls(settings.verify)),
        timeout=aiohttp.ClientTimeout(total=settings.timeout, sock_connect=settings.connect_timeout),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def _tls(verify: bool | str) -> ssl.SSLContext | bool:
    if isinstance(verify, bool):
        return verify
    # Reading a file of certificates takes longer than the loop may stand still.
    return await asyncio.to_thread(ssl.create_default_context, cafile=verify)


def _proxy(settings: Settings) -> str | None:
    parts = urlsplit(settings.base_url)
    if settings.proxies:
        return settings.proxies.get(parts.scheme) or settings.proxies.get("all")
    if proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


def _reason(error: Any) -> str:
    """Say in a few words why there was no answer."""
    if isinstance(error, aiohttp.ClientSSLError):
        return f"TLS failed: {error}"
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        return "the proxy could not be reached or refused"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "no connection within the connect timeout"
    if isinstance(error, TimeoutError):
        return "timed out waiting for the answer"
    return f"{type(error).__name__}: {str(error)[:200]}"
