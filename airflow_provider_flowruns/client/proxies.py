"""Resolve the proxy of a connection and parse its address."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies_environment

from airflow_provider_flowruns.client.address import encode_host
from airflow_provider_flowruns.model.errors import ConfigurationError
from airflow_provider_flowruns.services.auth import encode_basic_auth

#: Schemes of a proxy's address, and their default ports.
_PROXY_PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}
#: What the two clients need for SOCKS: modules, and the extra of this package that installs them.
_SOCKS_MODULES, _SOCKS_EXTRA = ("python_socks", "aiohttp_socks"), "airflow-provider-flowruns[socks]"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, by the parts of its address.

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
        """Whether a SOCKS proxy resolves host names."""
        return self.scheme in {"socks4a", "socks5h"}

    @property
    def secrets(self) -> tuple[str, ...]:
        """Its credentials, in the forms in which they are sent."""
        if self.user is None:
            return ()
        return (f"{self.user}:{self.password or ''}", self.password or "")

    @property
    def headers(self) -> dict[str, str]:
        """Headers for an HTTP proxy: its credentials, if there are any."""
        if self.user is None:
            return {}
        return {"Proxy-Authorization": encode_basic_auth(self.user, self.password or "")}


def resolve_proxy(where: str, proxies: Mapping[str, str], base_url: str) -> Proxy | None:
    """Return the proxy for a connection's base URL, None for none.

    :param where: names the connection, for messages.
    :param proxies: the connection's extra ``proxies``: addresses by ``scheme://host``, scheme, ``all://host`` or
        ``all``; an empty address means none. Without an entry for the URL, the environment decides.
    :param base_url: the connection's base URL.
    :raises ConfigurationError: the address of the proxy cannot be used; the message does not show it.
    """
    parts = urlsplit(base_url)
    named = {key.lower(): (address, f"{where}: extra 'proxies'") for key, address in proxies.items()}
    address, source = (
        _select_address(named, parts) or _select_address(_read_environment(where, parts), parts) or ("", "")
    )
    return _parse_proxy(address.strip(), source) if address.strip() else None


def _select_address(proxies: Mapping[str, tuple[str, str]], base: SplitResult) -> tuple[str, str] | None:
    keys = (f"{base.scheme}://{base.hostname}", base.scheme, f"all://{base.hostname}", "all")
    return next((proxies[key] for key in keys if key in proxies), None)


def _read_environment(where: str, base: SplitResult) -> dict[str, tuple[str, str]]:
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
    return any(_is_covered(entry.strip().lower(), names, host) for entry in no_proxy.split(",") if entry.strip())


def _is_covered(entry: str, names: set[str], host: str) -> bool:
    """Whether an entry of ``NO_PROXY`` covers a host: a network, a host or its domain, each with or without a port."""
    if "/" in entry:
        try:
            return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    bare = entry.lstrip(".")
    return any(name == bare or name.endswith(f".{bare}") for name in names)


def _parse_proxy(address: str, source: str) -> Proxy:
    """Parse the address of a proxy; no message may show it, since it may contain a password."""
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = encode_host(parts.hostname or ""), parts.port
    except ValueError:
        raise ConfigurationError(
            f"{source} is not the address of a proxy; it must look like http://proxy:3128"
        ) from None
    if parts.scheme not in _PROXY_PORTS:
        raise ConfigurationError(f"{source} names a proxy with an unknown scheme; use one of {', '.join(_PROXY_PORTS)}")
    if port == 0 or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ConfigurationError(
            f"{source} must contain only scheme, user, password, host and port of a proxy; "
            "special characters of user and password must be percent-encoded"
        )
    user = unquote(parts.username) if parts.username is not None else None
    password = unquote(parts.password) if parts.password is not None else None
    return Proxy(parts.scheme, host.strip("[]"), port or _PROXY_PORTS[parts.scheme], user, password, source)


def check_socks_support(proxy: Proxy) -> None:
    """Check that the libraries for a SOCKS proxy are installed.

    :param proxy: a SOCKS proxy.
    :raises ConfigurationError: one of them cannot be imported here.
    """
    for module in _SOCKS_MODULES:
        try:
            import_module(module)
        except ImportError:
            raise ConfigurationError(
                f"{proxy.source} names a SOCKS proxy: install {_SOCKS_EXTRA!r} on workers, triggerers and API servers; "
                f"{module!r} cannot be imported here"
            ) from None
