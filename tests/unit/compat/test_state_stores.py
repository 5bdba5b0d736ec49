"""The state stores keep values on Airflow 3.3 and newer; older versions remember nothing and break nothing."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_flowruns.compat.state_stores import (
    AssetState,
    TaskState,
    get_asset_state,
    get_asset_stores,
    get_generation,
    set_asset_state,
)
from airflow_provider_flowruns.testing.task_modes import StateStore, task_context

LOG = logging.getLogger("compat")


class UnreachableStore:
    """A store behind an API server that does not respond."""

    def get(self, key: str) -> Any:
        raise RuntimeError("no API server")

    def set(self, key: str, value: Any) -> None:
        raise RuntimeError("no API server")


class SyncStore:
    """The stores of assets as Airflow 3.3.0 and 3.3.1 have them."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def set(self, key: str, value: Any) -> None:
        self.values[key] = value


class AsyncStore(SyncStore):
    """The stores of assets as Airflow 3.3.2 and newer have them."""

    async def aget(self, key: str) -> Any:
        return self.values.get(key)

    async def aset(self, key: str, value: Any) -> None:
        self.values[key] = value


def test_a_value_is_saved_loaded_and_forgotten() -> None:
    store = StateStore()
    TaskState(task_context(store), "key").save({"a": 1})
    again = TaskState(task_context(store), "key")
    assert again.load() == {"a": 1}
    again.forget()
    assert (again.load(), store.values) == ({}, {})


def test_without_a_store_nothing_is_remembered() -> None:
    state = TaskState({}, "key")
    state.save({"a": 1})
    state.forget()
    assert state.load() == {}


def test_a_saved_value_that_is_no_object_counts_as_none() -> None:
    store = StateStore()
    store.set("key", ["a"])
    assert TaskState(task_context(store), "key").load() == {}


def test_a_store_that_cannot_be_reached_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    state = TaskState({"task_state_store": UnreachableStore()}, "key")
    with caplog.at_level(logging.WARNING, "compat"):
        assert state.load_if_possible(LOG) == {}
        state.save_if_possible({"a": 1}, LOG)
    assert caplog.messages == [
        "Could not load what an earlier process of this task saved; continuing without it: no API server",
        "Could not save the state of this wait; continuing without it: no API server",
    ]


def test_a_clear_changes_the_generation_and_a_retry_does_not() -> None:
    first, retried = task_context(try_number=1), task_context(try_number=2)
    assert get_generation(first) == get_generation(retried) != get_generation(task_context(max_tries=4))


@pytest.mark.parametrize("kind", [SyncStore, AsyncStore])
def test_an_asset_store_may_be_synchronous_or_not(kind: type[SyncStore]) -> None:
    stores = get_asset_stores(SimpleNamespace(asset_state_store=kind()))

    async def save_and_load() -> Any:
        await set_asset_state(stores, "key", "value")
        return await get_asset_state(stores, "key")

    assert asyncio.run(save_and_load()) == "value"


def test_a_trigger_of_an_older_airflow_has_no_stores() -> None:
    assert get_asset_stores(SimpleNamespace()) is None


def test_the_first_asset_of_a_task_keeps_a_value_that_its_next_task_finds() -> None:
    stores = {"orders": StateStore(), "invoices": StateStore()}

    class Stores:
        def __getitem__(self, asset: Any) -> StateStore:
            return stores[asset.name]

    context = {"asset_state_store": Stores()}
    assets = [AssetAlias("any"), Asset("orders"), Asset("invoices")]
    AssetState(context, assets, "key").save_if_possible([1, 2], None)
    assert AssetState(context, assets, "key").load_if_possible(None) == [1, 2]
    assert (bool(stores["orders"].values), bool(stores["invoices"].values)) == (True, False)


@pytest.mark.parametrize(("context", "assets"), [({}, [Asset("orders")]), ({"asset_state_store": {}}, [])])
def test_without_a_store_or_an_asset_no_value_is_kept(context: Any, assets: list[Any]) -> None:
    state = AssetState(context, assets, "key")
    state.save_if_possible([1], None)
    assert state.load_if_possible(None) is None


def test_an_asset_store_that_cannot_be_reached_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    state = AssetState({"asset_state_store": {}}, [Asset("orders")], "key")
    assert state.load_if_possible(LOG) is None
    state.save_if_possible([1], LOG)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
