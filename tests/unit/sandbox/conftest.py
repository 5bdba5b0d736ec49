"""A running sandbox whose clock the test moves, and a plain HTTP client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from airflow_provider_flowruns.sandbox import Sandbox


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(clock=clock) as running:
        yield running


@pytest.fixture
def call(sandbox: Sandbox) -> Iterator[Callable[..., requests.Response]]:
    """Send a request to a service: ``call("portable", "GET", "/v2/flows", token=None, ...)``."""
    with requests.Session() as session:

        def send(service: str, method: str, path: str, **options: Any) -> requests.Response:
            base = getattr(sandbox, service)
            token = options.pop("token", base.token)
            headers = {**({} if token is None else {"Authorization": f"Bearer {token}"})}
            headers |= options.pop("headers", {})
            options.setdefault("timeout", 10)
            return session.request(method, base.url + path, headers=headers, allow_redirects=False, **options)

        yield send
