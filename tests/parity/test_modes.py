"""The same situation ends the same way in every mode: task state, exception class and XCom value."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.base import FlowRunSensor
from airflow_provider_flowruns.testing.task_modes import End, run_in_all
from tests.parity.cases import CASES, KINDS, Case, Kind

TABLE = [
    pytest.param(case, kind, soft_fail, id=f"{case.name}-{kind.name}-{'soft' if soft_fail else 'plain'}")
    for case in CASES
    for kind in KINDS
    if case.applies(kind)
    for soft_fail in (False, True)
]


@pytest.mark.parametrize(("case", "kind", "soft_fail"), TABLE)
def test_same_end_in_every_mode(case: Case, kind: Kind, soft_fail: bool, sandbox: Sandbox) -> None:
    arguments = case.prepare(kind, sandbox)

    def make(**mode: Any) -> FlowRunSensor:
        sensor = {"task_id": "wait", "poke_interval": 0.1, "timeout": 20.0, "soft_fail": soft_fail}
        return kind.sensor(**{**sensor, **arguments, **mode})

    ends = run_in_all(make)

    assert {mode: (end.state, end.error) for mode, end in ends.items()} == dict.fromkeys(
        ends, expected(case, soft_fail)
    ), ends
    assert len({json.dumps(end.comparable()) for end in ends.values()}) == 1, ends
    if case.error is None:
        check_accepted_run(arguments, ends["poke"])


def expected(case: Case, soft_fail: bool) -> tuple[str, str | None]:
    if case.error is None:
        return "success", None
    return ("skipped", None) if soft_fail and case.soft else ("failed", case.error)


def check_accepted_run(arguments: dict[str, Any], end: End) -> None:
    assert end.xcom["disposition"] == "SUCCEEDED" or arguments["on_paused"] == "succeed"
    if "completed_after" in arguments:
        # To the second, which is as fine as TableFlow tells it; the stale run ended a second earlier.
        ended = datetime.fromisoformat(end.xcom["completed_at"])
        assert ended >= arguments["completed_after"].replace(microsecond=0)
    if "run_id" in arguments:
        assert end.xcom["run_id"] == str(arguments["run_id"])
