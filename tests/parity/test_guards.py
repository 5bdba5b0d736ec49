"""Guards that are checked when they are rendered, and runs that are accepted without one; on one sensor."""

from __future__ import annotations

import logging
from datetime import timedelta
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from airflow.providers.common.compat.sdk import timezone

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.base import FlowRunSensor
from airflow_provider_flowruns.testing.freshness import make_rendered
from airflow_provider_flowruns.testing.task_modes import MODES, run_in, task_context
from tests.adapters import KINDS


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("value", ["1764331200000", "1999-12-31", "2999-01-01"])
def test_a_guard_that_cannot_be_right_is_refused_when_it_is_rendered(value: str, mode: str, sandbox: Sandbox) -> None:
    kind = KINDS[0]
    flow = kind.add_flow(sandbox)
    flow.add_run(outcome="SUCCEEDED", ago=60.0)
    end = run_in(mode, make_rendered(kind, flow.id, completed_after=f"{{{{ '{value}' }}}}"))
    assert (end.state, end.error) == ("failed", "InvalidArgumentError"), end
    assert end.message.startswith("FR301: completed_after must"), end.message
    assert sandbox.ledger.count() == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("due", ["data_interval_end", "run_after"])
def test_a_run_that_ended_before_the_dag_run_was_due_is_warned_about(
    mode: str, due: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, moment = KINDS[0], timezone.utcnow() - timedelta(hours=1)
    # A DAG run that an asset has started has no data interval.
    dag_run = SimpleNamespace(conf={}, **({"run_after": moment} if due == "run_after" else {}))
    for ago, is_warned in ((30.0, False), (7200.0, True)):
        log = MagicMock(spec=logging.Logger)
        monkeypatch.setattr(FlowRunSensor, "log", log, raising=False)
        flow = kind.add_flow(sandbox)
        flow.add_run(outcome="SUCCEEDED", ago=ago, running=1.0)
        context = {**task_context(), "dag_run": dag_run, **({} if due == "run_after" else {due: moment})}
        end = run_in(mode, make_rendered(kind, flow.id), context)
        assert end.state == "success", end
        assert any("before this DAG run was due" in call.args[0] for call in log.warning.mock_calls) is is_warned
