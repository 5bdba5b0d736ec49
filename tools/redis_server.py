"""A private Redis server for tests, with its own folder, port and password, removed after the ``with`` block."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.ports import find_free_port
from tools.process_groups import ProcessTree, Watchdog

NOT_INSTALLED = "Redis is not installed (apt-get install redis-server)"

START_SECONDS, STOP_SECONDS = 60.0, 10.0


class RedisError(Exception):
    """The server could not be started."""


def find_server() -> str | None:
    """Return the path of ``redis-server``, or None if Redis is not installed."""
    return shutil.which("redis-server")


class RedisServer:
    """A Redis server on 127.0.0.1 that runs during the ``with`` block. Its data survives a restart."""

    def __init__(self) -> None:
        self.port = find_free_port()
        self.password = secrets.token_hex(16)
        self._folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self._watchdog: Watchdog | None = None
        self._process: ProcessTree | None = None

    def __enter__(self) -> Self:
        try:
            self._watchdog = Watchdog()
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The URL of the server's first database."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the server, and return when it accepts connections."""
        program = find_server()
        if program is None:
            raise RedisError(NOT_INSTALLED)
        if self._watchdog is None:
            raise RedisError("The server runs only inside its with statement.")
        # In a file, because everyone can read a command line.
        settings = self._folder / "redis.conf"
        settings.write_text(
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\ndir {self._folder}\nappendonly yes\n"
        )
        self._process = process = ProcessTree(
            "Redis", [program, str(settings)], os.environ, self._folder / "server.log", self._watchdog
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if not process.is_alive or time.monotonic() > deadline:
                raise RedisError(f"The server did not start:\n{process.read_log_tail()}")
            time.sleep(0.1)

    def shut_down(self) -> None:
        """Stop the server and keep its data."""
        if self._process is None:
            return
        if self._process.is_alive:
            os.kill(self._process.id, signal.SIGTERM)
            self._process.wait(time.monotonic() + STOP_SECONDS)
        self._process.kill()
        self._process = None

    def stop(self) -> None:
        """Stop the server and remove its data."""
        self.shut_down()
        if self._watchdog is not None:
            self._watchdog.close()
            self._watchdog = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _is_ready(self) -> bool:
        """Return whether the server answers; until it has loaded its data, it returns an error."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                reply = b""
                while reply.count(b"\r\n") < 2 and (received := connection.recv(1024)):
                    reply += received
        except OSError:
            return False
        return reply == b"+OK\r\n+PONG\r\n"
