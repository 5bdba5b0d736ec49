"""A StatsD server that keeps what it receives, and Airflow's settings that send to it."""

from __future__ import annotations

import socket
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import pytest
from airflow.providers.common.compat.sdk import Stats
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_2_PLUS, AIRFLOW_V_3_3_PLUS

#: The largest message that one packet may hold.
_MAX_BYTES = 65_536


@dataclass(frozen=True)
class Sample:
    """One value of a metric.

    :param name: the name without Airflow's prefix.
    :param tags: the tags, as they are sent to InfluxDB.
    :param value: the value.
    :param kind: ``c`` for a counter, ``g`` for a gauge, ``ms`` for a timer.
    """

    name: str
    tags: dict[str, str]
    value: float
    kind: str


class StatsdServer:
    """Receives metrics on 127.0.0.1 during the ``with`` block. They are kept by the system until they are read."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024 * 1024)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self._samples: list[Sample] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def build_settings(self, *, has_tags: bool) -> dict[str, str]:
        """Return the environment variables that let Airflow send this package's metrics here.

        :param has_tags: whether it sends tags.
        """
        settings = {
            "STATSD_ON": "True",
            "STATSD_HOST": "127.0.0.1",
            "STATSD_PORT": str(self._socket.getsockname()[1]),
            "STATSD_INFLUXDB_ENABLED": str(has_tags),
            "METRICS_ALLOW_LIST": "flowruns",
        }
        return {f"AIRFLOW__METRICS__{name}": value for name, value in settings.items()}

    def read(self) -> list[Sample]:
        """Return all samples since the start."""
        while True:
            try:
                packet = self._socket.recv(_MAX_BYTES)
            except BlockingIOError:
                return self._samples
            self._samples += [_parse(line) for line in packet.decode().splitlines()]

    def find(self, name: str, **tags: str) -> list[float]:
        """Return the values of a metric, in order.

        :param name: its name without Airflow's prefix.
        """
        samples = [sample for sample in self.read() if sample.name == name]
        return [sample.value for sample in samples if tags.items() <= sample.tags.items()]

    def sum_counters(self) -> Counter[str]:
        """Return the sum of each counter."""
        sums: Counter[str] = Counter()
        for sample in self.read():
            if sample.kind == "c":
                sums[sample.name] += int(sample.value)
        return sums


def _parse(line: str) -> Sample:
    identity, _, rest = line.partition(":")
    value, kind, *_ = rest.split("|")
    name, *tags = identity.split(",")
    pairs = dict(tag.split("=", 1) for tag in tags)
    return Sample(name.removeprefix("airflow."), pairs, float(value), kind)


def reset_stats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Airflow read the settings of its metrics again, which it does once in every process."""
    if AIRFLOW_V_3_3_PLUS:
        from airflow.sdk._shared.observability.metrics import stats
        from airflow.sdk.observability.metrics.stats_utils import get_stats_factory

        monkeypatch.setattr(stats, "_factory", get_stats_factory())
        monkeypatch.setattr(stats, "_backend", None)
        return
    owner: Any = Stats if AIRFLOW_V_3_2_PLUS else type(Stats)
    monkeypatch.setattr(owner, "factory", _get_older_factory())
    monkeypatch.setattr(Stats, "instance", None, raising=False)


def _get_older_factory() -> Any:
    if AIRFLOW_V_3_2_PLUS:
        from airflow.sdk.observability.metrics import stats_utils

        factory: Any = stats_utils.get_stats_factory
        return factory(Stats)
    from airflow.metrics.statsd_logger import get_statsd_logger

    return get_statsd_logger
