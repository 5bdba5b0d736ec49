"""``make demo`` with and without an interrupt: it says what it does, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.first_steps.processes import Command
from tools.airflow_api import AirflowApi, AirflowError

pytestmark = pytest.mark.airflow

CHECKOUT = Path(__file__).resolve().parents[2]
OWN_TEMPORARY = CHECKOUT / ".demo" / "tmp"
TOUR_END = re.compile(r"\s+(http\S+/dags/portable_run_flow)$")


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Return what the demo takes for the system's temporary folder."""
    folder = tmp_path / "system"
    folder.mkdir()
    return folder


@pytest.fixture
def start(temporary: Path) -> Iterator[Callable[..., Command]]:
    """Return what starts the demo with options."""
    commands = []

    def start(*options: str) -> Command:
        env = os.environ | {"TMPDIR": str(temporary)}
        commands.append(Command([sys.executable, "-m", "tools.demo", *options], cwd=CHECKOUT, env=env))
        return commands[-1]

    yield start
    for command in commands:
        command.close()


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process is running; in a container, one that has ended may stay in the table."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def assert_nothing_is_left(descendants: list[psutil.Process], temporary: Path) -> None:
    assert descendants
    assert [process for process in descendants if is_alive(process)] == []
    assert [*temporary.iterdir()] == []
    assert not OWN_TEMPORARY.exists()


def log_in(text: str) -> AirflowApi:
    """Log in as the demo says."""
    found = re.search(r"Airflow is at (\S+) until Ctrl-C. User: (\S+), password: (\S+)", text)
    assert found
    url, user, password = found.groups()
    api = AirflowApi(url)
    api.credentials = (user, "wrong")
    with pytest.raises(AirflowError, match="401"):
        api.log_in()
    api.credentials = (user, password)
    api.log_in()
    return api


def test_a_demo_that_is_kept_can_be_looked_at_until_ctrl_c(start: Callable[..., Command], temporary: Path) -> None:
    demo = start("--keep")
    demo.read_until(TOUR_END.fullmatch)
    api = log_in(demo.text)
    # What the tour names exists.
    stops = re.findall(r"/dags/(\w+)/runs/([^/\s]+)(?:/tasks/(\w+))?", demo.text)
    assert len(stops) == 6
    for dag_id, run_id, task_id in stops:
        assert api.get_run_state(dag_id, run_id) in {"success", "failed"}
        assert not task_id or api.get_task_instance(dag_id, run_id, task_id).state
    assert f"  {api.url}/flowruns/" in demo.text
    page = api.get_page("/flowruns/")
    assert all(f"{service}_default" in page for service in ("portable", "activepieces", "tableflow"))
    # The sandbox's time passes, so that what somebody starts ends.
    run_id = api.trigger("activepieces_run_flow")
    assert api.wait_for_run("activepieces_run_flow", run_id, timeout=240) == "success"
    api.close()
    descendants = demo.list_descendants()
    assert demo.send_and_wait(signal.SIGINT) == 0, demo.text
    assert "All checks passed." in demo.lines[-1]
    assert_nothing_is_left(descendants, temporary)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_interrupted_ends_everything(
    start: Callable[..., Command], temporary: Path, number: signal.Signals
) -> None:
    demo = start()
    demo.read_until(lambda line: "loading the example DAGs" in line)
    descendants = demo.list_descendants()
    assert demo.send_and_wait(number) == 128 + number
    assert_nothing_is_left(descendants, temporary)
