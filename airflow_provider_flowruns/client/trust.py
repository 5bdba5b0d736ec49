"""Resolve the certificate authorities that a connection trusts, and create TLS settings with them."""

from __future__ import annotations

import os
import re
import ssl
from dataclasses import dataclass
from typing import Any

import certifi

from airflow_provider_flowruns.model.errors import ConfigurationError

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


@dataclass(frozen=True, slots=True)
class TrustStore:
    """Certificate authorities to trust.

    :param path: file or folder with their certificates, None for the file that requests uses.
    :param source: the connection field or environment variable that names it, for messages.
    :param folders: further folders, trusted if they exist; several are separated as in ``PATH``.
    :param is_own: whether the connection itself names it.
    """

    path: str | None = None
    source: str = ""
    folders: str | None = None
    is_own: bool = False


def resolve_trust(where: str, verify: Any) -> TrustStore | None:
    """Return which certificate authorities a connection trusts, None when it accepts any certificate.

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
    return None if switch is False else _read_environment(where)


def _read_environment(where: str) -> TrustStore:
    for variable in (*_BUNDLE_VARIABLES, _FILE_VARIABLE):
        if path := os.environ.get(variable):
            folders = os.environ.get(_FOLDER_VARIABLE) if variable == _FILE_VARIABLE else None
            return TrustStore(path, f"{where}: environment variable {variable}", folders)
    return TrustStore(folders=os.environ.get(_FOLDER_VARIABLE))


def create_tls_context(trust: TrustStore | None) -> ssl.SSLContext:
    """Return TLS settings for a client. Reads certificates, which takes some 20 ms.

    :param trust: the certificate authorities to trust, None to accept any certificate.
    :raises ConfigurationError: the certificates cannot be read on this machine.
    """
    context = _create_unverified_context() if trust is None else _create_verified_context(trust)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _create_unverified_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _create_verified_context(trust: TrustStore) -> ssl.SSLContext:
    path = trust.path or certifi.where()
    names = f"{trust.source} names {path!r}"
    is_folder = os.path.isdir(path)
    if not os.path.exists(path):
        raise ConfigurationError(
            f"{names}, which does not exist here; workers, triggerers and API servers must all have it"
        )
    try:
        if is_folder and not any(map(_HASHED_NAME.fullmatch, os.listdir(path))):
            raise ConfigurationError(
                f"{names}, a folder without certificates under the names that OpenSSL looks for; "
                "'openssl rehash' creates these names"
            )
        context = ssl.create_default_context(capath=path) if is_folder else ssl.create_default_context(cafile=path)
        if trust.folders:
            context.load_verify_locations(capath=trust.folders)
    except ssl.SSLError:
        raise ConfigurationError(f"{names}, which contains no certificates in PEM format") from None
    except OSError as error:
        raise ConfigurationError(f"{names}, which cannot be read: {error.strerror}") from None
    return context
