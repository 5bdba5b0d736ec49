"""Settings every test runs under; they must stand before Airflow is imported."""

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
    """Return a PostgreSQL server of these tests' own; without an installation they are skipped."""
    from tools.postgresql import NOT_INSTALLED, PostgresServer, find_programs

    if find_programs() is None:
        pytest.skip(NOT_INSTALLED)
    with PostgresServer() as server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why tests were skipped, a line for each reason: it must not go unnoticed that something is not installed."""
    skipped = Counter(report.longrepr[2] for report in terminalreporter.stats.get("skipped", ()))
    for reason, number in skipped.items():
        terminalreporter.write_line(f"{number} skipped: {reason.removeprefix('Skipped: ')}", yellow=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    """A page that a test asked for ahead and did not use must not be asked for under the next test's fakes."""
    try:
        yield
    finally:
        for thread in threading.enumerate():
            if thread.name == "flowruns-next-page":
                thread.join(timeout=30)
