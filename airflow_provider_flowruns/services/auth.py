"""How a request proves who sends it: what every strategy provides, and one class for each of the common ones."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import ClassVar, Protocol


class Auth(Protocol):
    """A strategy. A service that needs another one than those below brings its own class."""

    @property
    def hint(self) -> str:
        """What to put into the connection's password."""

    @property
    def header(self) -> str:
        """Name of the header that it sets."""

    @property
    def uses_login(self) -> bool:
        """Whether the connection has a login; else its form has no such field."""

    @property
    def needs_login(self) -> bool:
        """Whether a connection without a login is refused."""

    @property
    def needs_password(self) -> bool:
        """Whether a connection without a password is refused; else its requests carry no header."""

    def build_header_value(self, login: str, password: str) -> str:
        """Return the value of the header.

        :param login: the connection's login, empty where there is none.
        :param password: the connection's password, never empty.
        """


@dataclass(frozen=True, slots=True)
class BearerAuth:
    """The header ``Authorization: Bearer <password>``.

    :param hint: what to put into the connection's password.
    """

    hint: str
    header: ClassVar[str] = "Authorization"
    uses_login: ClassVar[bool] = False
    needs_login: ClassVar[bool] = False
    needs_password: ClassVar[bool] = True

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
    needs_login: ClassVar[bool] = True
    needs_password: ClassVar[bool] = True

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
    needs_login: ClassVar[bool] = False
    needs_password: ClassVar[bool] = True

    def build_header_value(self, login: str, password: str) -> str:
        """Return the value of the header.

        :param login: the connection's login, which is not used.
        :param password: the connection's password: an API token.
        """
        return password


def encode_basic_auth(user: str, password: str) -> str:
    """Return the value of a header for HTTP's Basic authentication.

    :param user: user name, without a colon.
    :param password: password.
    """
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"
