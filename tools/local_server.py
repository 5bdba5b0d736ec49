"""A private server for tests, with its own folder, port and password, removed after the ``with`` block."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from signal import Signals
from types import TracebackType
from typing import ClassVar, Self

from tools.ports import find_free_port
from tools.process_groups import ProcessTree, Watchdog

STOP_SECONDS = 10.0


class LocalServer(ABC):
    """A server on 127.0.0.1 that runs during the ``with`` block. Its data survives a restart within the block."""

    #: Its name in messages.
    title: ClassVar[str]
    #: The signal that stops it in an orderly way.
    stop_signal: ClassVar[Signals]
    #: Time in seconds for its start.
    start_seconds: ClassVar[float] = 60.0
    #: What is raised if it cannot be set up or started.
    error: ClassVar[type[Exception]]

    def __init__(self) -> None:
        self.port = find_free_port()
        self.password = secrets.token_hex(16)
        self._folder = Path(tempfile.mkdtemp(prefix=f"{self.title.lower()}-"))
        self._command: list[str] = []
        self._watchdog: Watchdog | None = None
        self._process: ProcessTree | None = None

    def __enter__(self) -> Self:
        try:
            self._command = self._create()
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

    def start(self) -> None:
        """Start the server again after :meth:`shut_down`, and return when it accepts connections."""
        if self._watchdog is None:
            raise self.error("The server runs only inside its with statement.")
        self._process = process = ProcessTree(
            self.title, self._command, os.environ, self._folder / "server.log", self._watchdog
        )
        deadline = time.monotonic() + self.start_seconds
        while not self._is_ready():
            if not process.is_alive or time.monotonic() > deadline:
                raise self.error(f"The server did not start:\n{process.read_log_tail()}")
            time.sleep(0.1)

    def shut_down(self) -> None:
        """Stop the server and keep its data."""
        if self._process is None:
            return
        if self._process.is_alive:
            os.kill(self._process.id, self.stop_signal)
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

    @abstractmethod
    def _create(self) -> list[str]:
        """Prepare the folder, and return the command that starts the server."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Return whether the server accepts connections."""
