"""How long runs take reaches the next DAG run, and its trigger, through the state store of the task's asset."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Asset, TaskDeferred

from airflow_provider_flowruns.polling.durations import MAX_RUNS_PER_FLOW, RunDurations
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.activepieces import ActivepiecesFlowRunSensor
from airflow_provider_flowruns.tasks.polling import SHORT_RUN_SECONDS
from airflow_provider_flowruns.testing.task_modes import StateStore, task_context
from tests.worker_time import WorkerTime

DAY = timedelta(days=1).total_seconds()
INVOICES = Asset("invoices")


class AssetStores:
    """Stands in for the state stores of a task's assets, as Airflow 3.3 has them."""

    def __init__(self) -> None:
        self.stores: dict[str, Any] = {}

    def __getitem__(self, asset: Any) -> Any:
        return self.stores.setdefault(asset.name, StateStore())

    @property
    def values(self) -> dict[str, str]:
        """What is stored for the asset."""
        return self.stores["invoices"].values if self.stores else {}


class UnreachableStore:
    """A store behind an API server that does not respond."""

    def get(self, key: str) -> Any:
        raise ConnectionError("the API server does not respond")

    def set(self, key: str, value: Any) -> None:
        raise ConnectionError("the API server does not respond")


@pytest.fixture
def wait_for_run(timed_sandbox: Sandbox, worker_time: WorkerTime) -> Callable[..., Any]:
    """Return a function that waits for a run of one flow, in a DAG run of its own on another day.

    The run has ended when the wait begins, unless the wait is deferrable: then it is too old to be waited for in the
    worker.
    """
    flow = timed_sandbox.activepieces.add_flow()

    def wait(seconds: float, stores: Any, **arguments: Any) -> Any:
        worker_time.sleep(DAY)
        run = flow.add_run(outcome="SUCCEEDED", waiting=0.0, running=seconds)
        worker_time.sleep(SHORT_RUN_SECONDS + 1.0 if arguments.get("deferrable") else seconds + 1.0)
        arguments = {"outlets": [INVOICES], **arguments}
        sensor = ActivepiecesFlowRunSensor(task_id="wait", run_id=run.id, **arguments)
        context: Any = {**task_context(), **({"asset_state_store": stores} if stores is not None else {})}
        return sensor.execute(context)

    return wait


def read_durations(deferred: TaskDeferred) -> list[float]:
    """Return the durations that a triggerer knows that was started after the deferral."""
    _, arguments = deferred.trigger.serialize()
    waiter = RunWaiter.from_json(json.loads(json.dumps(arguments))["waiter"])
    durations = RunDurations()
    waiter.share_durations(durations)
    (flow_id,) = json.loads(arguments["waiter"])["durations"] or ("none",)
    return [seconds for _, seconds in durations.to_record(flow_id)]


def defer(wait_for_run: Callable[..., Any], stores: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferred:
        wait_for_run(600.0, stores, deferrable=True)
    return deferred.value


def test_the_next_dag_run_s_trigger_knows_how_long_earlier_runs_took(wait_for_run: Callable[..., Any]) -> None:
    stores = AssetStores()
    for seconds in (100.0, 200.0, 300.0):
        wait_for_run(seconds, stores)
    assert read_durations(defer(wait_for_run, stores)) == pytest.approx([100.0, 200.0, 300.0], abs=1.0)


def test_the_number_of_stored_durations_is_bounded(wait_for_run: Callable[..., Any]) -> None:
    stores = AssetStores()
    for seconds in range(MAX_RUNS_PER_FLOW + 2):
        wait_for_run(10.0 + seconds, stores)
    ((key, stored),) = stores.values.items()
    assert key.startswith("flowruns durations activepieces activepieces_default ")
    assert [round(seconds) for _, seconds in json.loads(stored)] == list(range(12, 12 + MAX_RUNS_PER_FLOW))


@pytest.mark.parametrize("stored", ["a text", {"schema": 99}, [1, None, ["x", "y"], [0, -1]], 7])
def test_what_cannot_be_read_is_replaced(wait_for_run: Callable[..., Any], stored: Any) -> None:
    stores = AssetStores()
    wait_for_run(100.0, stores)
    (key,) = stores.values
    stores[INVOICES].set(key, stored)
    assert read_durations(defer(wait_for_run, stores)) == []
    wait_for_run(200.0, stores)
    assert [round(seconds) for _, seconds in json.loads(stores.values[key])] == [200]


def test_a_store_that_does_not_respond_is_warned_of_and_disturbs_nothing(
    wait_for_run: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    stores = AssetStores()
    stores.stores["invoices"] = UnreachableStore()
    assert wait_for_run(100.0, stores)["disposition"] == "SUCCEEDED"
    logged = "".join(capfd.readouterr())
    assert "Could not load 'flowruns durations" in logged
    assert "Could not save 'flowruns durations" in logged


@pytest.mark.parametrize("stores", [None, AssetStores()])
def test_without_a_store_or_an_asset_nothing_is_stored(wait_for_run: Callable[..., Any], stores: Any) -> None:
    arguments = {} if stores is None else {"outlets": []}
    assert wait_for_run(100.0, stores, **arguments)["disposition"] == "SUCCEEDED"
    assert read_durations(defer(wait_for_run, None)) == []
    assert stores is None or not stores.stores
