"""A connection as a client needs it: checked once, before any request."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_flowruns.client.masking import SecretMask, get_secret_headers, get_url_credentials
from airflow_provider_flowruns.services.base import Service, ServiceInfo
from airflow_provider_flowruns.services.errors import ConfigurationError
from airflow_provider_flowruns.services.registry import SERVICES

#: Seconds for one whole answer unless the connection says otherwise.
DEFAULT_TIMEOUT = 30.0
#: Seconds to reach the server at all; a host that is down shows quickly.
CONNECT_TIMEOUT = 10.0

#: Headers the client itself is responsible for.
_RESERVED_HEADERS = {"authorization", "host", "content-length", "transfer-encoding", "cookie"}
_HEADER_NAME = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]+")


@dataclass(frozen=True, slots=True)
class Settings:
    """
    Where and how to reach one service. Secrets are left out of ``repr``.

    :param service: the service's API as this connection means it.
    :param conn_id: the connection's id, for messages.
    :param base_url: scheme, host and path without a trailing slash.
    :param token: API token.
    :param timeout: seconds for one whole answer.
    :param verify: check certificates: True, False, or the path of a CA file.
    :param proxies: scheme to proxy URL.
    :param headers: further headers for every request that carries the token.
    :param mask: masks :attr:`secrets` in whatever the service sends; made of the other fields.
    """

    service: Service
    conn_id: str
    base_url: str
    token: str = field(repr=False)
    timeout: float = DEFAULT_TIMEOUT
    verify: bool | str = True
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    mask: SecretMask = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the mask, once a connection."""
        object.__setattr__(self, "mask", SecretMask(self.secrets))

    @property
    def secrets(self) -> tuple[str, ...]:
        """All texts of the connection that nobody may see."""
        return (self.token, *get_secret_headers(self.headers), *get_url_credentials(self.proxies.values()))

    @property
    def connect_timeout(self) -> float:
        """Seconds to reach the server at all."""
        return min(self.timeout, CONNECT_TIMEOUT)


def with_timeout(settings: Settings, seconds: float) -> Settings:
    """
    Return the same settings with at most so many seconds for one answer.

    :param settings: the connection.
    :param seconds: upper bound for one answer.
    """
    return replace(settings, timeout=min(settings.timeout, seconds))


def settings_from(
    service_name: str,
    conn_id: str,
    *,
    host: str | None,
    schema: str | None,
    port: int | None,
    password: str | None,
    extra: Mapping[str, Any],
) -> Settings:
    """
    Check the fields of a connection and return them as :class:`Settings`.

    :param service_name: registry name of the service.
    :param conn_id: the connection's id, for messages.
    :param host: base URL, None for the service's own.
    :param schema: scheme of the URL where ``host`` has none.
    :param port: port where ``host`` has none.
    :param password: API token.
    :param extra: the connection's extra fields.
    :raises ConfigurationError: a field is missing or cannot be right; the message says what to set.
    """
    kind = SERVICES[service_name]
    where = f"connection {conn_id!r}"
    base_url = _base_url(kind.info, where, host, schema, port)
    return Settings(
        service=kind.for_connection(base_url, extra),
        conn_id=conn_id,
        base_url=base_url,
        token=_token(kind.info, where, password),
        timeout=_timeout(where, extra.get("timeout")),
        verify=_verify(where, extra.get("verify")),
        proxies=_string_map(where, "proxies", extra.get("proxies")),
        headers=_headers(where, extra.get("headers")),
    )


def _base_url(info: ServiceInfo, where: str, host: str | None, schema: str | None, port: int | None) -> str:
    text = (host or "").strip() or info.default_url
    if "://" not in text:
        text = f"{schema or 'https'}://{text}"
    try:
        parts = urlsplit(text)
        given_port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"{where}: host {host!r} is no URL: {error}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(
            f"{where}: host (and schema, if set) must make an http or https URL such as {info.default_url}, "
            f"got {host!r} and schema {schema!r}"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError(
            f"{where}: host must hold no user, password, query or fragment; the token goes to password"
        )
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    number = given_port or port
    return f"{parts.scheme}://{name}{f':{number}' if number else ''}{_without_suffix(info, parts.path)}"


def _without_suffix(info: ServiceInfo, path: str) -> str:
    path = path.rstrip("/")
    for suffix in info.url_suffixes:
        if path.endswith(suffix):
            return path.removesuffix(suffix).rstrip("/")
    return path


def _token(info: ServiceInfo, where: str, password: str | None) -> str:
    token = (password or "").strip()
    if not token:
        raise ConfigurationError(f"{where} has no password: put the {info.title} API token there")
    if not _is_plain(token) or " " in token:
        raise ConfigurationError(
            f"{where}: the password cannot be a {info.title} API token, it holds spaces or odd characters"
        )
    return token


def _timeout(where: str, value: Any) -> float:
    if _is_blank(value):
        return DEFAULT_TIMEOUT
    try:
        seconds = 0.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds <= 600:
        raise ConfigurationError(f"{where}: extra 'timeout' must be seconds from 0 to 600, got {value!r}")
    return seconds


def _verify(where: str, value: Any) -> bool | str:
    if _is_blank(value):
        return True
    if isinstance(value, bool):
        return value
    words = {"true": True, "false": False}
    if isinstance(value, str):
        return words.get(value.strip().lower(), value.strip())
    raise ConfigurationError(f"{where}: extra 'verify' must be true, false or the path of a CA file, got {value!r}")


def _string_map(where: str, name: str, value: Any) -> dict[str, str]:
    if _is_blank(value):
        return {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if isinstance(value, Mapping) and all(isinstance(item, str) for pair in value.items() for item in pair):
        return dict(value)
    raise ConfigurationError(f'{where}: extra {name!r} must be a JSON object of texts, such as {{"name": "value"}}')


def _headers(where: str, value: Any) -> dict[str, str]:
    headers = _string_map(where, "headers", value)
    reserved = sorted(name for name in headers if name.lower() in _RESERVED_HEADERS)
    if reserved:
        raise ConfigurationError(f"{where}: extra 'headers' must not set {', '.join(reserved)}")
    odd = sorted(name for name, value in headers.items() if not _HEADER_NAME.fullmatch(name) or not _is_plain(value))
    if odd:
        raise ConfigurationError(f"{where}: extra 'headers' must hold printable ASCII only, see {odd[0]!r}")
    return headers


def _is_blank(value: Any) -> bool:
    # A form stores null or empty text for a field that was left empty.
    return value is None or (isinstance(value, str) and not value.strip())


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()
