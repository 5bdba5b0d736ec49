"""Triggers and events saved by every release still load: a wait outlives an upgrade.

``tests/fixtures/serialized/<version>.json`` is written once, when a release is made, and never changed.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns import __version__
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import WaitResult
from airflow_provider_flowruns.tasks.outcomes import result_or_raise

SAVED = {
    path.stem: json.loads(path.read_text())
    for path in (Path(__file__).parents[2] / "fixtures" / "serialized").glob("*.json")
}


def all_of(what: str) -> list[Any]:
    return [
        pytest.param(one, id=f"{version}-{number}")
        for version, saved in SAVED.items()
        for number, one in enumerate(saved[what])
    ]


def test_this_version_is_among_them() -> None:
    assert __version__ in SAVED


@pytest.mark.parametrize("saved", all_of("triggers"))
def test_a_saved_trigger_loads_with_its_wait_intact(saved: dict[str, Any]) -> None:
    module, _, name = saved["classpath"].rpartition(".")
    trigger = getattr(importlib.import_module(module), name)(**saved["kwargs"])
    waiter = RunWaiter.from_json(trigger.serialize()[1]["waiter"])
    before, after = json.loads(saved["kwargs"]["waiter"]), json.loads(waiter.to_json())
    for part in ("config", "state"):
        assert before[part].items() <= after[part].items()
    assert trigger.serialize()[0] == saved["classpath"]


@pytest.mark.parametrize("saved", all_of("watchers"))
def test_a_saved_watcher_is_the_same_to_airflow_and_finds_its_place(saved: dict[str, Any]) -> None:
    module, _, name = saved["classpath"].rpartition(".")
    trigger = getattr(importlib.import_module(module), name)(**saved["kwargs"])
    path, arguments = trigger.serialize()
    assert (path, arguments.items() >= saved["kwargs"].items()) == (saved["classpath"], True)
    assert trigger.state_key == saved["key"]
    before, after = json.loads(saved["cursor"]), json.loads(trigger.watcher(saved["cursor"]).to_json() or "")
    assert before.items() <= after.items()


@pytest.mark.parametrize("saved", all_of("events"))
def test_a_saved_event_ends_the_task_as_it_did(saved: dict[str, Any]) -> None:
    wait_result = WaitResult.from_dict(saved["payload"])
    try:
        ended_as, result = None, result_or_raise(wait_result)
    except Exception as error:
        ended_as, result = type(error).__name__, None
    assert ended_as == saved["ends_as"]
    assert result == (saved["payload"]["run"] if ended_as is None else None)
