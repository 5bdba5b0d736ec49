"""The fixture that this package brings to its users' tests."""

import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from importlib.metadata import entry_points
from pathlib import Path

from airflow_provider_flowruns import pytest_plugin
from airflow_provider_flowruns.hooks.portable import PortableHook

LOADED_BY_THE_PLUGIN = """
import sys
import pytest
before = set(sys.modules)
import airflow_provider_flowruns.pytest_plugin
print(*sorted(set(sys.modules) - before))
"""

OF_A_USER = """
import os
from urllib.request import urlopen

import pytest

urls = []

def test_with_a_sandbox(flowruns_sandbox):
    for service in ("PORTABLE", "ACTIVEPIECES", "TABLEFLOW"):
        assert flowruns_sandbox.url in os.environ[f"AIRFLOW_CONN_{service}_DEFAULT"]
    assert urlopen(f"{flowruns_sandbox.url}/_sandbox/health").status == 200
    urls.append(flowruns_sandbox.url)

def test_without_one():
    assert not [name for name in os.environ if name.startswith("AIRFLOW_CONN_")]
    assert "no_proxy" not in os.environ
    with pytest.raises(OSError):
        urlopen(f"{urls[0]}/_sandbox/health")
"""


def test_pytest_finds_the_plugin() -> None:
    (found,) = [one for one in entry_points(group="pytest11") if one.module.startswith("airflow_provider_flowruns")]
    assert found.load() is pytest_plugin


def test_a_test_run_that_does_not_use_it_loads_nothing_more() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED_BY_THE_PLUGIN], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["airflow_provider_flowruns", "airflow_provider_flowruns.pytest_plugin"]


def test_sandbox_and_connections_last_as_long_as_the_test(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    (tmp_path / "test_user.py").write_text(OF_A_USER)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "2 passed" in done.stdout, done.stdout


def test_a_proxy_is_no_obstacle(monkeypatch, flowruns_sandbox) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    works, said = PortableHook().test_connection()
    assert works, said


def test_nothing_in_the_package_but_the_conformance_kit_needs_pytest() -> None:
    root = Path(pytest_plugin.__file__).parent
    naming = [path.relative_to(root) for path in root.rglob("*.py") if "pytest" in path.read_text()]
    assert {path.parts[0] for path in naming} == {"pytest_plugin.py", "testing"}


def test_it_starts_without_flows(flowruns_sandbox) -> None:
    assert [service.flows for service in flowruns_sandbox.services] == [[], [], []]
