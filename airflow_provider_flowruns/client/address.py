"""Parse the base URL of a connection, and host names in it and in a proxy's address."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from airflow_provider_flowruns.model.errors import ConfigurationError
from airflow_provider_flowruns.services.info import ServiceInfo

_LABEL = re.compile(r"[0-9a-z_]([0-9a-z_-]{0,61}[0-9a-z_])?")
_MAX_HOST_LENGTH = 253
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PATH = re.compile(r"([0-9A-Za-z._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")


def parse_base_url(info: ServiceInfo, where: str, host: str | None, schema: str | None, port: int | None) -> str:
    """Return the base URL of a connection: scheme, host, port and path, without a trailing slash.

    The scheme's own port is left out.

    :param info: the service; its default URL replaces an empty host.
    :param where: names the connection, for messages.
    :param host: a URL, or a host name, or an IPv4 or IPv6 address; with or without a port and a path.
    :param schema: scheme of the URL where ``host`` has none.
    :param port: port where ``host`` has none.
    :raises ConfigurationError: host, schema or port is invalid.
    """
    text = (host or "").strip() or info.default_url or ""
    example = info.default_url or "https://flows.example.com"
    if not text:
        raise ConfigurationError(f"{where} has no host: put the base URL there, such as {example}")
    shown = text.rpartition("@")[2]  # what stands before it may be a password
    if not text.isprintable() or " " in text:
        raise ConfigurationError(f"{where}: host {shown!r} contains spaces or control characters")
    if "://" not in text:
        text = f"{schema or 'https'}://{_add_brackets(text)}"
    try:
        parts = urlsplit(text)
        given_port = parts.port
        if given_port == 0:
            raise ValueError("no port")
    except ValueError:
        raise ConfigurationError(
            f"{where}: host {shown!r} is not a URL; it must look like {example}, with a port from 1 to 65535 if any"
        ) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(
            f"{where}: host (and schema, if set) must make an http or https URL such as {example}, "
            f"got {shown!r} and schema {schema!r}"
        )
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ConfigurationError(
            f"{where}: host must not contain a user, password, query or fragment; the token goes to password"
        )
    try:
        name = encode_host(parts.hostname)
    except ValueError:
        raise ConfigurationError(f"{where}: host {shown!r} contains no valid host name or address") from None
    path = _strip_suffix(info, parts.path)
    if not _PATH.fullmatch(path) or {".", ".."} & {*path.split("/")}:
        raise ConfigurationError(f"{where}: host {shown!r} has a path that cannot be part of a base URL")
    number = _validate_port(where, port if given_port is None else given_port)
    is_default = number is None or number == _DEFAULT_PORTS[parts.scheme]
    return f"{parts.scheme}://{name}{'' if is_default else f':{number}'}{path}"


def encode_host(name: str) -> str:
    """Return a host name as it is sent: in ASCII, an IPv6 address in brackets.

    :param name: a host name, or an IPv4 or IPv6 address without brackets.
    :raises ValueError: it cannot be a host name.
    """
    if ":" in name:
        address = ipaddress.IPv6Address(name)
        if address.scope_id is not None:
            raise ValueError("an address with a scope")
        return f"[{address}]"
    if not name.isascii():
        import idna  # its tables load slowly, and few hosts need them

        name = idna.encode(name, uts46=True).decode("ascii")
    labels = name.lower().removesuffix(".").split(".")
    if len(name) > _MAX_HOST_LENGTH or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("no host name")
    return name.lower()


def _add_brackets(text: str) -> str:
    """Put an IPv6 address without brackets into brackets; leave any other text alone."""
    try:
        return f"[{ipaddress.IPv6Address(text)}]"
    except ValueError:
        return text


def _strip_suffix(info: ServiceInfo, path: str) -> str:
    path = path.rstrip("/")
    for suffix in info.url_suffixes:
        if path.endswith(suffix):
            return path.removesuffix(suffix).rstrip("/")
    return path


def _validate_port(where: str, port: int | None) -> int | None:
    if port is not None and not 1 <= port <= 65_535:
        raise ConfigurationError(f"{where}: port must be from 1 to 65535, got {port}")
    return port
