"""An Airflow connection is read alike by a hook in the worker and by a trigger, and so is what is wrong with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import BaseHook, Connection
from airflow.secrets.local_filesystem import LocalFilesystemBackend

from airflow_provider_flowruns.client.clock import Clock
from airflow_provider_flowruns.client.settings import Settings
from airflow_provider_flowruns.hooks.connection import parse_connection, prepare_extra
from airflow_provider_flowruns.hooks.portable import PortableHook
from airflow_provider_flowruns.model.errors import ConfigurationError, RequestNotSentError
from airflow_provider_flowruns.model.targets import FlowStatusTarget
from airflow_provider_flowruns.polling.run_waiter import RunWaiter
from airflow_provider_flowruns.polling.wait_state import WaitConfig
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.triggers import connection
from airflow_provider_flowruns.triggers.connection import async_settings
from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger
from tests.airflow_versions import HIDES_BAD_EXTRA

NAME = "AIRFLOW_CONN_MY_CONN"
TOKEN = "made-up-token-0123456789"
NO_CONNECTION = "connection 'my_conn' is not defined for this process, or not in a form that Airflow can read"


def in_trigger() -> Settings:
    return asyncio.run(async_settings("portable", "my_conn"))


def in_worker() -> Settings:
    return PortableHook("my_conn").settings


in_each_mode = pytest.mark.parametrize("read", [in_worker, in_trigger])


def stored(**fields: Any) -> str:
    return json.dumps({"conn_type": "portable", "password": TOKEN, **fields})


@in_each_mode
@pytest.mark.parametrize(
    "extra", ["[]", "[1]", '"x"', "1", "true", "null", "{", "timeout=5", '{"timeout": 5', [1], "NaN"]
)
def test_an_extra_that_is_no_json_object_is_refused(monkeypatch, read: Callable[[], Settings], extra: Any) -> None:
    monkeypatch.setenv(NAME, stored(extra=extra))
    with pytest.raises(ConfigurationError) as raised:
        read()
    expected = NO_CONNECTION if HIDES_BAD_EXTRA else "connection 'my_conn': extra must be a JSON object"
    assert str(raised.value).startswith(f"FR302: {expected}")


@in_each_mode
@pytest.mark.parametrize(
    "extra", [None, "", *([] if HIDES_BAD_EXTRA else [" "]), "{}", {}, [], '{"timeout": 5}', {"timeout": 5}]
)
def test_an_extra_that_is_empty_or_an_object_is_read(monkeypatch, read: Callable[[], Settings], extra: Any) -> None:
    monkeypatch.setenv(NAME, stored(extra=extra))
    assert read().timeout == (5 if extra and "timeout" in extra else 30)


@pytest.mark.parametrize("extra", [{}, {"timeout": 5}])
def test_an_extra_in_the_file_of_a_secrets_backend_is_read(tmp_path: Path, extra: dict[str, Any]) -> None:
    file = tmp_path / "connections.json"
    file.write_text(json.dumps({"my_conn": {"conn_type": "portable", "password": TOKEN, "extra": extra}}))
    saved = LocalFilesystemBackend(connections_file_path=str(file)).get_connection("my_conn")
    assert saved
    prepare_extra("my_conn", saved)
    assert parse_connection("portable", "my_conn", saved, saved.extra_dejson).timeout == extra.get("timeout", 30)


@pytest.mark.parametrize("extra", [{}, {"timeout": 5}])
def test_an_extra_that_airflow_left_an_object_is_read(extra: dict[str, Any]) -> None:
    saved = Connection(conn_id="my_conn", conn_type="portable", password=TOKEN)
    saved.extra = extra  # type: ignore[assignment]
    prepare_extra("my_conn", saved)
    assert parse_connection("portable", "my_conn", saved, saved.extra_dejson).timeout == extra.get("timeout", 30)


@in_each_mode
def test_a_connection_that_is_not_there_is_named(monkeypatch, read: Callable[[], Settings]) -> None:
    monkeypatch.delenv(NAME, raising=False)
    with pytest.raises(ConfigurationError, match="connection 'my_conn' is not defined"):
        read()


@in_each_mode
@pytest.mark.parametrize(
    "value",
    [
        stored(port="https"),
        f'{{"conn_type": "portable", "password": "{TOKEN}"',
        f"portable://:{TOKEN}@flows.example.com:99999999/",
        f"portable://:{TOKEN}@[::1/",
    ],
)
def test_a_connection_that_airflow_cannot_read_is_named_without_its_token(
    monkeypatch, read: Callable[[], Settings], value: str
) -> None:
    monkeypatch.setenv(NAME, value)
    with pytest.raises(ConfigurationError, match="connection 'my_conn'") as raised:
        read()
    assert TOKEN not in f"{raised.value} {raised.value.__cause__!r}"


@in_each_mode
@pytest.mark.parametrize("address", ["[::1]", "[2001:db8::7]"])
@pytest.mark.parametrize("port", ["", ":8443"])
def test_an_ipv6_address_in_a_uri(monkeypatch, read: Callable[[], Settings], address: str, port: str) -> None:
    monkeypatch.setenv(NAME, f"portable://:{TOKEN}@{address}{port}/?timeout=5")
    assert read().base_url == f"https://{address}{port}"


@pytest.mark.parametrize("error", [RuntimeError("away"), OSError("away"), TimeoutError(), KeyError("away")])
def test_an_airflow_that_cannot_be_asked_is_trouble_that_may_pass(monkeypatch, error: Exception) -> None:
    def fail(*_: Any) -> None:
        raise error

    async def fail_later(*_: Any) -> None:
        raise error

    monkeypatch.setattr(BaseHook, "get_connection", fail)
    monkeypatch.setattr(connection, "get_async_connection", fail_later)
    for read in (in_worker, in_trigger):
        with pytest.raises(RequestNotSentError, match="Airflow could not read connection 'my_conn'"):
            read()


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"verify": "/only/in/the/workers/image.pem"}, "extra 'verify' names '/only/in/the/workers/image.pem'"),
        ({"proxies": {"all": "http://jo:hunter2@[bad"}}, "extra 'proxies'"),
        ("[]x", NO_CONNECTION if HIDES_BAD_EXTRA else "extra must be a JSON object"),
    ],
)
def test_a_wait_ends_with_what_the_triggerers_machine_lacks(monkeypatch, extra: Any, named: str) -> None:
    monkeypatch.setattr(FlowRunTrigger, "first_wait", (0.0, 0.1))
    now = Clock().now()
    config = WaitConfig(target=FlowStatusTarget("portable", "5"), interval_seconds=0.1, deadline_at=now + 60)
    trigger = FlowRunTrigger(conn_id="my_conn", waiter=RunWaiter(config, now).to_json())

    async def fired() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    with Sandbox(tls=True) as sandbox:
        monkeypatch.setenv(NAME, stored(host=sandbox.portable.url, extra=extra))
        (payload,) = asyncio.run(fired())
    assert (payload["outcome"], payload["error"]["class"]) == ("refused", "ConfigurationError")
    assert named in payload["error"]["args"][0]
    assert "hunter2" not in json.dumps(payload)
