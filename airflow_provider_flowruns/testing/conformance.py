"""The conformance kit: what every service must do, as tests for pytest.

A test module of a service makes its tests of what the service has::

    globals().update(build_test_classes(ServiceAdapter(service=AcmeApi, fake=FakeAcme, ...)))

or subclasses the parts that it wants::

    class TestReading(ReadingTests):
        adapter = ServiceAdapter(service=AcmeApi, forms=(...,))
"""

from __future__ import annotations

from typing import Any

from airflow_provider_flowruns.testing.adapter import RecordForm, SensorKind, ServiceAdapter
from airflow_provider_flowruns.testing.batches import BatchTests
from airflow_provider_flowruns.testing.faults import FaultTests
from airflow_provider_flowruns.testing.freshness import FreshnessTests
from airflow_provider_flowruns.testing.parity import ParityTests
from airflow_provider_flowruns.testing.reading import ReadingTests
from airflow_provider_flowruns.testing.starts import CancelTests, StartTests

__all__ = [
    "PARTS",
    "BatchTests",
    "CancelTests",
    "FaultTests",
    "FreshnessTests",
    "ParityTests",
    "ReadingTests",
    "RecordForm",
    "SensorKind",
    "ServiceAdapter",
    "StartTests",
    "build_test_classes",
]

PARTS: tuple[type[Any], ...] = (
    ReadingTests,
    ParityTests,
    FaultTests,
    FreshnessTests,
    StartTests,
    CancelTests,
    BatchTests,
)


def build_test_classes(*adapters: ServiceAdapter, parts: tuple[type[Any], ...] = PARTS) -> dict[str, type[Any]]:
    """Return test classes by their names, for the globals of a test module.

    The positional arguments are the services.

    :param parts: the parts of the kit to take.
    :raises ValueError: two adapters are for services of one title, so that one's tests would replace the other's.
    """
    titles = [adapter.info.title for adapter in adapters]
    if len({*titles}) < len(titles):
        raise ValueError(f"each adapter must be for another service, got {', '.join(titles)}: give one several forms")
    return {
        name: type(name, (part,), {"adapter": adapter})
        for adapter in adapters
        for part in parts
        for name in [f"Test{adapter.info.title}{part.__name__.removesuffix('Tests')}"]
    }
