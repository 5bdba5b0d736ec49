"""A running sandbox with a clock that tests advance, and a plain HTTP client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from airflow_provider_flowruns.sandbox import Sandbox


class Clock:
    """A clock that stands still until it is advanced."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
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
    """Return a function that sends a request: ``call("portable", "GET", "/v2/flows", token=None, ...)``."""
    with requests.Session() as session:

        def send(service: str, method: str, path: str, **options: Any) -> requests.Response:
            target = getattr(sandbox, service)
            token = options.pop("token", target.token)
            headers = {**({} if token is None else {"Authorization": f"Bearer {token}"})}
            headers |= options.pop("headers", {})
            options.setdefault("timeout", 10)
            return session.request(method, target.url + path, headers=headers, allow_redirects=False, **options)

        yield send
