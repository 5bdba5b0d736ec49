"""A connection as a client needs it: checked once, before any request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_flowruns.client.address import parse_base_url
from airflow_provider_flowruns.client.credentials import (
    list_field_secrets,
    parse_headers,
    parse_login,
    parse_token,
    parse_webhook_headers,
)
from airflow_provider_flowruns.client.fields import parse_number, parse_string_map
from airflow_provider_flowruns.client.masking import SecretMask, get_secret_headers
from airflow_provider_flowruns.client.proxies import Proxy, resolve_proxy
from airflow_provider_flowruns.client.trust import TrustStore, resolve_trust
from airflow_provider_flowruns.services.base import Service
from airflow_provider_flowruns.services.info import MAX_RESPONSE_MB, TIMEOUT
from airflow_provider_flowruns.services.registry import get_service

#: Seconds to reach the server at all, so that a host that is down shows quickly; at most this share of the timeout.
CONNECT_TIMEOUT_SECONDS, CONNECT_TIMEOUT_FRACTION = 10.0, 0.9
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Settings:
    """Where and how to reach one service. Secrets are left out of ``repr``.

    :param service: the service's API as this connection means it.
    :param conn_id: the connection's id, for messages.
    :param base_url: scheme, host and path without a trailing slash.
    :param token: API token, or the password where the service has user names; empty if it needs none.
    :param timeout: seconds for one whole exchange.
    :param trust: the certificate authorities to trust, None to accept any certificate.
    :param proxy: the proxy for the base URL, None for none.
    :param headers: further headers for every request that carries the token.
    :param webhook_headers: credentials for requests that do not carry it: calls of webhooks.
    :param field_secrets: what is secret in the connection's extra.
    :param max_response_bytes: largest body of a response, decompressed.
    :param login: user name, empty where the service has none.
    :param mask: masks :attr:`secrets` in whatever the service sends; made of the other fields.
    """

    service: Service
    conn_id: str
    base_url: str
    token: str = field(repr=False)
    timeout: float = TIMEOUT.default
    trust: TrustStore | None = field(default_factory=TrustStore)
    proxy: Proxy | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    webhook_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    field_secrets: tuple[str, ...] = field(default=(), repr=False)
    max_response_bytes: int = int(MAX_RESPONSE_MB.default * _MIB)
    login: str = ""
    mask: SecretMask = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the mask, once a connection."""
        object.__setattr__(self, "mask", SecretMask(self.secrets))

    @property
    def auth_headers(self) -> dict[str, str]:
        """The header that authenticates a request, none for a connection without a password."""
        if not self.token:
            return {}
        auth = self.service.info.auth
        return {auth.header: auth.build_header_value(self.login, self.token)}

    @property
    def secrets(self) -> tuple[str, ...]:
        """All texts of the connection that must not be shown."""
        proxy = self.proxy.secrets if self.proxy else ()
        login = (f"{self.login}:{self.token}",) if self.login else ()
        return (self.token, *login, *get_secret_headers(self.headers), *self.field_secrets, *proxy)

    @property
    def connect_timeout(self) -> float:
        """Seconds to reach the server at all: its name, its proxy and TLS; some time is left for the response."""
        return min(CONNECT_TIMEOUT_SECONDS, CONNECT_TIMEOUT_FRACTION * self.timeout)


def limit_timeout(settings: Settings, seconds: float) -> Settings:
    """Return the same settings with a limit for the time of one exchange.

    :param settings: the connection.
    :param seconds: maximum for one exchange.
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
    login: str | None = None,
) -> Settings:
    """Check the fields of a connection and return them as :class:`Settings`.

    What the connection says nothing about is taken from the environment, see ``client.network``.

    :param service_name: registry name of the service.
    :param conn_id: the connection's id, for messages.
    :param host: base URL, None for the service's own.
    :param schema: scheme of the URL where ``host`` has none.
    :param port: port where ``host`` has none.
    :param password: API token, or the password where the service has user names.
    :param extra: the connection's extra fields.
    :param login: user name, for a service that has them.
    :raises ConfigurationError: a field is missing or invalid; the message says what to set.
    """
    service = get_service(service_name)
    info = service.info
    where = f"connection {conn_id!r}"
    base_url = parse_base_url(info, where, host, schema, port)
    user = parse_login(info, where, login)
    token = parse_token(info, where, user, password)
    return Settings(
        service=service.for_connection(base_url, extra),
        conn_id=conn_id,
        base_url=base_url,
        token=token,
        timeout=parse_number(where, TIMEOUT, extra),
        trust=resolve_trust(where, extra.get("verify")),
        proxy=resolve_proxy(where, parse_string_map(where, "proxies", extra), base_url),
        headers=parse_headers(info, where, extra),
        webhook_headers=parse_webhook_headers(where, token, extra) if info.has_webhooks else {},
        field_secrets=list_field_secrets(info, extra),
        max_response_bytes=int(parse_number(where, MAX_RESPONSE_MB, extra) * _MIB),
        login=user,
    )
