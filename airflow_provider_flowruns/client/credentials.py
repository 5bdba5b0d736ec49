"""What a connection sends beside a request: its token, further headers, and the credentials of webhooks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_provider_flowruns.client.fields import is_printable_ascii, parse_pair, parse_string_map
from airflow_provider_flowruns.model.errors import ConfigurationError
from airflow_provider_flowruns.services.auth import encode_basic_auth
from airflow_provider_flowruns.services.info import ServiceInfo

#: Headers for which the client itself is responsible.
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


def parse_token(info: ServiceInfo, where: str, login: str, password: str | None) -> str:
    """Return the API token, or the password of a user name; empty if there is none and need be none.

    :param info: the service.
    :param where: names the connection, for messages.
    :param login: the user name, empty for a token.
    :param password: the connection's password.
    :raises ConfigurationError: it is missing, or cannot be a token.
    """
    if login and password:
        return password
    token = (password or "").strip()
    if not token and not info.auth.needs_password:
        return ""
    if not token:
        raise ConfigurationError(f"{where} has no password: put the {info.title} API token there")
    if _BEARER.match(token):
        raise ConfigurationError(f"{where}: put the {info.title} API token into the password alone, without 'Bearer'")
    if not is_printable_ascii(token) or " " in token:
        raise ConfigurationError(
            f"{where}: the password cannot be a {info.title} API token, it contains spaces or unusual characters"
        )
    return token


def parse_login(info: ServiceInfo, where: str, login: str | None) -> str:
    """Return the user name, empty where there is none.

    :param info: the service.
    :param where: names the connection, for messages.
    :param login: the connection's login.
    :raises ConfigurationError: it is missing or holds a colon.
    """
    if not info.auth.uses_login:
        return ""
    user = (login or "").strip()
    if (not user and info.auth.needs_login) or ":" in user:
        raise ConfigurationError(f"{where}: login must be a user name of {info.title} without a colon")
    return user


def parse_headers(info: ServiceInfo, where: str, extra: Mapping[str, Any]) -> dict[str, str]:
    """Return the connection's further headers.

    :param info: the service.
    :param where: names the connection, for messages.
    :param extra: the connection's extra.
    :raises ConfigurationError: one is the client's own, or cannot be sent.
    """
    headers = parse_string_map(where, "headers", extra)
    forbidden = _RESERVED_HEADERS | {info.auth.header.lower()}
    reserved = sorted(name for name in headers if name.lower() in forbidden)
    if reserved:
        raise ConfigurationError(f"{where}: extra 'headers' must not set {', '.join(reserved)}")
    odd = sorted(
        name for name, value in headers.items() if not _HEADER_NAME.fullmatch(name) or not is_printable_ascii(value)
    )
    if odd:
        raise ConfigurationError(f"{where}: extra 'headers' must contain only printable ASCII, see {odd[0]!r}")
    return headers


def parse_webhook_headers(where: str, token: str, extra: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that a webhook asks for: HTTP's Basic authentication, a header of its own, or both.

    :param where: names the connection, for messages.
    :param token: the API token, which must not be among them.
    :param extra: the connection's extra.
    :raises ConfigurationError: they are incomplete or cannot be sent.
    """
    user, password = parse_pair(where, extra, "webhook_username", "webhook_password")
    name, value = parse_pair(where, extra, "webhook_header_name", "webhook_header_secret")
    if token and token in {password, value, value.removeprefix("Bearer ")}:
        raise ConfigurationError(
            f"{where}: the API token must not be sent to a webhook, whose server shows the headers of a call to all; "
            "give webhooks credentials of their own"
        )
    if ":" in user:
        raise ConfigurationError(f"{where}: extra 'webhook_username' must not contain a colon")
    if name and (not _HEADER_NAME.fullmatch(name) or name.lower() in _RESERVED_HEADERS - {"authorization"}):
        raise ConfigurationError(
            f"{where}: extra 'webhook_header_name' must be the name of a header that can be set, got {name!r}"
        )
    if not is_printable_ascii(value):
        raise ConfigurationError(f"{where}: extra 'webhook_header_secret' must contain only printable ASCII")
    if user and name.lower() == "authorization":
        raise ConfigurationError(
            f"{where}: extras 'webhook_username' and 'webhook_header_name' both set the header Authorization; "
            "leave one of them out"
        )
    headers = {"Authorization": encode_basic_auth(user, password)} if user else {}
    return headers | ({name: value} if name else {})


def list_field_secrets(info: ServiceInfo, extra: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the values of a connection's secret fields, and the user name and password of webhooks together.

    :param info: the service.
    :param extra: the connection's extra.
    """
    secrets = [extra.get(field.name) for field in info.fields if field.is_secret]
    if info.has_webhooks:
        secrets.append(f"{extra.get('webhook_username')}:{extra.get('webhook_password')}")
    return tuple(secret for secret in secrets if isinstance(secret, str))
