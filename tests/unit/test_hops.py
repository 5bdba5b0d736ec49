"""How far an id travels in one poll: through few functions, and validated once.

A hop is a function or method of the package that is handed the id in an argument other than ``self``, by itself or
within a target, call, request or poll, up to the one that gives the request to the HTTP library.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from inspect import isgenerator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

import airflow_provider_flowruns
from airflow_provider_flowruns.client.aio_transport import Transport
from airflow_provider_flowruns.client.sync import SyncClient
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.base import FlowRunSensor
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor
from airflow_provider_flowruns.services.validation import validate_id
from airflow_provider_flowruns.testing.task_modes import task_context
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger
from airflow_provider_flowruns.triggers.poll_loop import PollLoop

PACKAGE = str(Path(airflow_provider_flowruns.__file__).parent)
#: Modules whose objects are searched for the id.
SEARCHED = ("airflow_provider_flowruns.model", "airflow_provider_flowruns.polling")
#: Levels of objects within an argument that are searched.
MAX_DEPTH = 4


class HopCounter:
    """Counts the package's functions that are handed an id.

    :param flow_id: the id.
    """

    def __init__(self, flow_id: str) -> None:
        self._flow_id = flow_id
        #: One list for each poll, from a starting function to the transport.
        self.polls: list[list[str]] = []
        self.calls: list[CodeType] = []
        self._is_counting = False

    @contextmanager
    def count(self, first: Callable[..., Any], last: Callable[..., Any]) -> Generator[None]:
        """Count between the beginning of a function and that of another one."""

        def profile(frame: FrameType, event: str, _: Any) -> None:
            code = frame.f_code
            if event != "call" or not code.co_filename.startswith(PACKAGE):
                return
            self.calls.append(code)
            if code is first.__code__ and not self._is_counting:
                self._is_counting = True
                self.polls.append([])
            if self._is_counting and code.co_qualname not in self.polls[-1] and self._is_handed_id(frame):
                self.polls[-1].append(code.co_qualname)
            self._is_counting = self._is_counting and code is not last.__code__

        sys.setprofile(profile)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _is_handed_id(self, frame: FrameType) -> bool:
        code = frame.f_code
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        return any(self._holds_id(frame.f_locals.get(name)) for name in names if name != "self")

    def _holds_id(self, value: Any, depth: int = 0) -> bool:
        if isinstance(value, str):
            return self._flow_id in value
        if isgenerator(value):
            value = list(value.gi_frame.f_locals.values()) if value.gi_frame else ()
        if isinstance(value, dict):
            value = [*value, *value.values()]
        if isinstance(value, list | tuple):
            return depth < MAX_DEPTH and any(self._holds_id(one, depth + 1) for one in value)
        if not type(value).__module__.startswith(
            ("airflow_provider_flowruns.model", "airflow_provider_flowruns.polling")
        ):
            return False
        names = getattr(value, "__struct_fields__", None) or getattr(value, "__slots__", ())
        return depth < MAX_DEPTH and any(self._holds_id(getattr(value, name, None), depth + 1) for name in names)


@pytest.fixture
def flow_id(sandbox: Sandbox) -> str:
    flow = sandbox.portable.add_flow()
    flow.add_run(running=600.0)
    return str(flow.id)


def test_a_poke_takes_at_most_nine_hops_and_validates_the_id_once(flow_id: str) -> None:
    sensor, counter = PortableFlowSensor(task_id="wait", flow_id=flow_id), HopCounter(flow_id)
    with counter.count(FlowRunSensor.poke, SyncClient._exchange):
        for _ in range(3):
            sensor.poke(task_context())
    for hops in counter.polls[1:]:  # the first poke also validates the id and makes the target
        assert len(hops) <= 9, hops
    assert counter.calls.count(validate_id.__code__) == 1


def test_a_deferred_poll_takes_at_most_thirteen_hops_and_validates_nothing(
    flow_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FlowRunTrigger, "first_wait", (0.0, 0.01))
    sensor, counter = PortableFlowSensor(task_id="wait", flow_id=flow_id, poke_interval=0.1), HopCounter(flow_id)
    sensor.poke(task_context())
    assert sensor.waiting.waiter is not None
    trigger = FlowRunTrigger("portable_default", sensor.waiting.waiter.to_json())

    async def wait() -> None:
        async for _ in trigger.run():
            raise AssertionError("the run has not ended")

    async def work() -> None:
        waiting = asyncio.create_task(wait())
        while len(counter.polls) < 3:  # ruff: ignore[async-busy-wait]
            await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.wait([waiting])

    with counter.count(PollLoop._on_timer, Transport.exchange):
        asyncio.run(work())
    for hops in counter.polls[1:]:
        assert len(hops) <= 13, hops
    assert validate_id.__code__ not in counter.calls
