"""The sandbox as a pytest fixture, for tests of your own DAGs.

pytest loads this module in every test run of an environment that has the package, so it imports next to nothing;
the sandbox is imported when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_flowruns.sandbox import Sandbox


@pytest.fixture
def flowruns_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Start a sandbox without flows and make it the default connection of the three services; both end with the test.

    Sets ``AIRFLOW_CONN_PORTABLE_DEFAULT``, ``AIRFLOW_CONN_ACTIVEPIECES_DEFAULT`` and
    ``AIRFLOW_CONN_TABLEFLOW_DEFAULT``, and keeps the sandbox's address away from any proxy.

    :param monkeypatch: pytest's own fixture, which takes the variables back.
    """
    from airflow_provider_flowruns.sandbox import Sandbox

    with Sandbox() as sandbox:
        for name, value in sandbox.connections().items():
            monkeypatch.setenv(name, value)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "127.0.0.1", prepend=",")
        yield sandbox
