"""Tasks of one machine start a Portable flow one after the other, each within its own timeout."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import filelock
import pytest

from airflow_provider_flowruns.hooks.portable import PortableHook
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.tasks import start_lock as lock_module
from airflow_provider_flowruns.tasks.start_lock import StartLockTimeout, hold_start_lock
from airflow_provider_flowruns.testing.task_modes import run_task, task_context
from tests.faults.starts import Make, add_flow, started


def use_folder(monkeypatch: pytest.MonkeyPatch, folder: str | None) -> None:
    """Let the lock, and nothing else, have its files in a folder; None for a machine that has none."""

    def gettempdir() -> str:
        if folder is None:
            raise FileNotFoundError(2, "No usable temporary directory found")
        return folder

    monkeypatch.setattr(lock_module, "tempfile", SimpleNamespace(gettempdir=gettempdir))


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    use_folder(monkeypatch, str(tmp_path))
    return tmp_path


def test_a_second_holder_waits_for_the_first(folder: Path) -> None:
    order: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with hold_start_lock("flow", timeout=30.0):
            inside.set()
            leave.wait(30.0)
            order.append("first")

    def second() -> None:
        inside.wait(30.0)
        threading.Timer(0.2, leave.set).start()
        with hold_start_lock("flow", timeout=30.0):
            order.append("second")

    with ThreadPoolExecutor(2) as threads:
        for done in (threads.submit(second), threads.submit(first)):
            done.result(60.0)
    assert order == ["first", "second"]


def test_other_flows_do_not_wait(folder: Path) -> None:
    with hold_start_lock("one", timeout=1.0), hold_start_lock("other", timeout=1.0) as problem:
        assert problem is None


def test_no_task_waits_longer_than_the_timeout(folder: Path) -> None:
    with hold_start_lock("flow", timeout=1.0), pytest.raises(StartLockTimeout), hold_start_lock("flow", timeout=0.2):
        pytest.fail("two at a time")


def test_an_error_of_the_holder_frees_the_lock(folder: Path) -> None:
    with pytest.raises(KeyError), hold_start_lock("flow", timeout=1.0):
        raise KeyError
    with hold_start_lock("flow", timeout=0.2) as problem:
        assert problem is None


def test_the_lock_file_is_for_this_user_alone(folder: Path) -> None:
    with hold_start_lock("flow", timeout=1.0):
        (path,) = folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_in_the_place_of_the_file_is_not_followed(folder: Path, tmp_path: Path) -> None:
    with hold_start_lock("flow", timeout=1.0):
        (path,) = folder.iterdir()
    path.unlink()
    path.symlink_to(tmp_path / "other_file")
    with hold_start_lock("flow", timeout=1.0) as problem:
        assert problem is not None
    assert not (tmp_path / "other_file").exists()


@pytest.mark.parametrize("error", [NotImplementedError("flock"), OSError(errno.ENOLCK, "No locks available")])
def test_a_file_system_without_locks_is_said_so_and_the_body_runs(
    error: Exception, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", fail)
    with hold_start_lock("flow", timeout=1.0) as problem:
        assert problem == f"{type(error).__name__}: {error}"
    with pytest.raises(KeyError) as raised, hold_start_lock("flow", timeout=1.0):
        raise KeyError
    assert raised.value.__context__ is None


# -- starts


@pytest.fixture
def held(sandbox: Sandbox, folder: Path) -> Iterator[object]:
    """A flow that another task of this machine is starting, and does not get done with."""
    flow = add_flow(sandbox, "portable")
    with hold_start_lock(PortableHook().settings.base_url, str(flow.id), timeout=1.0):
        yield flow


def test_a_task_that_does_not_get_its_turn_in_time_says_so(held: object, sandbox: Sandbox, operator: Make) -> None:
    end = run_task(operator("portable", held, timeout=0.5), task_context())
    assert (end.error, started(sandbox, held)) == ("FlowRunTimeout", [])
    assert "other tasks of this machine were starting it" in end.message
    assert "raise timeout" in end.message


def test_a_start_that_does_not_show_holds_up_the_next_one_for_a_moment_only(
    sandbox: Sandbox, folder: Path, operator: Make
) -> None:
    """The first one keeps polling for its run, without the lock."""
    flow = add_flow(sandbox, "portable", visible_after=60.0)
    with ThreadPoolExecutor(3) as threads:
        ends = list(threads.map(lambda n: run_task(operator("portable", flow), task_context(map_index=n)), range(3)))
    assert {end.error for end in ends} == {"FlowRunUnobservable"}
    posts = [one.time for one in sandbox.ledger.requests if one.method == "POST"]
    assert len(posts) == 3
    assert posts[-1] < max(one.time for one in sandbox.ledger.requests if one.method == "GET") - 1.0


@pytest.mark.parametrize("folder", ["/proc/no-such-folder", "/proc", None])
def test_without_a_folder_for_the_lock_a_start_goes_on_and_says_so(
    folder: str | None,
    sandbox: Sandbox,
    operator: Make,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    use_folder(monkeypatch, folder)
    flow = add_flow(sandbox, "portable")
    end = run_task(operator("portable", flow), task_context())
    assert (end.state, started(sandbox, flow)) == ("success", [end.xcom["run_id"]]), end
    assert "set TMPDIR to a folder that the worker can write to" in "".join(capfd.readouterr())
