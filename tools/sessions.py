"""Child processes that end for certain, together with everything they started themselves.

Airflow gives every task its own process group, so ending the scheduler's group leaves tasks behind. All of them
stay in the *session* of the component that started them, which is therefore what is counted and ended here.

Run as a script this file is the leash: it ends the sessions it was told about when its standard input closes, which
happens however its owner died, SIGKILL included.
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


def members(session_id: int) -> list[int]:
    """Return the ids of all living processes of a session."""
    return [pid for pid in psutil.pids() if _session_of(pid) == session_id and not _is_zombie(pid)]


def kill_members(session_id: int) -> None:
    """End every process of a session at once."""
    while pids := members(session_id):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:  # it was faster
                continue
        time.sleep(0.02)


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Leash:
    """A watcher process that ends the sessions it holds as soon as this process is gone."""

    def __init__(self) -> None:
        orders, mine = os.pipe()
        self._watcher = subprocess.Popen([sys.executable, __file__], stdin=orders, start_new_session=True)
        os.close(orders)
        self._orders = os.fdopen(mine, "w")

    def hold(self, session_id: int) -> None:
        """End this session too when the owner dies."""
        self._tell(f"+{session_id}")

    def release(self, session_id: int) -> None:
        """Forget a session that has ended."""
        self._tell(f"-{session_id}")

    def close(self) -> None:
        """Let go; whatever is still held ends now."""
        self._orders.close()
        self._watcher.wait()

    def _tell(self, line: str) -> None:
        print(line, file=self._orders, flush=True)


class Session:
    """One command as the leader of its own session, its output appended to a file."""

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], log: Path, leash: Leash) -> None:
        self.name = name
        self.log = log
        self._leash = leash
        with log.open("ab") as output:
            self._leader = subprocess.Popen(
                command,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        leash.hold(self.id)

    @property
    def id(self) -> int:
        """The session's id, which is its leader's process id."""
        return self._leader.pid

    @property
    def alive(self) -> bool:
        """Tell whether the leader is still running."""
        return self._leader.poll() is None

    def tail(self, lines: int = 25) -> str:
        """Return the last lines of the output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def terminate(self) -> None:
        """Ask the leader's process group to end, without waiting for it."""
        if self.alive:
            os.killpg(self.id, signal.SIGTERM)

    def kill(self) -> None:
        """End all of the session's processes at once."""
        kill_members(self.id)
        self._leader.wait()
        self._leash.release(self.id)

    def freeze(self, *, leader: bool = True) -> None:
        """Have the session's processes stand still, as in a paused virtual machine, until :meth:`thaw`.

        :param leader: whether the leader does so too; else only what it has started.
        """
        for pid in members(self.id):
            if leader or pid != self.id:
                os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the session's processes go on from where they were frozen."""
        for pid in members(self.id):
            os.kill(pid, signal.SIGCONT)

    def wait(self, deadline: float) -> None:
        """Wait until no process of the session is left, or until ``time.monotonic()`` passes the deadline."""
        while members(self.id) and time.monotonic() < deadline:
            time.sleep(0.05)


def _hold_until_closed(orders: IO[str]) -> None:
    held: set[int] = set()
    for order in orders:
        change = held.add if order.startswith("+") else held.discard
        change(int(order[1:]))
    for session_id in held:
        kill_members(session_id)


if __name__ == "__main__":
    _hold_until_closed(sys.stdin)
