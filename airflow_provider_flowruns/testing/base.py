"""What all parts of the kit share: parameters from the adapter, a sandbox with the service's fake, and short spans."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

import pytest

from airflow_provider_flowruns.polling import intervals
from airflow_provider_flowruns.pytest_plugin import exclude_sandbox_from_proxies
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.base import FlowRunSensor
from airflow_provider_flowruns.testing.adapter import SensorKind, ServiceAdapter
from airflow_provider_flowruns.testing.task_modes import replace_reschedule_query
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def for_each(names: str, build: Callable[[ServiceAdapter], Iterable[Any]]) -> Callable[[FunctionT], FunctionT]:
    """Parametrise a test of the kit by what its adapter has; without any, the test is skipped.

    :param names: names of the test's arguments, with commas between.
    :param build: returns the values for an adapter.
    """

    def mark(function: FunctionT) -> FunctionT:
        function.__dict__.setdefault("kit_parameters", []).append((names, build))
        return function

    return mark


def sensors(adapter: ServiceAdapter) -> list[Any]:
    """Return the sensors of a service as parameters.

    :param adapter: the service.
    """
    return [pytest.param(kind, id=kind.name) for kind in adapter.sensors]


class KitPart:
    """A part of the kit. A subclass whose name begins with ``Test`` gives :attr:`adapter`."""

    adapter: ClassVar[ServiceAdapter]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Parametrise the tests that are marked with :func:`for_each`.

        :param metafunc: the test.
        """
        for names, build in getattr(metafunc.function, "kit_parameters", ()):
            metafunc.parametrize(names, list(build(self.adapter)))


class ConformanceBase(KitPart):
    """A part of the kit whose tests run tasks against the fake."""

    #: Seconds that a wait respects of a ``Retry-After``.
    max_retry_after: ClassVar[float] = 0.3
    #: Extra fields of the connection to the fake.
    connection_extra: ClassVar[dict[str, Any]] = {}
    #: Fields of the service's entry that only make a test long.
    short_info: ClassVar[dict[str, float]] = {"not_found_grace": 0.3}

    @pytest.fixture(autouse=True)
    def short_spans(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Shorten what only makes a test long, and need no database.

        :param monkeypatch: pytest's fixture.
        """
        service = self.adapter.service
        monkeypatch.setattr(FlowRunTrigger, "first_wait", (0.05, 0.1))
        monkeypatch.setattr(FlowRunSensor, "min_reschedule_seconds", 0.0)
        monkeypatch.setattr(intervals, "MAX_RETRY_AFTER_SECONDS", self.max_retry_after)
        shorter = {name: min(seconds, getattr(service.info, name)) for name, seconds in self.short_info.items()}
        monkeypatch.setattr(service, "info", replace(service.info, **shorter))
        self.adapter.shorten(monkeypatch)
        replace_reschedule_query(monkeypatch)

    @pytest.fixture
    def sandbox(self, short_spans: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
        """Run a sandbox whose services are the default connections; those that end in ``_bad`` have a wrong token.

        :param short_spans: the fixture.
        :param monkeypatch: pytest's fixture.
        """
        fakes = () if self.adapter.fake is None else (self.adapter.fake,)
        with Sandbox(further_services=fakes) as running:
            for name, text in running.connections().items():
                connection = json.loads(text)
                connection["extra"] |= self.connection_extra
                monkeypatch.setenv(name, json.dumps(connection))
                bad = {**connection, "password": "made-up-wrong-token"}
                monkeypatch.setenv(name.replace("_DEFAULT", "_BAD"), json.dumps(bad))
            exclude_sandbox_from_proxies(monkeypatch)
            yield running


def make_sensor(kind: SensorKind, arguments: dict[str, Any], **common: Any) -> Callable[..., FlowRunSensor[Any]]:
    """Return what makes a fresh sensor in a mode, as every new process of a task does.

    :param kind: the sensor.
    :param arguments: its arguments, which come before the common ones.
    """

    def make(**mode: Any) -> FlowRunSensor[Any]:
        return kind.sensor(**{"task_id": "wait", **common, **arguments, **mode})

    return make
