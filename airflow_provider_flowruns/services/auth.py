"""How a request proves who sends it: one class for each strategy."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class BearerAuth:
    """The header ``Authorization: Bearer <password>``.

    :param hint: what to put into the connection's password.
    """

    hint: str
    header: ClassVar[str] = "Authorization"
    uses_login: ClassVar[bool] = False

    def build_header_value(self, login: str, password: str) -> str:
        """Return the value of the header.

        :param login: the connection's login, which is not used.
        :param password: the connection's password: an API token.
        """
        return f"Bearer {password}"


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """HTTP's Basic authentication with the connection's login and password.

    :param hint: what to put into the connection's password.
    """

    hint: str
    header: ClassVar[str] = "Authorization"
    uses_login: ClassVar[bool] = True

    def build_header_value(self, login: str, password: str) -> str:
        """Return the value of the header.

        :param login: the connection's login.
        :param password: the connection's password.
        """
        return encode_basic_auth(login, password)


@dataclass(frozen=True, slots=True)
class HeaderAuth:
    """A header of the service's own that holds the token, such as ``X-Api-Key: <password>``.

    :param hint: what to put into the connection's password.
    :param header: the header's name.
    """

    hint: str
    header: str
    uses_login: ClassVar[bool] = False

    def build_header_value(self, login: str, password: str) -> str:
        """Return the value of the header.

        :param login: the connection's login, which is not used.
        :param password: the connection's password: an API token.
        """
        return password


Auth = BearerAuth | BasicAuth | HeaderAuth


def encode_basic_auth(user: str, password: str) -> str:
    """Return the value of a header for HTTP's Basic authentication.

    :param user: user name, without a colon.
    :param password: password.
    """
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"
