"""Child processes that end reliably, together with everything they have started.

Airflow gives every task its own process group, so ending the scheduler's group would leave the tasks running. All of
them stay in the POSIX session of the component that started them. Processes are therefore found and ended by session.

Run as a script, this file is the watchdog process: it ends the sessions registered with it when its standard input
closes. That happens no matter how its owner ended, SIGKILL included.
"""

from __future__ import annotations

import os
import signal
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil


def list_process_ids(session_id: int) -> list[int]:
    """Return the ids of all living processes of a session."""
    return [pid for pid in psutil.pids() if _get_session_id(pid) == session_id and not _is_zombie(pid)]


def kill_session(session_id: int) -> None:
    """Kill every process of a session."""
    while pids := list_process_ids(session_id):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:  # it has ended in the meantime
                continue
        time.sleep(0.02)


def _get_session_id(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Watchdog:
    """A separate process that ends the registered sessions as soon as this process has ended."""

    def __init__(self) -> None:
        read_end, write_end = os.pipe()
        self._process = subprocess.Popen([sys.executable, __file__], stdin=read_end, start_new_session=True)
        os.close(read_end)
        self._commands = os.fdopen(write_end, "w")

    def register(self, session_id: int) -> None:
        """End this session when the owner dies."""
        self._send(f"+{session_id}")

    def unregister(self, session_id: int) -> None:
        """Forget a session that has ended."""
        self._send(f"-{session_id}")

    def close(self) -> None:
        """Stop the watchdog, which ends all sessions that are still registered."""
        self._commands.close()
        self._process.wait()

    def _send(self, command: str) -> None:
        print(command, file=self._commands, flush=True)


class ProcessTree:
    """A command that leads its own session, and everything it starts. Its output is appended to a file."""

    def __init__(
        self, name: str, command: Sequence[str], env: Mapping[str, str], log: Path, watchdog: Watchdog
    ) -> None:
        self.name = name
        self.log = log
        self._watchdog = watchdog
        with log.open("ab") as output:
            self._leader = subprocess.Popen(
                command,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        watchdog.register(self.id)

    @property
    def id(self) -> int:
        """The session id, which is the leader's process id."""
        return self._leader.pid

    @property
    def is_alive(self) -> bool:
        """Whether the leader is still running."""
        return self._leader.poll() is None

    def read_log_tail(self, lines: int = 25) -> str:
        """Return the last lines of the output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def terminate(self) -> None:
        """Send SIGTERM to the leader's process group, without waiting for it to end."""
        if self.is_alive:
            os.killpg(self.id, signal.SIGTERM)

    def kill(self) -> None:
        """Kill all processes of the session."""
        kill_session(self.id)
        self._leader.wait()
        self._watchdog.unregister(self.id)

    def suspend(self, *, leader: bool = True) -> None:
        """Suspend the session's processes, as if their virtual machine were paused, until :meth:`resume`.

        :param leader: suspend the leader too, and not only the processes it has started.
        """
        for pid in list_process_ids(self.id):
            if leader or pid != self.id:
                os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Resume the session's suspended processes."""
        for pid in list_process_ids(self.id):
            os.kill(pid, signal.SIGCONT)

    def wait(self, deadline: float) -> None:
        """Wait until all processes of the session have ended, or until ``time.monotonic()`` reaches the deadline."""
        while list_process_ids(self.id) and time.monotonic() < deadline:
            time.sleep(0.05)


def _kill_registered_sessions_at_end(commands: IO[str]) -> None:
    session_ids: set[int] = set()
    for command in commands:
        update = session_ids.add if command.startswith("+") else session_ids.discard
        update(int(command[1:]))
    for session_id in session_ids:
        kill_session(session_id)


if __name__ == "__main__":
    _kill_registered_sessions_at_end(sys.stdin)
