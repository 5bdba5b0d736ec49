"""Which settings of Airflow turn metrics on, and which backends send tags."""

from __future__ import annotations

import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys

import pytest

from airflow_provider_flowruns.compat.stats import are_metrics_on, get_host, have_metrics_tags
from tests.statsd_server import StatsdServer


@pytest.mark.parametrize(
    ("settings", "is_on", "has_tags"),
    [
        ({}, False, False),
        ({"STATSD_ON": "False", "OTEL_ON": "False"}, False, False),
        ({"STATSD_ON": "True"}, True, False),
        ({"STATSD_ON": "True", "STATSD_INFLUXDB_ENABLED": "True"}, True, True),
        ({"STATSD_INFLUXDB_ENABLED": "True"}, False, False),
        ({"OTEL_ON": "True"}, True, True),
        ({"OTEL_ON": "True", "STATSD_ON": "True"}, True, False),
        ({"STATSD_DATADOG_ENABLED": "True"}, True, True),
        ({"STATSD_DATADOG_ENABLED": "True", "STATSD_DATADOG_METRICS_TAGS": "False"}, True, False),
    ],
)
def test_settings(settings: dict[str, str], is_on: bool, has_tags: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"AIRFLOW__METRICS__{name}", value)
    assert (are_metrics_on(), have_metrics_tags()) == (is_on, has_tags)


def test_the_host_has_the_name_that_airflow_s_own_metrics_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__HOSTNAME_CALLABLE", "platform.machine")
    import platform

    assert get_host() == platform.machine()


IN_A_TRIGGERER = """
import os
import airflow.jobs.triggerer_job_runner
from airflow_provider_flowruns.compat.stats import get_stats

child = os.fork()  # Airflow runs triggers in a fork of the process that has read the settings
if child:
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
get_stats().incr("flowruns.test", 3, tags={"place": "trigger"})
"""


@pytest.mark.nightly
def test_triggers_reach_the_backend_without_setting_it_up() -> None:
    with StatsdServer() as server:
        settings = server.build_settings(has_tags=True)
        _run(IN_A_TRIGGERER, settings)
        assert server.find("flowruns.test", place="trigger") == [3.0]


def _run(code: str, settings: dict[str, str]) -> None:
    import os

    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
