"""Checks of the way to a service, one step at a time: name, proxy, connection, TLS. No request is sent."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from airflow_provider_flowruns.cli.findings import Finding, Status
from airflow_provider_flowruns.client.network import prepare_network
from airflow_provider_flowruns.client.proxies import Proxy
from airflow_provider_flowruns.client.settings import Settings
from airflow_provider_flowruns.client.sync_transport import run_in_thread
from airflow_provider_flowruns.client.trust import TrustStore
from airflow_provider_flowruns.model.errors import ConfigurationError

#: Subjects of the checks, in their order.
DNS, PROXY, CONNECTION, TLS = SUBJECTS = ("DNS", "proxy", "connection", "TLS")

#: Errors of OpenSSL's verification by their codes: the certificate's authority is not trusted here.
_UNTRUSTED = {2, 18, 19, 20, 21}
_EXPIRED, _NOT_YET_VALID = 10, 9
_OTHER_HOST = {62, 64}
_MAX_PROXY_RESPONSE_BYTES = 65_536


class CheckFailed(Exception):
    """A check found a problem, so that those after it make no sense.

    :param finding: the problem.
    """

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.text)
        self.finding = finding


@dataclass(frozen=True)
class Route:
    """The way to a service.

    :param settings: the connection.
    """

    settings: Settings

    @property
    def address(self) -> SplitResult:
        """The base URL's parts."""
        return urlsplit(self.settings.base_url)

    @property
    def host(self) -> str:
        """The service's host."""
        return str(self.address.hostname)

    @property
    def port(self) -> int:
        """The service's port."""
        return self.address.port or (443 if self.is_encrypted else 80)

    @property
    def is_encrypted(self) -> bool:
        """Whether the service is spoken to by TLS."""
        return self.address.scheme == "https"

    @property
    def proxy(self) -> Proxy | None:
        """The proxy on the way, None without one."""
        return self.settings.proxy

    @property
    def first_stop(self) -> tuple[str, int]:
        """Host and port to which this machine connects."""
        return (self.proxy.host, self.proxy.port) if self.proxy else (self.host, self.port)


def check_network(settings: Settings) -> list[Finding]:
    """Check the way to a connection's service, up to the first problem.

    :param settings: the connection.
    """
    findings: list[Finding] = []
    try:
        findings += _check_route(Route(settings))
    except CheckFailed as failed:
        findings.append(failed.finding)
    return findings


def _check_route(route: Route) -> Iterator[Finding]:
    yield _check_name(route)
    context = _prepare_tls(route)
    if not route.proxy:
        yield Finding(PROXY, Status.OK, "none")
    with _connect(route) as opened:
        if route.proxy:
            yield _describe_proxy(route.proxy)
        else:
            yield Finding(CONNECTION, Status.OK, f"{route.host}, port {route.port}, accepts connections")
        if route.proxy and route.proxy.is_socks:
            yield Finding(TLS, Status.SKIPPED, "not checked by itself behind a SOCKS proxy, but with the request below")
            return
        yield _check_tls(route, context, opened)


def _check_name(route: Route) -> Finding:
    host, port = route.first_stop
    whose = "the proxy's host" if route.proxy else "host"
    if _is_address(host):
        return Finding(DNS, Status.OK, f"not needed: {host} is an address")
    lookup = run_in_thread("flowruns-dns", socket.getaddrinfo, host, port, 0, socket.SOCK_STREAM)
    try:
        found = lookup.result(route.settings.connect_timeout)
    except (FutureTimeoutError, TimeoutError):
        text = f"no answer about {whose} {host} within {route.settings.connect_timeout:g} s"
        raise _fail(DNS, text, "check this machine's name servers") from None
    except OSError as error:
        advice = f"correct {_get_field(route)}, or this machine's name servers"
        raise _fail(DNS, f"{whose} {host} has no address here ({error.strerror or error})", advice) from None
    addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
    return Finding(DNS, Status.OK, f"{host} is {', '.join(list(addresses)[:4])}")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _get_field(route: Route) -> str:
    """Return the field or variable that says where this machine connects to."""
    return f"the address in {route.proxy.source}" if route.proxy else "the connection's host"


def _connect(route: Route) -> socket.socket:
    (host, port), seconds = route.first_stop, route.settings.connect_timeout
    subject = PROXY if route.proxy else CONNECTION
    what = f"the proxy {route.proxy.url}" if route.proxy else f"{host}, port {port},"
    try:
        return socket.create_connection((host, port), seconds)
    except TimeoutError:
        advice = f"check {_get_field(route)}, and whether a firewall lets this machine out"
        raise _fail(subject, f"{what} did not respond within {seconds:g} s", advice) from None
    except ConnectionRefusedError:
        advice = f"check {_get_field(route)}, and whether something listens there"
        raise _fail(subject, f"{what} refused the connection", advice) from None
    except OSError as error:
        advice = f"check {_get_field(route)} and this machine's network"
        raise _fail(subject, f"{what} cannot be reached ({error.strerror or error})", advice) from None


def _describe_proxy(proxy: Proxy) -> Finding:
    with_user = " with a user name" if proxy.user is not None else ""
    return Finding(PROXY, Status.OK, f"{proxy.url}{with_user}, from {proxy.source}, accepts connections")


def _prepare_tls(route: Route) -> ssl.SSLContext | None:
    try:
        return prepare_network(route.settings)
    except ConfigurationError as error:
        is_proxy = route.proxy is not None and route.proxy.is_socks and "SOCKS" in str(error)
        raise _fail(PROXY if is_proxy else TLS, str(error), "correct the connection or this machine") from None


def _check_tls(route: Route, context: ssl.SSLContext | None, opened: socket.socket) -> Finding:
    opened.settimeout(route.settings.connect_timeout)
    if route.proxy and route.proxy.scheme == "https" and context:
        opened = _wrap(route, context, opened, route.proxy.host)
    if not route.is_encrypted or context is None:
        return Finding(
            TLS, Status.NOTE, "not used: the base URL begins with http://, so that the token can be read on the way"
        )
    if route.proxy:
        _open_tunnel(route, route.proxy, opened)
    with _wrap(route, context, opened, route.host) as encrypted:
        version, certificate = encrypted.version(), encrypted.getpeercert()
    if route.settings.trust is None:
        return Finding(TLS, Status.NOTE, f"{version}; the certificate is not verified, because extra 'verify' is false")
    expires = f", valid until {certificate['notAfter']}" if certificate else ""
    return Finding(
        TLS, Status.OK, f"{version}, certificate{expires}, trusted by {_describe_trust(route.settings.trust)}"
    )


def _wrap(route: Route, context: ssl.SSLContext, opened: socket.socket, host: str) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(opened, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise _fail(TLS, *_explain_certificate(route, host, error)) from None
    except TimeoutError:
        raise _fail(TLS, f"{host} did not answer TLS's first message", "check the port") from None
    except ssl.SSLError as error:
        advice = "check scheme and port of the connection's host: http:// if the server does not use TLS"
        raise _fail(
            TLS, f"{host} does not speak TLS that this machine accepts ({error.reason or error})", advice
        ) from None
    except OSError as error:
        text = f"{host} ended the connection during TLS's handshake ({error.strerror or type(error).__name__})"
        raise _fail(TLS, text, "check port and proxy") from None


def _explain_certificate(route: Route, host: str, error: ssl.SSLCertVerificationError) -> tuple[str, str]:
    """Return why a certificate is rejected, and what to do."""
    trust = route.settings.trust or TrustStore()
    text = f"the certificate of {host} is not accepted: {error.verify_message}"
    if error.verify_code in _UNTRUSTED:
        return (
            f"{text}; trusted are the authorities of {_describe_trust(trust)}",
            "put the path of a file with the server's CA into the connection's extra 'verify', or into "
            "REQUESTS_CA_BUNDLE, on workers, triggerers and API servers",
        )
    if error.verify_code in {_EXPIRED, _NOT_YET_VALID}:
        return text, "renew the server's certificate, or correct this machine's clock"
    if error.verify_code in _OTHER_HOST:
        return text, "correct the connection's host: the certificate is for another name"
    return text, "ask whoever runs the server"


def _describe_trust(trust: TrustStore) -> str:
    return f"{trust.path} ({trust.source})" if trust.path else "certifi, the list that comes with Python's requests"


def _open_tunnel(route: Route, proxy: Proxy, opened: socket.socket) -> None:
    target = f"{f'[{route.host}]' if ':' in route.host else route.host}:{route.port}"
    headers = "".join(f"{name}: {value}\r\n" for name, value in proxy.headers.items())
    try:
        opened.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{headers}\r\n".encode("ascii"))
        status = _read_status(opened)
    except OSError as error:
        text = f"the proxy {proxy.url} did not answer the request for {target} ({type(error).__name__})"
        raise _fail(PROXY, text, f"check {_get_field(route)}") from None
    if status == 407:
        known = "does not accept the user name and password of" if proxy.user is not None else "asks for more than"
        text = f"the proxy {proxy.url} {known} {proxy.source} (HTTP 407)"
        raise _fail(PROXY, text, f"put http://user:password@host:port into {_get_source(proxy)}")
    if status is None or not 200 <= status < 300:
        said = f"with HTTP {status}" if status else "without a response of HTTP"
        text = f"the proxy {proxy.url} refused to connect to {target} {said}"
        raise _fail(PROXY, text, f"let the proxy allow {route.host}, or leave it out: {_get_source(proxy)}, NO_PROXY")


def _get_source(proxy: Proxy) -> str:
    return proxy.source.rpartition(": ")[2]


def _read_status(opened: socket.socket) -> int | None:
    """Read a proxy's response to its end, and return its status."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _MAX_PROXY_RESPONSE_BYTES:
        piece = opened.recv(1)  # what follows belongs to TLS
        if not piece:
            break
        head += piece
    version, _, rest = head.partition(b" ")
    return int(rest[:3]) if version.startswith(b"HTTP/") and rest[:3].isdigit() else None


def _fail(subject: str, text: str, advice: str) -> CheckFailed:
    return CheckFailed(Finding(subject, Status.PROBLEM, text, advice))
