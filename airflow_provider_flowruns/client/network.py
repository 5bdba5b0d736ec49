"""What a connection needs of the machine that it is used on, checked alike for both clients.

Certificate authorities and proxy are resolved by the rules of requests: what the connection says comes first, then the
environment. Neither client reads the environment itself.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from airflow_provider_flowruns.client.proxies import check_socks_support
from airflow_provider_flowruns.client.trust import create_tls_context

if TYPE_CHECKING:
    from airflow_provider_flowruns.client.settings import Settings


def prepare_network(settings: Settings) -> ssl.SSLContext | None:
    """Check what a connection needs of this machine, and return a client's TLS settings.

    Reads certificates, which takes some 20 ms.

    :param settings: the connection.
    :return: None where nothing is encrypted.
    :raises ConfigurationError: certificates cannot be read here, or a library for the proxy is missing here; the
        message names the field or variable to correct.
    """
    trust, proxy = settings.trust, settings.proxy
    if proxy and proxy.is_socks:
        check_socks_support(proxy)
    is_encrypted = settings.base_url.startswith("https:") or (proxy and proxy.scheme == "https")
    if not is_encrypted and not (trust and trust.is_own):
        return None
    return create_tls_context(trust)
