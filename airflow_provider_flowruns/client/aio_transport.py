"""The aiohttp side of the asynchronous client: a bounded pool of kept-alive connections."""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from functools import lru_cache
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from airflow_provider_flowruns.client import retry_after  # ruff: ignore[unused-import] - see responses.py
from airflow_provider_flowruns.client.bodies import BodyBuffer, SentHeaders, UnreadableBodyError
from airflow_provider_flowruns.client.exchange_timeout import ExchangeTimeout, TimedExchange
from airflow_provider_flowruns.client.network import prepare_network
from airflow_provider_flowruns.client.proxies import Proxy
from airflow_provider_flowruns.client.request_encoding import build_headers, encode_json_body
from airflow_provider_flowruns.client.responses import build_body_error, build_connection_error
from airflow_provider_flowruns.client.settings import Settings
from airflow_provider_flowruns.client.vendor_clock import VendorClock
from airflow_provider_flowruns.model.calls import Request, Response
from airflow_provider_flowruns.model.errors import ApiError

#: Maximum number of connections of one pool; further requests wait.
MAX_CONNECTIONS = 20
#: Longest status line and header line in bytes, the same as the synchronous client's.
_MAX_LINE_BYTES = 65_536

_PROXY_FAILURES = aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError
_NEVER_SENT = aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL


class Transport:
    """Sends requests over one aiohttp session.

    :param settings: the connection; of its fields only those that :meth:`serves` compares are kept.
    :param tls: TLS settings, None where nothing is encrypted.
    :param vendor_clock: measures the service's clock by the responses.
    """

    def __init__(self, settings: Settings, tls: ssl.SSLContext | None, vendor_clock: VendorClock) -> None:
        self._vendor_clock = vendor_clock
        self._network = _get_network(settings)
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._timeout = ExchangeTimeout(settings.timeout)
        self._in_flight = 0
        self._is_retired = False
        proxy = settings.proxy
        connector, self._proxy_failures = _create_connector(proxy, tls)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(
                total=None,  # see self._timeout
                connect=settings.connect_timeout,
                ceil_threshold=math.inf,  # not rounded up to whole seconds
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=_MAX_LINE_BYTES,
            max_field_size=_MAX_LINE_BYTES,
        )
        #: An HTTP proxy is authorized by each request that it forwards, or once for a tunnel.
        self._forwarded_headers: dict[str, str] = {}
        #: By kind of request, for the settings that were used last: those of a renewed token are others.
        self._headers: dict[tuple[str, bool, bool], CIMultiDict[str]] = {}
        self._headers_settings: Settings | None = None
        self._proxy: dict[str, Any] = {}
        if proxy and not proxy.is_socks:
            self._proxy["proxy"] = URL(proxy.url)
            if settings.base_url.startswith("http:"):
                self._forwarded_headers = proxy.headers
            else:
                self._proxy["proxy_headers"] = proxy.headers

    def serves(self, settings: Settings) -> bool:
        """Whether a connection is reached the way this transport was made for."""
        return self._network == _get_network(settings)

    async def exchange(self, settings: Settings, request: Request) -> Response | ApiError:
        """Send a request and return its response, whatever its status, or the error that came instead.

        The error is not raised here: it would reference this frame and the library's error, and with them the token.

        :param settings: the connection.
        :param request: the request as data.
        :raises InvalidArgumentError: the request's body cannot be sent.
        """
        data = encode_json_body(request)
        has_begun = False
        self._in_flight += 1
        try:
            url = _build_url(settings.base_url + request.path, request.query)
            headers = self._get_headers(settings, request)
            # The session's own queue would count the wait for a connection as part of the exchange.
            await self._slots.acquire()
            try:
                has_begun, sent_at = True, time.time()
                with TimedExchange(self._timeout):
                    response = await self._session.request(
                        request.method, url, data=data, headers=headers, allow_redirects=False, **self._proxy
                    )
                    received_at = time.time()
                    body = await _receive(response, settings.max_response_bytes)
            finally:
                self._slots.release()
            self._vendor_clock.measure(response.headers, sent_at, received_at)
            content = await asyncio.to_thread(body.decompress) if body.is_expensive else body.decompress()
            return Response(response.status, SentHeaders(response.headers), content)
        except UnreadableBodyError as error:
            return build_body_error(settings, request, response.status, error)
        except Exception as error:  # any error of a library
            is_proxy = isinstance(error, self._proxy_failures)
            sent = has_begun and not is_proxy and not isinstance(error, _NEVER_SENT)
            reason = "the proxy could not be reached or rejected the request" if is_proxy else _describe_failure(error)
            return build_connection_error(settings, request, reason, sent=sent)
        finally:
            self._in_flight -= 1
            if self._is_retired and not self._in_flight:
                await self.close()

    def _get_headers(self, settings: Settings, request: Request) -> CIMultiDict[str]:
        """Return the headers of a request, built once for all requests of its kind."""
        if settings is not self._headers_settings:
            self._headers_settings = settings
            self._headers.clear()
        kind = request.accept, request.with_token, request.json is None
        headers = self._headers.get(kind)
        if headers is None:
            headers = CIMultiDict(build_headers(settings, request) | self._forwarded_headers)
            self._headers[kind] = headers
        return headers

    async def retire(self) -> None:
        """Close the session's connections as soon as the requests in flight have ended."""
        self._is_retired = True
        if not self._in_flight:
            await self.close()

    async def close(self) -> None:
        """Close the session's connections."""
        self._timeout.close()
        await self._session.close()


async def open_transport(settings: Settings, vendor_clock: VendorClock) -> Transport:
    """Return a transport for a connection; nothing is connected before the first request.

    :param settings: the connection.
    :param vendor_clock: measures the service's clock by the responses.
    :raises ConfigurationError: this machine lacks what the connection needs, such as its CA file.
    """
    # Reading a file of certificates would block the event loop for too long.
    return Transport(settings, await asyncio.to_thread(prepare_network, settings), vendor_clock)


async def _receive(response: aiohttp.ClientResponse, max_bytes: int) -> BodyBuffer:
    try:
        body = BodyBuffer(response.headers, max_bytes)
        while not response.content.at_eof():
            body.add(await response.content.readany())
    except BaseException:
        response.close()  # at its end, the connection returns to the pool by itself
        raise
    return body


def _get_network(settings: Settings) -> tuple[Any, ...]:
    return settings.base_url, settings.timeout, settings.trust, settings.proxy


def _create_connector(
    proxy: Proxy | None, tls: ssl.SSLContext | None
) -> tuple[aiohttp.BaseConnector, tuple[type[Exception], ...]]:
    """Return what opens connections, and the exceptions that mean that the proxy opened none."""
    arguments: dict[str, Any] = {"limit": MAX_CONNECTIONS, "ssl": tls or True}
    if proxy is None or not proxy.is_socks:
        return aiohttp.TCPConnector(**arguments), _PROXY_FAILURES
    import aiohttp_socks

    connector = aiohttp_socks.ProxyConnector(
        host=proxy.host,
        port=proxy.port,
        proxy_type=aiohttp_socks.ProxyType[proxy.scheme[:6].upper()],
        username=proxy.user,
        password=proxy.password,
        rdns=proxy.resolves_names,
        **arguments,
    )
    return connector, (aiohttp_socks.ProxyConnectionError, aiohttp_socks.ProxyError, aiohttp_socks.ProxyTimeoutError)


@lru_cache(maxsize=10_000)
def _build_url(address: str, query: tuple[tuple[str, str], ...]) -> URL:
    """Return a URL; waits use the same ones again and again, and building one is a large part of a request's cost."""
    return URL(address, encoded=True).with_query(list(query))


def _describe_failure(error: Any) -> str:
    """Return in a few words why there was no response."""
    if isinstance(error, aiohttp.ClientSSLError):
        return f"TLS failed: {error}"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "no connection within the connect timeout"
    if isinstance(error, TimeoutError):
        return "timed out waiting for the response"
    return f"{type(error).__name__}: {error}"
