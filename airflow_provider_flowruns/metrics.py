"""The names of this package's metrics, and how they are reported through Airflow's own; see ``docs/metrics.md``."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any, Self

from airflow_provider_flowruns.compat.stats import are_metrics_on, get_host, get_stats, have_metrics_tags

log = logging.getLogger(__name__)


class Metric(StrEnum):
    """The name of a metric, without the prefix that Airflow adds."""

    WAITS_OPEN = "flowruns.wait.open"
    DETECTION_DELAY = "flowruns.wait.detection_delay"
    POLLS_SENT = "flowruns.poll.sent"
    POLL_TARGETS = "flowruns.poll.targets"
    POLL_LATENCY = "flowruns.poll.latency"
    POLL_ERRORS = "flowruns.poll.errors"
    BACKOFFS = "flowruns.poll.backoffs"
    RUNS_STARTED = "flowruns.run.started"
    DUPLICATES_PREVENTED = "flowruns.run.duplicates_prevented"
    CANCELS = "flowruns.run.cancels"


#: Tags that become part of the name where the backend has no tags: without them the gauges of two connections would
#: overwrite each other, and errors could not be told apart. All other metrics add up.
TAGS_IN_NAME = {Metric.WAITS_OPEN: ("hostname", "service", "conn_id"), Metric.POLL_ERRORS: ("error",)}

#: Characters that end a tag or a name in one of the protocols.
_SPECIAL = re.compile(r"[^\w.-]", re.ASCII)


class ConnectionMetrics:
    """Reports what happens on one connection. A failure is logged once and disturbs nothing.

    Reporting can block, so an event loop leaves it to a thread.

    :param service: registry name of the connection's service.
    :param conn_id: the connection's id.
    """

    def __init__(self, service: str, conn_id: str) -> None:
        self._tags = {"service": service, "conn_id": _SPECIAL.sub("_", conn_id)}
        self._has_tags = have_metrics_tags()
        self._has_failed = False

    @classmethod
    def create(cls, service: str, conn_id: str) -> Self | None:
        """Return the metrics of a connection, None if Airflow's metrics are off.

        :param service: registry name of the connection's service.
        :param conn_id: the connection's id.
        """
        return cls(service, conn_id) if are_metrics_on() else None

    def increment(self, metric: Metric, number: int = 1, **tags: str) -> None:
        """Add to a counter. Further keyword arguments are tags.

        :param metric: the counter.
        :param number: what to add.
        """
        self._report("incr", metric, number, tags)

    def set_open_waits(self, number: int) -> None:
        """Report how many waits are open in this process.

        :param number: the number of waits.
        """
        self._report("gauge", Metric.WAITS_OPEN, number, {"hostname": self._host})

    def record_seconds(self, metric: Metric, seconds: float) -> None:
        """Report a duration.

        :param metric: the timer.
        :param seconds: the duration.
        """
        # What a number means differs between Airflow's versions and backends.
        self._report("timing", metric, timedelta(seconds=seconds), {})

    def record_poll(self, error: Exception | None, seconds: float) -> None:
        """Report a poll of one target.

        :param error: the error that came instead of a response.
        :param seconds: how long it took.
        """
        self.increment(Metric.POLLS_SENT)
        self.increment(Metric.POLL_TARGETS)
        self.record_seconds(Metric.POLL_LATENCY, seconds)
        if error is not None:
            self.increment(Metric.POLL_ERRORS, error=type(error).__name__)

    @cached_property
    def _host(self) -> str:
        try:
            return _SPECIAL.sub("_", get_host())
        except Exception as error:  # a function that the user configured
            self._log_failure(error)
            return "unknown"

    def _report(self, method: str, metric: Metric, value: Any, tags: dict[str, str]) -> None:
        tags = {**self._tags, **tags}
        name = str(metric)
        if not self._has_tags:
            name = ".".join((name, *(tags[tag].replace(".", "_") for tag in TAGS_IN_NAME.get(metric, ()))))
        try:
            getattr(get_stats(), method)(name, value, tags=tags)
        except Exception as error:
            self._log_failure(error)

    def _log_failure(self, error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            log.warning("Metrics of this package cannot be reported: %s: %s", type(error).__name__, error)
