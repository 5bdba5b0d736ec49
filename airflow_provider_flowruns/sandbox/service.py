"""Base class of all services: flows, runs, a token and a path prefix."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

from aiohttp import web

from airflow_provider_flowruns.sandbox.flows import SandboxFlow
from airflow_provider_flowruns.sandbox.state import SandboxState

FlowT = TypeVar("FlowT", bound=SandboxFlow[Any])


class SandboxService(ABC, Generic[FlowT]):
    """A service. Subclasses add its routes and its flows.

    :param state: the sandbox's shared state.
    """

    name: ClassVar[str]

    def __init__(self, state: SandboxState) -> None:
        self.token = f"sandbox-{self.name}-token"
        self.state = state
        self._flows: dict[Any, FlowT] = {}
        self._runs_by_id: dict[Any, Any] = {}

    @property
    def url(self) -> str:
        """Base URL of the service.

        :raises RuntimeError: the sandbox is not running.
        """
        return f"{self.state.url}/{self.name}"

    @property
    def flows(self) -> list[FlowT]:
        """The service's flows, in the order in which they were added."""
        with self.state.lock:
            return list(self._flows.values())

    def connection_json(self, verify: str | None = None) -> str:
        """Return the Airflow connection as JSON, for an ``AIRFLOW_CONN_...`` variable.

        :param verify: path of the CA file to trust, or None for plain HTTP.
        :raises RuntimeError: the sandbox is not running.
        """
        extra = self.get_connection_extra()
        if verify is not None:
            extra["verify"] = verify
        connection = {"conn_type": self.name, "host": self.url, "password": self.token, "extra": extra}
        return json.dumps(connection)

    def get_connection_extra(self) -> dict[str, Any]:
        """Return the connection extras that this service needs."""
        return {}

    # Internal to the sandbox

    @abstractmethod
    def build_routes(self) -> list[web.RouteDef]:
        """Return the routes, prefix included."""

    def build_route(
        self, method: str, path: str, handler: Callable[[web.Request, float], web.Response]
    ) -> web.RouteDef:
        """Build a route whose handler runs with the lock held.

        :param method: HTTP method, or ``*``.
        :param path: path below the service's prefix.
        :param handler: takes the request and the time in epoch seconds.
        """

        async def handle(request: web.Request) -> web.StreamResponse:
            with self.state.lock:
                return handler(request, self.state.clock())

        return web.route(method, f"/{self.name}{path}", handle)

    def store_flow(self, flow: FlowT) -> FlowT:
        """Add a flow to the service's flows.

        :param flow: the flow, whose id is new.
        :raises ValueError: the id is already in use.
        """
        with self.state.lock:
            if flow.id in self._flows:
                raise ValueError(f"The flow id {flow.id!r} is already in use.")
            self._flows[flow.id] = flow
        return flow

    def remove_flow(self, flow: FlowT) -> None:
        """Remove a flow from the service's flows."""
        self._flows.pop(flow.id, None)

    def get_token(self, request: web.Request) -> str | None:
        """Return the bearer token of a request, or None if it has none."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" and token.strip() else None
