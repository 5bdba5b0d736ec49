"""How a connection reaches its service: certificate authorities and proxy, resolved once and alike for both clients.

The rules are those of requests: what the connection says comes first, then the environment. Neither client reads the
environment itself.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies_environment

import certifi

from airflow_provider_flowruns.client.address import encode_host
from airflow_provider_flowruns.model.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_flowruns.client.settings import Settings

#: Environment variables that name a CA file or folder; the first one that is set counts.
_BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
#: Their counterparts of OpenSSL, a file and a folder that are trusted together.
_FILE_VARIABLE, _FOLDER_VARIABLE = "SSL_CERT_FILE", "SSL_CERT_DIR"

_SWITCHES = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
#: OpenSSL finds a certificate in a folder by the hash of its subject.
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.[0-9]+")

#: Schemes of a proxy's address, and the port where it names none.
_PROXY_PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}
#: What the two clients need for SOCKS: modules, and the extra of this package that installs them.
_SOCKS_MODULES, _SOCKS_EXTRA = ("python_socks", "aiohttp_socks"), "airflow-provider-flowruns[socks]"


@dataclass(frozen=True, slots=True)
class TrustStore:
    """Certificate authorities to trust.

    :param path: file or folder with their certificates, None for the file that requests brings along.
    :param source: the connection field or environment variable that names it, for messages.
    :param folders: further folders, trusted if they exist; several are separated as in ``PATH``.
    :param is_own: whether the connection itself names it.
    """

    path: str | None = None
    source: str = ""
    folders: str | None = None
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, with its address taken apart.

    :param scheme: scheme of its address.
    :param host: its host, an IPv6 address without brackets.
    :param port: its port.
    :param user: user name, None without credentials.
    :param password: password, None without credentials.
    :param source: the connection field or environment variable that names it, for messages.
    """

    scheme: str
    host: str
    port: int
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    source: str = ""

    @property
    def url(self) -> str:
        """Its address, without credentials."""
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS instead of HTTP."""
        return self.scheme.startswith("socks")

    @property
    def resolves_names(self) -> bool:
        """Whether a SOCKS proxy is given host names, which it looks up by itself."""
        return self.scheme in {"socks4a", "socks5h"}

    @property
    def secrets(self) -> tuple[str, ...]:
        """Its credentials, in the forms in which they are sent."""
        if self.user is None:
            return ()
        return (f"{self.user}:{self.password or ''}", self.password or "")

    @property
    def headers(self) -> dict[str, str]:
        """Headers that an HTTP proxy is sent: its credentials, if there are any."""
        if self.user is None:
            return {}
        return {"Proxy-Authorization": encode_basic_auth(self.user, self.password or "")}


def encode_basic_auth(user: str, password: str) -> str:
    """Return the value of a header for HTTP's Basic authentication.

    :param user: user name, without a colon.
    :param password: password.
    """
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def resolve_trust(where: str, verify: Any) -> TrustStore | None:
    """Return which certificate authorities a connection trusts, None when it takes any certificate.

    :param where: names the connection, for messages.
    :param verify: the connection's extra ``verify``: a switch as a boolean, number or word, or the path of a CA file or
        folder. True and nothing mean the same: the environment's authorities, or else requests' own.
    :raises ConfigurationError: it is neither.
    """
    switch = _SWITCHES.get(str(verify).strip().lower()) if isinstance(verify, bool | int | str) else None
    if isinstance(verify, str) and verify.strip() and switch is None:
        return TrustStore(verify.strip(), f"{where}: extra 'verify'", is_own=True)
    if switch is None and verify is not None and not isinstance(verify, str):
        raise ConfigurationError(
            f"{where}: extra 'verify' must be true, false, or the path of a CA file or folder, got {verify!r}"
        )
    return None if switch is False else _trust_from_environment(where)


def _trust_from_environment(where: str) -> TrustStore:
    for variable in (*_BUNDLE_VARIABLES, _FILE_VARIABLE):
        if path := os.environ.get(variable):
            folders = os.environ.get(_FOLDER_VARIABLE) if variable == _FILE_VARIABLE else None
            return TrustStore(path, f"{where}: environment variable {variable}", folders)
    return TrustStore(folders=os.environ.get(_FOLDER_VARIABLE))


def resolve_proxy(where: str, proxies: Mapping[str, str], base_url: str) -> Proxy | None:
    """Return the proxy for a connection's base URL, None for none.

    :param where: names the connection, for messages.
    :param proxies: the connection's extra ``proxies``: addresses by ``scheme://host``, scheme, ``all://host`` or
        ``all``; an empty address means none. What it has no entry for is looked up in the environment.
    :param base_url: the connection's base URL.
    :raises ConfigurationError: the address of the proxy cannot be used; the message does not show it.
    """
    parts = urlsplit(base_url)
    named = {key.lower(): (address, f"{where}: extra 'proxies'") for key, address in proxies.items()}
    address, source = _select(named, parts) or _select(_proxies_from_environment(where, parts), parts) or ("", "")
    return _parse_proxy(address.strip(), source) if address.strip() else None


def _select(proxies: Mapping[str, tuple[str, str]], base: SplitResult) -> tuple[str, str] | None:
    keys = (f"{base.scheme}://{base.hostname}", base.scheme, f"all://{base.hostname}", "all")
    return next((proxies[key] for key in keys if key in proxies), None)


def _proxies_from_environment(where: str, base: SplitResult) -> dict[str, tuple[str, str]]:
    found = getproxies_environment()
    if _is_bypassed(base.hostname or "", base.port, found.pop("no", "")):
        return {}
    return {
        scheme: (address, f"{where}: environment variable {scheme.upper()}_PROXY") for scheme, address in found.items()
    }


def _is_bypassed(host: str, port: int | None, no_proxy: str) -> bool:
    if no_proxy.strip() == "*":
        return True
    names = {host, f"{host}:{port}"} if port else {host}
    return any(_matches(entry.strip().lower(), names, host) for entry in no_proxy.split(",") if entry.strip())


def _matches(entry: str, names: set[str], host: str) -> bool:
    """Whether an entry of ``NO_PROXY`` covers a host: a network, a host or its domain, each with or without a port."""
    if "/" in entry:
        try:
            return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    bare = entry.lstrip(".")
    return any(name == bare or name.endswith(f".{bare}") for name in names)


def _parse_proxy(address: str, source: str) -> Proxy:
    """Take the address of a proxy apart; no message may show it, since it may hold a password."""
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = encode_host(parts.hostname or ""), parts.port
    except ValueError:
        raise ConfigurationError(f"{source} is no address of a proxy; it must be like http://proxy:3128") from None
    if parts.scheme not in _PROXY_PORTS:
        raise ConfigurationError(f"{source} names a proxy by the scheme of none; use one of {', '.join(_PROXY_PORTS)}")
    if port == 0 or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ConfigurationError(
            f"{source} must hold nothing but scheme, user, password, host and port of a proxy; "
            "special characters of user and password must be percent-encoded"
        )
    user = unquote(parts.username) if parts.username is not None else None
    password = unquote(parts.password) if parts.password is not None else None
    return Proxy(parts.scheme, host.strip("[]"), port or _PROXY_PORTS[parts.scheme], user, password, source)


def prepare_network(settings: Settings) -> ssl.SSLContext | None:
    """Check what a connection needs of the machine it is used on, and return a client's TLS settings.

    Reads certificates, which takes some 20 ms.

    :param settings: the connection.
    :return: None where nothing is encrypted.
    :raises ConfigurationError: certificates cannot be read here, or a library for the proxy is missing here; the
        message says which field or variable to mend.
    """
    trust, proxy = settings.trust, settings.proxy
    if proxy and proxy.is_socks:
        _check_socks(proxy)
    is_encrypted = settings.base_url.startswith("https:") or (proxy and proxy.scheme == "https")
    if not is_encrypted and not (trust and trust.is_own):
        return None
    context = _unchecking_context() if trust is None else _checking_context(trust)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _check_socks(proxy: Proxy) -> None:
    for module in _SOCKS_MODULES:
        try:
            import_module(module)
        except ImportError:
            raise ConfigurationError(
                f"{proxy.source} names a SOCKS proxy: install {_SOCKS_EXTRA!r} on workers, triggerers and API servers; "
                f"{module!r} cannot be imported here"
            ) from None


def _unchecking_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _checking_context(trust: TrustStore) -> ssl.SSLContext:
    path = trust.path or certifi.where()
    names = f"{trust.source} names {path!r}"
    is_folder = os.path.isdir(path)
    if not os.path.exists(path):
        raise ConfigurationError(
            f"{names}, which does not exist here; workers, triggerers and API servers alike must have it"
        )
    try:
        if is_folder and not any(map(_HASHED_NAME.fullmatch, os.listdir(path))):
            raise ConfigurationError(
                f"{names}, a folder without certificates under the names by which they are found; "
                "'openssl rehash' makes these names"
            )
        context = ssl.create_default_context(capath=path) if is_folder else ssl.create_default_context(cafile=path)
        if trust.folders:
            context.load_verify_locations(capath=trust.folders)
    except ssl.SSLError:
        raise ConfigurationError(f"{names}, which holds no certificates in PEM format") from None
    except OSError as error:
        raise ConfigurationError(f"{names}, which cannot be read: {error.strerror}") from None
    return context
