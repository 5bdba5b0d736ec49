"""Cancelling a run is completed although Airflow cancels the trigger repeatedly."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_flowruns.triggers.flow_run import _await_despite_cancellation


def test_repeated_cancellation_does_not_stop_it() -> None:
    done: list[str] = []

    async def work() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        done.append("cancelled the run")

    async def killed() -> None:
        kill = asyncio.create_task(_await_despite_cancellation(work()))
        for _ in range(4):
            await asyncio.sleep(0)
            kill.cancel()
        await kill

    asyncio.run(killed())
    assert done == ["cancelled the run"]


def test_its_error_is_not_lost() -> None:
    async def work() -> None:
        raise LookupError("no such run")

    with pytest.raises(LookupError):
        asyncio.run(_await_despite_cancellation(work()))
