"""Certificates for tests that need HTTPS. Requires the extra ``sandbox``."""

from __future__ import annotations

import ssl
from pathlib import Path


def create_certificate(directory: Path) -> Path:
    """Create a certificate authority, and a server certificate for 127.0.0.1 and localhost beside it.

    :param directory: a directory that only the current user can read, because the server's key is stored in it.
    :return: path of the CA file that clients have to trust.
    :raises ImportError: the package ``trustme`` is not installed.
    """
    import trustme

    authority = trustme.CA()
    ca_file = directory / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(_server_file(ca_file))
    return ca_file


def create_server_context(ca_file: Path) -> ssl.SSLContext:
    """Create the server's TLS context from what :func:`create_certificate` has written."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_server_file(ca_file))
    return context


def _server_file(ca_file: Path) -> Path:
    return ca_file.with_name("server.pem")
