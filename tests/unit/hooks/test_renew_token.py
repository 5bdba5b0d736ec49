"""A hook whose token is refused looks its connection up again, at most once a minute."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from airflow_provider_flowruns.hooks import base
from airflow_provider_flowruns.hooks.portable import PortableHook
from airflow_provider_flowruns.sandbox import Sandbox


def set_token(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    connection = {**json.loads(sandbox.connection_json("portable")), "password": token}
    monkeypatch.setenv("AIRFLOW_CONN_PORTABLE_DEFAULT", json.dumps(connection))


@pytest.fixture
def hook(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> PortableHook:
    set_token(sandbox, monkeypatch, "made-up-old-token")
    hook = PortableHook()
    hook.get_conn()
    return hook


@pytest.fixture
def a_minute_later(hook: PortableHook, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + base.RELOAD_INTERVAL_SECONDS)


def test_it_is_not_looked_up_again_within_a_minute(
    hook: PortableHook, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_token(sandbox, monkeypatch, "made-up-new-token")
    assert not hook.renew_token()
    assert hook.settings.token == "made-up-old-token"


@pytest.mark.usefixtures("a_minute_later")
def test_another_token_makes_another_client(
    hook: PortableHook, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hook.client
    set_token(sandbox, monkeypatch, "made-up-new-token")
    assert hook.renew_token()
    assert hook.client is not before
    assert hook.client.settings.token == hook.settings.token == "made-up-new-token"


@pytest.mark.usefixtures("a_minute_later")
def test_the_same_token_changes_nothing_and_is_not_read_at_every_poll(
    hook: PortableHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, look_up = hook.client, hook.get_connection
    looked_up: list[str] = []

    def counted(conn_id: str) -> Any:
        looked_up.append(conn_id)
        return look_up(conn_id)

    monkeypatch.setattr(PortableHook, "get_connection", staticmethod(counted))
    assert [hook.renew_token() for _ in range(5)] == [False] * 5
    assert looked_up == ["portable_default"]
    assert hook.client is client


@pytest.mark.usefixtures("a_minute_later")
@pytest.mark.parametrize("value", ["", "{}", '{"conn_type": "portable"}'])
def test_a_connection_that_cannot_be_read_just_now_leaves_the_old_one(
    value: str, hook: PortableHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = hook.client
    monkeypatch.setenv("AIRFLOW_CONN_PORTABLE_DEFAULT", value)
    assert not hook.renew_token()
    assert hook.client is client


@pytest.mark.usefixtures("a_minute_later")
def test_the_settings_are_there_while_the_connection_is_looked_up(
    hook: PortableHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill interrupts the look-up and must not look up the connection itself: that never returns."""
    seen: list[Any] = []

    def interrupted(conn_id: str) -> Any:
        seen.append(hook.__dict__["settings"].token)
        raise LookupError(conn_id)

    monkeypatch.setattr(PortableHook, "get_connection", staticmethod(interrupted))
    assert not hook.renew_token()
    assert seen == ["made-up-old-token"]
