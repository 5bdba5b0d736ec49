"""How long a service asks to wait before the next request."""

from __future__ import annotations

from collections.abc import Mapping

from urllib3.exceptions import InvalidHeader
from urllib3.util.retry import Retry

from airflow_provider_flowruns.model.errors import MAX_RETRY_AFTER_SECONDS

_PARSER = Retry()


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds a ``Retry-After`` header asks for: whole seconds or an HTTP date; None for anything else.

    :param headers: the response's headers, names in lower case.
    :return: at most ``MAX_RETRY_AFTER_SECONDS``.
    """
    value = headers.get("retry-after", "")
    try:
        return min(_PARSER.parse_retry_after(value), MAX_RETRY_AFTER_SECONDS)
    except (InvalidHeader, ValueError, OverflowError):
        return None
