"""Settings for all tests. They must be set before Airflow is imported."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_flowruns.sandbox import Sandbox
    from tools.postgresql import PostgresServer

_HOME = tempfile.mkdtemp(prefix="flowruns-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ["AIRFLOW_HOME"] = _HOME
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"
os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"


@pytest.fixture
def sandbox(flowruns_sandbox: Sandbox) -> Sandbox:
    """Return a sandbox without flows that is the default connection of the three services."""
    return flowruns_sandbox


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresServer]:
    """Return a private PostgreSQL server. Tests that use it are skipped if PostgreSQL is not installed."""
    from tools.postgresql import NOT_INSTALLED, PostgresServer, find_server_programs

    if find_server_programs() is None:
        pytest.skip(NOT_INSTALLED)
    with PostgresServer() as server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line for each reason why tests were skipped, so that a missing installation is noticed."""
    skipped = Counter(report.longrepr[2] for report in terminalreporter.stats.get("skipped", ()))
    for reason, number in skipped.items():
        terminalreporter.write_line(f"{number} skipped: {reason.removeprefix('Skipped: ')}", yellow=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    """Wait for prefetched pages, so that no request of this test is sent with the next test's fakes."""
    try:
        yield
    finally:
        for thread in threading.enumerate():
            if thread.name == "flowruns-next-page":
                thread.join(timeout=30)
