"""A session of requests with one deadline for a whole exchange, whatever the server does.

The timeout of requests limits the silence between two bytes, so a server that sends a byte now and then could block it
forever. Here every operation of a socket gets the time that is left for the exchange of its thread.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from http.cookiejar import DefaultCookiePolicy
from threading import Thread
from typing import Any, TypeVar

import requests
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError, ProxyError
from urllib3.poolmanager import PoolManager

from airflow_provider_flowruns.client.network import prepare_network
from airflow_provider_flowruns.client.proxies import Proxy
from airflow_provider_flowruns.client.settings import Settings

T = TypeVar("T")


class Exchange:
    """The time limit of one exchange, and its progress.

    :param settings: the connection.
    """

    def __init__(self, settings: Settings) -> None:
        self.socks = settings.proxy if settings.proxy and settings.proxy.is_socks else None
        #: Whether it is still connecting; then nothing has been sent.
        self.is_connecting = False
        self._settings = settings
        self._ends_at = self._whole_ends_at = time.monotonic() + settings.timeout

    def extend(self) -> None:
        """Restart the timeout: a piece of a long request is about to be sent."""
        self._ends_at = time.monotonic() + self._settings.timeout

    def seconds_left(self) -> float:
        """Return the seconds that are left.

        :raises TimeoutError: there are none.
        """
        seconds = self._ends_at - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("timed out")
        return seconds

    def start_connecting(self) -> None:
        """Limit the time for connecting: names, proxy, TLS."""
        self.is_connecting = True
        self._ends_at, self._whole_ends_at = (
            min(self._ends_at, time.monotonic() + self._settings.connect_timeout),
            self._ends_at,
        )

    def finish_connecting(self) -> None:
        """Restore the time limit of the whole exchange."""
        self.is_connecting = False
        self._ends_at = self._whole_ends_at


#: The exchange of this thread.
_exchange: ContextVar[Exchange] = ContextVar("exchange")


@contextmanager
def limit_exchange(settings: Settings) -> Generator[Exchange]:
    """Limit the time of an exchange within the block, made with a session of :func:`open_session`.

    :param settings: the connection.
    """
    token = _exchange.set(Exchange(settings))
    try:
        yield _exchange.get()
    finally:
        _exchange.reset(token)


class _BoundedSocket(socket.socket):
    """A socket with the time limit of its thread's exchange."""

    def recv(self, *arguments: Any) -> bytes:
        self.settimeout(_exchange.get().seconds_left())
        return super().recv(*arguments)

    def recv_into(self, *arguments: Any) -> int:
        self.settimeout(_exchange.get().seconds_left())
        return super().recv_into(*arguments)

    def send(self, *arguments: Any) -> int:
        self.settimeout(_exchange.get().seconds_left())
        return super().send(*arguments)

    def sendall(self, *arguments: Any) -> None:
        self.settimeout(_exchange.get().seconds_left())
        super().sendall(*arguments)


class _BoundedTlsSocket(_BoundedSocket, ssl.SSLSocket):
    """The same with TLS."""


class _Response(http.client.HTTPResponse):
    """A response that skips the interim ones before it; the standard library skips only status 100."""

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        while 100 <= status < 200 and status != http.client.SWITCHING_PROTOCOLS:
            http.client.parse_headers(self.fp)
            version, status, reason = super()._read_status()  # type: ignore[misc]
        return version, status, reason


class _Connection(HTTPConnection):
    response_class = _Response

    def connect(self) -> None:
        exchange = _exchange.get()
        exchange.start_connecting()
        super().connect()
        exchange.finish_connecting()

    def _new_conn(self) -> socket.socket:
        exchange = _exchange.get()
        if exchange.socks:
            try:
                opened = _open_through_socks(exchange.socks, self._dns_host, self.port)
            except Exception as error:  # the library has exceptions of its own
                raise ProxyError("SOCKS", error) from error
        else:
            try:
                opened = _open_socket(self._dns_host, self.port)
            except OSError as error:
                raise NewConnectionError(self, str(error)) from error
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.settimeout(exchange.seconds_left())  # also for TLS's handshake
        return opened


class _TlsConnection(_Connection, HTTPSConnection):
    """The same with TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def _open_socket(host: str, port: int) -> socket.socket:
    """Connect to the first of a host's addresses that accepts; each gets its share of the time."""
    exchange = _exchange.get()
    lookup = run_in_thread("flowruns-dns", socket.getaddrinfo, host, port, 0, socket.SOCK_STREAM)
    failure = OSError("the host has no address")
    addresses = lookup.result(exchange.seconds_left())
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        opened = _BoundedSocket(family, kind, protocol)
        try:
            opened.settimeout(exchange.seconds_left() / (len(addresses) - tried))
            opened.connect(address)
        except OSError as error:
            opened.close()
            failure = error
        else:
            return opened
    raise failure


def _open_through_socks(proxy: Proxy, host: str, port: int) -> socket.socket:
    from python_socks import ProxyType
    from python_socks.sync import Proxy as SocksProxy

    class Direct(SocksProxy):
        """Connects to the proxy with a bounded socket; the library expects another proxy here."""

        def __init__(self) -> None:
            """Skip the base class, which would parse an address."""

        def connect(self, dest_host: str, dest_port: int, timeout: float | None = None, **_: Any) -> socket.socket:
            return _open_socket(dest_host, dest_port)

    return SocksProxy(
        proxy_type=ProxyType[proxy.scheme[:6].upper()],
        host=proxy.host,
        port=proxy.port,
        username=proxy.user,
        password=proxy.password,
        rdns=proxy.resolves_names,
        forward=Direct(),
    ).connect(host, port)


class _Adapter(requests.adapters.HTTPAdapter):
    """Uses bounded connections, and the TLS settings that it is given instead of those that requests would make."""

    def __init__(self, settings: Settings, tls: ssl.SSLContext | None) -> None:
        self._proxy_headers = settings.proxy.headers if settings.proxy else {}
        self._tls = tls
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **arguments: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._tls, **arguments)
        _use_bounded_connections(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **arguments: Any) -> Any:
        manager = super().proxy_manager_for(proxy, ssl_context=self._tls, proxy_ssl_context=self._tls, **arguments)
        _use_bounded_connections(manager)
        return manager

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        return self._proxy_headers

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        proxy = requests.utils.select_proxy(str(request.url), proxies)
        manager = self.proxy_manager_for(proxy) if proxy else self.poolmanager
        return manager.connection_from_url(str(request.url))

    def cert_verify(self, *_: Any) -> None:
        """Leave the TLS settings alone."""


class _Session(requests.Session):
    """A session without redirects, cookies and settings from the environment."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False  # the settings already have what matters
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Treat no response as a redirect: requests would read its whole body even if it must not follow."""


def _use_bounded_connections(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}


def open_session(settings: Settings) -> requests.Session:
    """Return a session for a connection's host, to be used within :func:`limit_exchange`.

    :param settings: the connection.
    :raises ConfigurationError: this machine lacks what the connection needs, such as its CA file.
    """
    tls = prepare_network(settings)
    if tls is not None:
        tls.sslsocket_class = _BoundedTlsSocket
    session = _Session()
    session.verify = settings.trust is not None
    proxy = settings.proxy
    session.proxies = {"all": proxy.url} if proxy and not proxy.is_socks else {}
    for prefix in ("http://", "https://"):
        session.mount(prefix, _Adapter(settings, tls))
    return session


def run_in_thread(name: str, work: Callable[..., T], *arguments: Any) -> Future[T]:
    """Call a function in a daemon thread, whose result may be abandoned.

    :param name: the thread's name.
    :param work: what to call with the arguments that follow it.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work(*arguments))
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, name=name, daemon=True).start()
    return future
