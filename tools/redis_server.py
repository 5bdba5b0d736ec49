"""A private Redis server for tests, with its own folder, port and password, removed after the ``with`` block."""

from __future__ import annotations

import shutil
import signal
import socket

from tools.local_server import LocalServer

NOT_INSTALLED = "Redis is not installed (apt-get install redis-server)"


class RedisError(Exception):
    """The server could not be started."""


def find_server() -> str | None:
    """Return the path of ``redis-server``, or None if Redis is not installed."""
    return shutil.which("redis-server")


class RedisServer(LocalServer):
    """A Redis server on 127.0.0.1 that runs during the ``with`` block. Its data survives a restart."""

    title = "Redis"
    stop_signal = signal.SIGTERM
    error = RedisError

    @property
    def url(self) -> str:
        """The URL of the server's first database."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def _create(self) -> list[str]:
        program = find_server()
        if program is None:
            raise RedisError(NOT_INSTALLED)
        # In a file, because everyone can read a command line.
        settings = self._folder / "redis.conf"
        settings.write_text(
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\ndir {self._folder}\nappendonly yes\n"
        )
        return [program, str(settings)]

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
