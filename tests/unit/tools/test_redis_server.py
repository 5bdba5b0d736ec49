"""The Redis server for tests is private, keeps its data when it restarts, and is removed afterwards."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import psutil
import pytest

from tools import redis_server as tool
from tools.celery_airflow import list_missing_packages
from tools.redis_server import RedisError, RedisServer


def send(server: RedisServer, *commands: str) -> list[str]:
    """Return the first line of each reply."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall("".join(f"{command}\r\n" for command in commands).encode())
        reader = connection.makefile()
        return [reader.readline().strip() for _ in commands]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    if tool.find_server() is None:
        pytest.skip(tool.NOT_INSTALLED)
    with RedisServer() as server:
        yield server


def test_it_requires_its_password(server: RedisServer) -> None:
    (reply,) = send(server, "GET key")
    assert reply.startswith("-NOAUTH")


def test_it_listens_on_the_loopback_only(server: RedisServer) -> None:
    listening = [one.laddr for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
    assert {address.ip for address in listening if address.port == server.port} == {"127.0.0.1"}


def test_its_data_survives_a_restart(server: RedisServer) -> None:
    assert send(server, f"AUTH {server.password}", "SET key 15") == ["+OK", "+OK"]
    server.shut_down()
    with pytest.raises(ConnectionRefusedError):
        send(server, "PING")
    server.start()
    assert send(server, f"AUTH {server.password}", "INCR key") == ["+OK", ":16"]


def test_what_is_not_installed_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert tool.NOT_INSTALLED in list_missing_packages()
    with pytest.raises(RedisError, match="apt-get install redis-server"), RedisServer():
        pass
