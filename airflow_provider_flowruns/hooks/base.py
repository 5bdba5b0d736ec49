"""Base of the hooks: it turns an Airflow connection into a client."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, cast

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_flowruns.compat.form_widgets import add_connection_form
from airflow_provider_flowruns.model.errors import (
    AuthenticationError,
    ConfigurationError,
    FlowRunsError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    ServiceConnectionError,
)
from airflow_provider_flowruns.services.info import ServiceInfo

if TYPE_CHECKING:
    from airflow_provider_flowruns.client.settings import Settings
    from airflow_provider_flowruns.client.sync import SyncClient
    from airflow_provider_flowruns.model.calls import Call, Pages
    from airflow_provider_flowruns.services.base import Service

#: Minimum interval between two readings of a connection whose token is rejected.
RELOAD_INTERVAL_SECONDS = 60.0

ApiT = TypeVar("ApiT", bound="Service")
T = TypeVar("T")


class FlowRunsHook(BaseHook, Generic[ApiT]):
    """Base of the hooks: reads its connection once, on first use, and keeps one client for it.

    A subclass names its service by :attr:`info`, from which what Airflow reads of a hook class is derived. The client's
    HTTP session is kept alive between calls; use the hook as a context manager, or call :meth:`close`, to close it.
    """

    info: ClassVar[ServiceInfo]
    conn_name_attr: ClassVar[str]
    default_conn_name: ClassVar[str]
    conn_type: ClassVar[str]
    hook_name: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Name the connection type as the service's entry says, and give it the form of older Airflow versions."""
        super().__init_subclass__(**kwargs)
        info = cls.info
        cls.conn_name_attr, cls.default_conn_name = info.conn_id_argument, info.default_conn_id
        cls.conn_type, cls.hook_name = info.name, info.title
        add_connection_form(cls, info)

    @property
    def conn_id(self) -> str:
        """Id of the Airflow connection."""
        return str(getattr(self, self.conn_name_attr))

    @cached_property
    def settings(self) -> Settings:
        """The connection's fields, checked.

        :raises ConfigurationError: there is no such connection, or a field is missing or invalid.
        :raises ServiceConnectionError: Airflow could not provide it at the moment.
        """
        return self._read_settings()

    _read_at = 0.0

    def _read_settings(self) -> Settings:
        # Imported here because a DAG file that imports a hook does not need it.
        from airflow_provider_flowruns.hooks.connection import parse_connection, prepare_extra, translate_errors

        self._read_at = time.monotonic()
        with translate_errors(self.conn_type, self.conn_id):
            connection = self.get_connection(self.conn_id)
            prepare_extra(self.conn_id, connection)
            extra = connection.extra_dejson
        return parse_connection(self.conn_type, self.conn_id, connection, extra)

    @cached_property
    def client(self) -> SyncClient:
        """The client for this connection, created on first use."""
        from airflow_provider_flowruns.client.sync import SyncClient

        return SyncClient(self.settings)

    @property
    def api(self) -> ApiT:
        """The service's calls for this connection."""
        return cast("ApiT", self.settings.service)

    def renew_token(self) -> bool:
        """Read the connection again after its token was rejected, at most once a minute.

        The old settings stay until the new ones have been read: a kill in the meantime needs them.

        :return: whether the connection has another token now; then the client is a new one.
        """
        if time.monotonic() - self._read_at < RELOAD_INTERVAL_SECONDS:
            return False
        try:
            renewed = self._read_settings()
        except Exception as error:  # Airflow is not available at the moment, or the connection is being edited
            self.log.warning("Could not read connection %r again: %s", self.conn_id, type(error).__name__)
            return False
        if renewed.token == self.settings.token:
            return False
        self.close()
        self.__dict__["settings"] = renewed
        return True

    def get_conn(self) -> SyncClient:
        """Return the client for this connection."""
        return self.client

    def close(self) -> None:
        """Close the client's HTTP session, if one was opened."""
        if "client" in self.__dict__:
            self.client.close()
            del self.__dict__["client"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _send(self, call: Call[T]) -> T:
        return self.client.send(call)

    def _iterate(self, pages: Pages[T]) -> Iterator[T]:
        return self.client.iterate(pages)

    def test_connection(self) -> tuple[bool, str]:
        """Test the connection with a read-only request.

        :return: whether it works, and a sentence that says which account or project it sees, or what is wrong and how
            to fix it.
        """
        try:
            return True, self.client.execute(self.api.check())
        except FlowRunsError as error:
            # Airflow tests under a generated id, which means nothing to the reader.
            message = str(error).replace(f"connection {self.conn_id!r}", "this connection")
            return False, f"{_diagnose(error)} {message}"
        finally:
            self.close()


def create_hook(info: ServiceInfo, conn_id: str) -> Any:
    """Return the hook of a service for a connection.

    :param info: the service's entry, which names the class.
    :param conn_id: the connection's id.
    """
    module, _, name = info.hook_class.rpartition(".")
    return getattr(import_module(module), name)(conn_id)


def _diagnose(error: FlowRunsError) -> str:
    if isinstance(error, ConfigurationError):
        return "The connection is incomplete or invalid."
    if isinstance(error, AuthenticationError):
        return "The service does not accept the token."
    if isinstance(error, PermissionDeniedError):
        return "The service knows the token but denies it access."
    if isinstance(error, ServiceConnectionError):
        return "The service cannot be reached."
    if isinstance(error, RateLimitError | ServerError):
        return "The service responds with an error."
    if isinstance(error, NotFoundError):
        return "The server responds, but has no such object; the base URL or an id may be wrong."
    return "The server responds, but not like this service; the base URL may be wrong."
