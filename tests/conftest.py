"""Settings every test runs under; they must stand before Airflow is imported."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_flowruns.sandbox import Sandbox

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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    """A page that a test asked for ahead and did not use must not be asked for under the next test's fakes."""
    try:
        yield
    finally:
        for thread in threading.enumerate():
            if thread.name == "flowruns-next-page":
                thread.join(timeout=30)
