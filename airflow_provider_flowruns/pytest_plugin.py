"""A pytest fixture that runs the sandbox, for tests of your own DAGs, and readable assertions of the conformance kit.

pytest loads this module in every test run if the package is installed, so it imports almost nothing. The sandbox is
imported when a test uses the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

pytest.register_assert_rewrite("airflow_provider_flowruns.testing")

if TYPE_CHECKING:
    from airflow_provider_flowruns.sandbox import Sandbox


@pytest.fixture
def flowruns_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Run a sandbox without flows as the default connection of the three services during the test.

    Sets ``AIRFLOW_CONN_PORTABLE_DEFAULT``, ``AIRFLOW_CONN_ACTIVEPIECES_DEFAULT`` and
    ``AIRFLOW_CONN_TABLEFLOW_DEFAULT``, and excludes the sandbox's address from proxies.

    :param monkeypatch: pytest's fixture, which restores the variables.
    """
    from airflow_provider_flowruns.sandbox import Sandbox

    with Sandbox() as sandbox:
        for name, value in sandbox.connections().items():
            monkeypatch.setenv(name, value)
        exclude_sandbox_from_proxies(monkeypatch)
        yield sandbox


def exclude_sandbox_from_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests to a sandbox use no proxy that the environment names.

    :param monkeypatch: pytest's fixture.
    """
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1", prepend=",")
