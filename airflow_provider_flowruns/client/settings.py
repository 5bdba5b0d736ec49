"""A connection as a client needs it: checked once, before any request."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_flowruns.client.address import parse_base_url
from airflow_provider_flowruns.client.masking import SecretMask, get_secret_headers
from airflow_provider_flowruns.client.network import (
    Proxy,
    TrustStore,
    encode_basic_auth,
    resolve_proxy,
    resolve_trust,
)
from airflow_provider_flowruns.model.errors import ConfigurationError
from airflow_provider_flowruns.services.base import Service, ServiceInfo
from airflow_provider_flowruns.services.registry import get_service

#: Seconds for one whole answer unless the connection says otherwise.
DEFAULT_TIMEOUT = 30.0
#: Seconds to reach the server at all; a host that is down shows quickly.
CONNECT_TIMEOUT = 10.0

#: Largest body of an answer in MiB unless the connection says otherwise, and the most it may say.
DEFAULT_MAX_RESPONSE_MB, MAX_RESPONSE_MB = 32.0, 1024.0

#: Headers the client itself is responsible for.
_RESERVED_HEADERS = {
    "accept-encoding",
    "authorization",
    "content-length",
    "cookie",
    "expect",
    "host",
    "proxy-authorization",
    "transfer-encoding",
}
_HEADER_NAME = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]+")
_BEARER = re.compile(r"(authorization:\s*)?bearer\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Settings:
    """Where and how to reach one service. Secrets are left out of ``repr``.

    :param service: the service's API as this connection means it.
    :param conn_id: the connection's id, for messages.
    :param base_url: scheme, host and path without a trailing slash.
    :param token: API token.
    :param timeout: seconds for one whole exchange.
    :param trust: the certificate authorities to trust, None to take any certificate.
    :param proxy: the proxy for the base URL, None for none.
    :param headers: further headers for every request that carries the token.
    :param webhook_headers: credentials for requests that do not carry it: calls of webhooks.
    :param webhook_secrets: what is secret in them, as the connection has it.
    :param max_response_bytes: largest body of an answer, decompressed.
    :param mask: masks :attr:`secrets` in whatever the service sends; made of the other fields.
    """

    service: Service
    conn_id: str
    base_url: str
    token: str = field(repr=False)
    timeout: float = DEFAULT_TIMEOUT
    trust: TrustStore | None = field(default_factory=TrustStore)
    proxy: Proxy | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    webhook_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    max_response_bytes: int = int(DEFAULT_MAX_RESPONSE_MB * 2**20)
    mask: SecretMask = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the mask, once a connection."""
        object.__setattr__(self, "mask", SecretMask(self.secrets))

    @property
    def secrets(self) -> tuple[str, ...]:
        """All texts of the connection that nobody may see."""
        proxy = self.proxy.secrets if self.proxy else ()
        return (self.token, *get_secret_headers(self.headers), *self.webhook_secrets, *proxy)

    @property
    def connect_timeout(self) -> float:
        """Seconds to reach the server at all: its name, its proxy and TLS; some time is left for the answer."""
        return min(CONNECT_TIMEOUT, 0.9 * self.timeout)


def limit_timeout(settings: Settings, seconds: float) -> Settings:
    """Return the same settings with at most so many seconds for one exchange.

    :param settings: the connection.
    :param seconds: upper bound for one exchange.
    """
    return replace(settings, timeout=min(settings.timeout, seconds))


def parse_settings(
    service_name: str,
    conn_id: str,
    *,
    host: str | None,
    schema: str | None,
    port: int | None,
    password: str | None,
    extra: Mapping[str, Any],
) -> Settings:
    """Check the fields of a connection and return them as :class:`Settings`.

    What the connection says nothing about is taken from the environment, see ``client.network``.

    :param service_name: registry name of the service.
    :param conn_id: the connection's id, for messages.
    :param host: base URL, None for the service's own.
    :param schema: scheme of the URL where ``host`` has none.
    :param port: port where ``host`` has none.
    :param password: API token.
    :param extra: the connection's extra fields.
    :raises ConfigurationError: a field is missing or cannot be right; the message says what to set.
    """
    kind = get_service(service_name)
    where = f"connection {conn_id!r}"
    base_url = parse_base_url(kind.info, where, host, schema, port)
    token = _token(kind.info, where, password)
    return Settings(
        service=kind.for_connection(base_url, extra),
        conn_id=conn_id,
        base_url=base_url,
        token=token,
        timeout=_number(where, "timeout", extra.get("timeout"), default=DEFAULT_TIMEOUT, most=600.0),
        trust=resolve_trust(where, extra.get("verify")),
        proxy=resolve_proxy(where, _string_map(where, "proxies", extra.get("proxies")), base_url),
        headers=_headers(where, extra.get("headers")),
        webhook_headers=_webhook_headers(where, token, extra) if kind.info.has_webhooks else {},
        webhook_secrets=_webhook_secrets(extra) if kind.info.has_webhooks else (),
        max_response_bytes=int(
            2**20
            * _number(
                where,
                "max_response_mb",
                extra.get("max_response_mb"),
                default=DEFAULT_MAX_RESPONSE_MB,
                most=MAX_RESPONSE_MB,
            )
        ),
    )


def _token(info: ServiceInfo, where: str, password: str | None) -> str:
    token = (password or "").strip()
    if not token:
        raise ConfigurationError(f"{where} has no password: put the {info.title} API token there")
    if _BEARER.match(token):
        raise ConfigurationError(f"{where}: put the {info.title} API token into the password alone, without 'Bearer'")
    if not _is_plain(token) or " " in token:
        raise ConfigurationError(
            f"{where}: the password cannot be a {info.title} API token, it holds spaces or odd characters"
        )
    return token


def _number(where: str, name: str, value: Any, *, default: float, most: float) -> float:
    if _is_blank(value):
        return default
    try:
        number = 0.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = 0.0
    if not 0 < number <= most:
        raise ConfigurationError(
            f"{where}: extra {name!r} must be a number above 0 and at most {most:g}, got {value!r}"
        )
    return number


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


def _webhook_headers(where: str, token: str, extra: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that a webhook asks for: HTTP's Basic authentication, a header of its own, or both."""
    user, password = _pair(where, extra, "webhook_username", "webhook_password")
    name, value = _pair(where, extra, "webhook_header_name", "webhook_header_secret")
    if token in {password, value, value.removeprefix("Bearer ")}:
        raise ConfigurationError(
            f"{where}: the API token must not be sent to a webhook, whose server shows the headers of a call to all; "
            "give webhooks credentials of their own"
        )
    if ":" in user:
        raise ConfigurationError(f"{where}: extra 'webhook_username' must not hold a colon")
    if name and (not _HEADER_NAME.fullmatch(name) or name.lower() in _RESERVED_HEADERS - {"authorization"}):
        raise ConfigurationError(f"{where}: extra 'webhook_header_name' is no header that can be set, got {name!r}")
    if not _is_plain(value):
        raise ConfigurationError(f"{where}: extra 'webhook_header_secret' must hold printable ASCII only")
    if user and name.lower() == "authorization":
        raise ConfigurationError(
            f"{where}: extras 'webhook_username' and 'webhook_header_name' both set the header Authorization; "
            "leave one of them out"
        )
    headers = {"Authorization": encode_basic_auth(user, password)} if user else {}
    return headers | ({name: value} if name else {})


def _webhook_secrets(extra: Mapping[str, Any]) -> tuple[str, ...]:
    user, password = extra.get("webhook_username"), extra.get("webhook_password")
    secrets = (password, f"{user}:{password}", extra.get("webhook_header_secret"))
    return tuple(secret for secret in secrets if isinstance(secret, str))


def _pair(where: str, extra: Mapping[str, Any], *names: str) -> tuple[str, str]:
    """Return two fields that come together, both empty when neither is filled in."""
    first, second = values = [extra.get(name) for name in names]
    if all(map(_is_blank, values)):
        return "", ""
    if not (isinstance(first, str) and isinstance(second, str) and first.strip() and second.strip()):
        raise ConfigurationError(f"{where}: extras {names[0]!r} and {names[1]!r} must both be texts, or both be empty")
    return first.strip(), second


def _is_blank(value: Any) -> bool:
    # A form stores null or empty text for a field that was left empty.
    return value is None or (isinstance(value, str) and not value.strip())


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()
