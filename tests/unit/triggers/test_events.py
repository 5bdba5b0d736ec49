"""What Airflow gets of an event, and what it logs."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent

from airflow_provider_flowruns.triggers.events import build_event

PAYLOAD = {"outcome": "failed", "run": {"details": {"steps": ["x" * 10_000]}}}


@pytest.mark.parametrize("copied", [lambda event: event, copy.deepcopy])
def test_airflow_logs_one_sentence_and_passes_on_the_whole_payload(copied: Any) -> None:
    event: Any = copied(build_event(PAYLOAD, "failed: run 7 failed"))
    assert isinstance(event, TriggerEvent)
    assert repr(event) == "TriggerEvent<failed: run 7 failed>"
    assert event.payload == PAYLOAD
    assert json.loads(json.dumps(event.payload)) == PAYLOAD
