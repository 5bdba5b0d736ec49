"""What a session started ends with it, however that end comes about."""

import os
import signal
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
import time
from pathlib import Path

import psutil
import pytest

from tools.sessions import Leash, Session, members

# A leader with a child in a process group of its own, as Airflow's task runner makes one for each task.
LEADER = """
import os, time
if os.fork() == 0:
    os.setpgid(0, 0)
print("up", flush=True)
time.sleep(600)
"""

OWNER = """
import os, sys, time
from pathlib import Path
from tools.sessions import Leash, Session
session = Session("leader", [sys.executable, "-c", sys.argv[1]], os.environ, Path(sys.argv[2]), Leash())
print(session.id, flush=True)
time.sleep(600)
"""


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def leash():
    leash = Leash()
    yield leash
    leash.close()


@pytest.fixture
def session(tmp_path: Path, leash: Leash) -> Session:
    session = Session("leader", [sys.executable, "-c", LEADER], os.environ, tmp_path / "out.log", leash)
    wait_until(lambda: session.tail().count("up") == 2)
    return session


def test_kill_reaches_a_child_in_its_own_process_group(session: Session) -> None:
    assert len(members(session.id)) == 2
    session.kill()
    assert not members(session.id)
    assert not session.alive


def test_terminate_reaches_only_the_leaders_group_and_wait_stops_at_its_deadline(session: Session) -> None:
    session.terminate()
    session.wait(time.monotonic() + 0.2)
    wait_until(lambda: not session.alive)
    assert len(members(session.id)) == 1
    session.kill()
    assert not members(session.id)


def stopped(session: Session) -> set[bool]:
    return {psutil.Process(pid).status() == psutil.STATUS_STOPPED for pid in members(session.id)}


def test_a_frozen_session_stands_still_as_a_whole_and_can_be_killed(session: Session) -> None:
    session.freeze()
    wait_until(lambda: stopped(session) == {True})
    session.thaw()
    wait_until(lambda: stopped(session) == {False})
    session.freeze()
    session.kill()
    assert not members(session.id)


def test_the_leader_can_be_left_out(session: Session) -> None:
    session.freeze(leader=False)
    wait_until(lambda: stopped(session) == {True, False})
    assert psutil.Process(session.id).status() != psutil.STATUS_STOPPED


def test_closing_the_leash_ends_what_it_still_holds(session: Session, leash: Leash) -> None:
    leash.close()
    assert not members(session.id)


def test_a_released_session_is_left_alone(session: Session, leash: Leash) -> None:
    leash.release(session.id)
    leash.close()
    assert len(members(session.id)) == 2
    kill = Leash()
    kill.hold(session.id)
    kill.close()


def test_sessions_end_when_their_owner_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "out.log"
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, LEADER, str(log)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    with owner:
        assert owner.stdout
        session_id = int(owner.stdout.readline())
        wait_until(lambda: log.read_text().count("up") == 2)
        os.kill(owner.pid, signal.SIGKILL)
    wait_until(lambda: not members(session_id))
    assert not psutil.pid_exists(session_id) or psutil.Process(session_id).status() == psutil.STATUS_ZOMBIE
