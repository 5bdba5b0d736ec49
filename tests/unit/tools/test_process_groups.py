"""All processes of a session end with it, no matter how it ends."""

import os
import signal
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
import time
from pathlib import Path

import psutil
import pytest

from tools.process_groups import ProcessTree, Watchdog, list_process_ids

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
from tools.process_groups import Watchdog, ProcessTree
tree = ProcessTree("leader", [sys.executable, "-c", sys.argv[1]], os.environ, Path(sys.argv[2]), Watchdog())
print(tree.id, flush=True)
time.sleep(600)
"""


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def watchdog():
    watchdog = Watchdog()
    yield watchdog
    watchdog.close()


@pytest.fixture
def tree(tmp_path: Path, watchdog: Watchdog) -> ProcessTree:
    tree = ProcessTree("leader", [sys.executable, "-c", LEADER], os.environ, tmp_path / "out.log", watchdog)
    wait_until(lambda: tree.read_log_tail().count("up") == 2)
    return tree


def test_kill_reaches_a_child_in_its_own_process_group(tree: ProcessTree) -> None:
    assert len(list_process_ids(tree.id)) == 2
    tree.kill()
    assert not list_process_ids(tree.id)
    assert not tree.is_alive


def test_terminate_reaches_only_the_leaders_group_and_wait_ends_at_its_deadline(tree: ProcessTree) -> None:
    tree.terminate()
    tree.wait(time.monotonic() + 0.2)
    wait_until(lambda: not tree.is_alive)
    assert len(list_process_ids(tree.id)) == 1
    tree.kill()
    assert not list_process_ids(tree.id)


def get_stopped_flags(tree: ProcessTree) -> set[bool]:
    return {psutil.Process(pid).status() == psutil.STATUS_STOPPED for pid in list_process_ids(tree.id)}


def test_all_processes_are_suspended_and_can_be_killed(tree: ProcessTree) -> None:
    tree.suspend()
    wait_until(lambda: get_stopped_flags(tree) == {True})
    tree.resume()
    wait_until(lambda: get_stopped_flags(tree) == {False})
    tree.suspend()
    tree.kill()
    assert not list_process_ids(tree.id)


def test_suspend_can_exclude_the_leader(tree: ProcessTree) -> None:
    tree.suspend(leader=False)
    wait_until(lambda: get_stopped_flags(tree) == {True, False})
    assert psutil.Process(tree.id).status() != psutil.STATUS_STOPPED


def test_closing_the_leash_ends_what_it_still_holds(tree: ProcessTree, watchdog: Watchdog) -> None:
    watchdog.close()
    assert not list_process_ids(tree.id)


def test_an_unregistered_session_keeps_running(tree: ProcessTree, watchdog: Watchdog) -> None:
    watchdog.unregister(tree.id)
    watchdog.close()
    assert len(list_process_ids(tree.id)) == 2
    other = Watchdog()
    other.register(tree.id)
    other.close()


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
    wait_until(lambda: not list_process_ids(session_id))
    assert not psutil.pid_exists(session_id) or psutil.Process(session_id).status() == psutil.STATUS_ZOMBIE
