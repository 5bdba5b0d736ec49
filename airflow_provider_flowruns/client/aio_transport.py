"""The aiohttp side of the asynchronous client: a bounded pool of kept-alive connections."""

from __future__ import annotations

import asyncio
import ssl
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from airflow_provider_flowruns.client.policy import headers_for, no_answer
from airflow_provider_flowruns.client.settings import Settings
from airflow_provider_flowruns.services.errors import ConnectionFailed
from airflow_provider_flowruns.services.model import Request, Response

#: Connections of one pool at most; further requests wait their turn.
MAX_CONNECTIONS = 20


class Transport:
    """
    Exchanges requests for answers over one aiohttp session.

    :param session: the session; it is closed with the transport.
    :param proxy: proxy URL for every request, None for none.
    """

    def __init__(self, session: aiohttp.ClientSession, proxy: str | None) -> None:
        self._session = session
        self._proxy = proxy
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)

    async def exchange(self, settings: Settings, request: Request) -> Response:
        """
        Send a request and return its answer, whatever its status.

        :param settings: the connection.
        :param request: the request as data.
        :raises ConnectionFailed: there was none.
        """
        answer = await self._exchange(settings, request)
        if isinstance(answer, ConnectionFailed):
            raise answer
        return answer

    async def _exchange(self, settings: Settings, request: Request) -> Response | ConnectionFailed:
        """
        Return the answer, or the error that came instead.

        The error is not raised here: it would hold this frame, and the other library's error, and with them the token.
        """
        url = _url(settings.base_url + request.path, request.query)
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
                return Response(answer.status, answer.headers, await answer.read())
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            sent = not isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
            return no_answer(settings, request, _reason(error), sent=sent)

    async def close(self) -> None:
        """Close the session's connections."""
        await self._session.close()


async def open_transport(settings: Settings) -> Transport:
    """Return a transport for a connection; nothing is connected before the first request."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, ssl=await _tls(settings.verify)),
        timeout=aiohttp.ClientTimeout(total=settings.timeout, sock_connect=settings.connect_timeout),
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    return Transport(session, _proxy(settings))


async def _tls(verify: bool | str) -> ssl.SSLContext | bool:
    if isinstance(verify, bool):
        return verify
    # Reading a file of certificates takes longer than the loop may stand still.
    return await asyncio.to_thread(ssl.create_default_context, cafile=verify)


@lru_cache(maxsize=10_000)
def _url(address: str, query: tuple[tuple[str, str], ...]) -> URL:
    """Return a URL; waits ask for the same ones again and again, and making one costs much of a request."""
    return URL(address, encoded=True).with_query(list(query))


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
    return f"{type(error).__name__}: {error}"
