"""What the three services have in common: flows, runs, a token and a prefix of the sandbox's address."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

from aiohttp import web

from airflow_provider_flowruns.sandbox.flows import SandboxFlow
from airflow_provider_flowruns.sandbox.runs import Vocabulary
from airflow_provider_flowruns.sandbox.world import World

FlowT = TypeVar("FlowT", bound=SandboxFlow[Any])


class SandboxService(ABC, Generic[FlowT]):
    """One of the three services. Subclasses add its routes and its flows.

    :param world: the sandbox's shared state.
    """

    name: ClassVar[str]
    words: ClassVar[Vocabulary]

    def __init__(self, world: World) -> None:
        self.token = f"sandbox-{self.name}-token"
        self.world = world
        self._flows: dict[Any, FlowT] = {}
        self._index: dict[Any, Any] = {}

    @property
    def url(self) -> str:
        """Base URL of the service.

        :raises RuntimeError: when the sandbox is not running.
        """
        return f"{self.world.url}/{self.name}"

    @property
    def flows(self) -> list[FlowT]:
        """The service's flows, in the order in which they were added."""
        with self.world.lock:
            return list(self._flows.values())

    def connection_json(self, verify: str | None = None) -> str:
        """Write an Airflow connection as JSON, to be put in an ``AIRFLOW_CONN_...`` variable.

        :param verify: path of the certificate to trust, or None for plain HTTP.
        :raises RuntimeError: when the sandbox is not running.
        """
        extra = self.connection_extra()
        if verify is not None:
            extra["verify"] = verify
        connection = {"conn_type": self.name, "host": self.url, "password": self.token, "extra": extra}
        return json.dumps(connection)

    def connection_extra(self) -> dict[str, Any]:
        """Give the connection extras this service needs."""
        return {}

    # What follows is for the sandbox's own modules.

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """List the routes, prefix included; the last one takes every other path below the prefix."""

    def route(self, method: str, path: str, answer: Callable[[web.Request, float], web.Response]) -> web.RouteDef:
        """Make a route whose answer is given at once, with the lock held.

        :param method: HTTP method, or ``*``.
        :param path: path below the service's prefix.
        :param answer: takes the request and the time as epoch seconds.
        """

        async def handle(request: web.Request) -> web.StreamResponse:
            with self.world.lock:
                return answer(request, self.world.clock())

        return web.route(method, f"/{self.name}{path}", handle)

    def add(self, flow: FlowT) -> FlowT:
        """Put a flow among the service's flows.

        :raises ValueError: when there is one with this id already.
        """
        with self.world.lock:
            if flow.id in self._flows:
                raise ValueError(f"There is a flow {flow.id!r} already.")
            self._flows[flow.id] = flow
        return flow

    def forget(self, flow: FlowT) -> None:
        """Take a flow out of the service's flows."""
        self._flows.pop(flow.id, None)

    def bearer(self, request: web.Request) -> str | None:
        """Give the token a request carries, or None if it carries none."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" and token.strip() else None
