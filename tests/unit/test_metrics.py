"""Metrics as Airflow's backends receive them, and what happens if one fails."""

from __future__ import annotations

import logging
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_2_PLUS

from airflow_provider_flowruns import metrics as metrics_module
from airflow_provider_flowruns.metrics import ConnectionMetrics, Metric
from airflow_provider_flowruns.model.errors import RateLimitError
from tests.statsd_server import Sample, StatsdServer, reset_stats

ERROR = RateLimitError("Portable", "GET", "/x", 429, "slow down")


def create(conn_id: str = "portable_eu") -> ConnectionMetrics:
    metrics = ConnectionMetrics.create("portable", conn_id)
    assert metrics is not None
    return metrics


def test_there_are_none_while_airflow_s_metrics_are_off() -> None:
    assert ConnectionMetrics.create("portable", "portable_default") is None


def test_a_poll_is_reported_with_its_connection_and_its_error(statsd: StatsdServer) -> None:
    create().record_poll(ERROR, 0.25)
    tags = {"service": "portable", "conn_id": "portable_eu"}
    assert statsd.read() == [
        Sample("flowruns.poll.sent", tags, 1.0, "c"),
        Sample("flowruns.poll.targets", tags, 1.0, "c"),
        Sample("flowruns.poll.latency", tags, 250.0, "ms"),
        Sample("flowruns.poll.errors", {**tags, "error": "RateLimitError"}, 1.0, "c"),
    ]


def test_the_gauge_says_which_machine_it_is_about(statsd: StatsdServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "get_host", lambda: "triggerer-1.example")
    create().set_open_waits(5)
    tags = {"service": "portable", "conn_id": "portable_eu", "hostname": "triggerer-1.example"}
    assert statsd.read() == [Sample("flowruns.wait.open", tags, 5.0, "g")]


def test_without_tags_names_tell_apart_what_must_not_be_mixed(
    statsd: StatsdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in statsd.build_settings(has_tags=False).items():
        monkeypatch.setenv(name, value)
    reset_stats(monkeypatch)
    monkeypatch.setattr(metrics_module, "get_host", lambda: "triggerer-1.example")
    metrics = create()
    metrics.set_open_waits(5)
    metrics.record_poll(ERROR, 0.25)
    assert [(sample.name, sample.tags) for sample in statsd.read()] == [
        ("flowruns.wait.open.triggerer-1_example.portable.portable_eu", {}),
        ("flowruns.poll.sent", {}),
        ("flowruns.poll.targets", {}),
        ("flowruns.poll.latency", {}),
        ("flowruns.poll.errors.RateLimitError", {}),
    ]


def test_a_connection_id_cannot_break_the_protocol(statsd: StatsdServer) -> None:
    create("eu:1|c/orders,a=b").increment(Metric.POLLS_SENT)
    assert statsd.read() == [
        Sample("flowruns.poll.sent", {"service": "portable", "conn_id": "eu_1_c_orders_a_b"}, 1.0, "c")
    ]


def test_opentelemetry_gets_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    sdk = pytest.importorskip("opentelemetry.sdk.metrics")
    export = import_module("opentelemetry.sdk.metrics.export")
    place = "airflow.sdk._shared.observability" if AIRFLOW_V_3_2_PLUS else "airflow"
    reader = export.InMemoryMetricReader()
    backend = import_module(f"{place}.metrics.otel_logger").SafeOtelLogger(sdk.MeterProvider(metric_readers=[reader]))
    monkeypatch.setattr(metrics_module, "get_stats", lambda: backend)
    monkeypatch.setattr(metrics_module, "get_host", lambda: "here")
    monkeypatch.setenv("AIRFLOW__METRICS__OTEL_ON", "True")
    metrics = create()
    metrics.record_poll(ERROR, 0.25)
    metrics.record_poll(None, 0.25)
    metrics.set_open_waits(2)
    metrics.set_open_waits(0)

    found: dict[str, Any] = {
        metric.name: metric.data.data_points
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    names = {"wait.open", "poll.sent", "poll.targets", "poll.latency", "poll.errors"}
    assert found.keys() == {f"airflow.flowruns.{name}" for name in names}
    (sent,) = found["airflow.flowruns.poll.sent"]
    assert (sent.value, dict(sent.attributes)) == (2, {"service": "portable", "conn_id": "portable_eu"})
    (errors,) = found["airflow.flowruns.poll.errors"]
    assert (errors.value, errors.attributes["error"]) == (1, "RateLimitError")
    (gauge,) = found["airflow.flowruns.wait.open"]
    assert (gauge.value, gauge.attributes["hostname"]) == (0, "here")


class BrokenStats:
    """A backend that fails whatever it is asked for."""

    def __getattr__(self, name: str) -> Any:
        raise OSError("no route to host")


def test_a_broken_backend_is_logged_once_and_disturbs_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, statsd: StatsdServer
) -> None:
    monkeypatch.setattr(metrics_module, "get_stats", BrokenStats)
    caplog.set_level(logging.INFO, metrics_module.__name__)
    metrics = create()
    metrics.record_poll(ERROR, 0.25)
    metrics.set_open_waits(1)
    assert [record.getMessage() for record in caplog.records] == [
        "Metrics of this package cannot be reported: OSError: no route to host"
    ]


def test_a_host_without_a_name_is_reported_all_the_same(statsd: StatsdServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise OSError("no name")

    monkeypatch.setattr(metrics_module, "get_host", fail)
    create().set_open_waits(1)
    assert statsd.find("flowruns.wait.open", hostname="unknown") == [1.0]


def test_a_duration_has_one_meaning_everywhere(statsd: StatsdServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's versions disagree on whether a number is in seconds or in milliseconds."""
    seen: list[Any] = []

    class Recorder:
        @staticmethod
        def timing(stat: str, dt: Any, *, tags: Any) -> None:
            seen.append(dt)

    monkeypatch.setattr(metrics_module, "get_stats", Recorder)
    create().record_seconds(Metric.DETECTION_DELAY, 1.5)
    assert seen == [timedelta(seconds=1.5)]
