"""Airflow's own metrics, which are in another place in each version and have tags in some configurations only."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from airflow.providers.common.compat.sdk import conf
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_2_PLUS


def are_metrics_on() -> bool:
    """Return whether Airflow sends its metrics anywhere."""
    return any(map(_is_set, ("statsd_datadog_enabled", "statsd_on", "otel_on")))


def have_metrics_tags() -> bool:
    """Return whether the backend sends tags; one that does not drops them without a word."""
    # The first backend that is on is the one that Airflow uses.
    if _is_set("statsd_datadog_enabled"):
        return _is_set("statsd_datadog_metrics_tags", default=True)
    if _is_set("statsd_on"):
        return _is_set("statsd_influxdb_enabled")
    return _is_set("otel_on")


def get_stats() -> Any:
    """Return Airflow's object with ``incr``, ``gauge`` and ``timing``, the same one in workers and in triggerers.

    Its first use connects to the backend, which can block.
    """
    from airflow.providers.common.compat.sdk import Stats

    if AIRFLOW_V_3_2_PLUS:
        # These versions have two such objects, and this one is that of the task SDK. Airflow sets it up where tasks
        # run; where triggers run, the import of this module does, which may not have happened.
        import_module("airflow.sdk.serde")

    return Stats


def get_host() -> str:
    """Return the name of this machine as Airflow reports it in its own metrics."""
    from airflow.utils.net import get_hostname

    return str(get_hostname())  # type: ignore[no-untyped-call]


def _is_set(option: str, *, default: bool = False) -> bool:
    return bool(conf.getboolean("metrics", option, fallback=default))
