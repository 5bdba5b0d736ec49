"""The same situation ends the same way in every mode: task state, exception class and XCom value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.testing.adapter import SensorKind, ServiceAdapter
from airflow_provider_flowruns.testing.base import ConformanceBase, for_each, make_sensor
from airflow_provider_flowruns.testing.situations import SITUATIONS, Situation
from airflow_provider_flowruns.testing.task_modes import End, run_in_all


def _list_situations(adapter: ServiceAdapter) -> Iterator[Any]:
    for situation in SITUATIONS:
        for kind in adapter.sensors:
            for soft_fail in (False, True):
                if situation.applies(kind):
                    name = f"{situation.name}-{kind.name}-{'soft' if soft_fail else 'plain'}"
                    yield pytest.param(situation, kind, soft_fail, id=name)


class ParityTests(ConformanceBase):
    """Poke, reschedule and deferrable mode, side by side."""

    @for_each("situation, kind, soft_fail", _list_situations)
    def test_a_situation_ends_the_same_in_every_mode(
        self, situation: Situation, kind: SensorKind, soft_fail: bool, sandbox: Sandbox
    ) -> None:
        """All modes end as the situation says, with the same result."""
        arguments = situation.prepare(kind, sandbox)
        ends = run_in_all(make_sensor(kind, arguments, poke_interval=0.1, timeout=20.0, soft_fail=soft_fail))
        expected = _get_expected_end(situation, soft_fail)
        assert {mode: (end.state, end.error) for mode, end in ends.items()} == dict.fromkeys(ends, expected), ends
        assert len({json.dumps(end.comparable()) for end in ends.values()}) == 1, ends
        if situation.error is None:
            _check_accepted_run(kind, arguments, ends["poke"])


def _get_expected_end(situation: Situation, soft_fail: bool) -> tuple[str, str | None]:
    if situation.error is None:
        return "success", None
    return ("skipped", None) if soft_fail and situation.soft else ("failed", situation.error)


def _check_accepted_run(kind: SensorKind, arguments: dict[str, Any], end: End) -> None:
    assert end.xcom["disposition"] == "SUCCEEDED" or arguments.get("on_paused") == "succeed"
    if "completed_after" in arguments:
        # To the second, as fine as some services tell it; the stale run ended a second earlier.
        ended = datetime.fromisoformat(end.xcom["completed_at"])
        assert ended >= arguments["completed_after"].replace(microsecond=0)
    if kind.run_argument in arguments:
        assert end.xcom["run_id"] == str(arguments[kind.run_argument])
