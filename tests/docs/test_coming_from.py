"""The DAGs on the pages for users of other providers, and of loops of their own: before and after."""

from __future__ import annotations

import os
import re
import runpy
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns.operators.activepieces import ActivepiecesRunFlowOperator
from airflow_provider_flowruns.operators.portable import PortableRunFlowOperator
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor
from airflow_provider_flowruns.tasks.peer_arguments import _OUR_NAMES

DOCS = Path(__file__).resolve().parents[2] / "docs"
EXAMPLES = DOCS / "examples" / "coming_from"
PAGE = (DOCS / "coming-from" / "other-providers.md").read_text("utf-8")

#: The classes of the tasks of each DAG that is shown as what to write here.
AFTER: dict[str, dict[str, type[Any]]] = {
    "http_operator": {"load": ActivepiecesRunFlowOperator},
    "http_sensor": {"wait_for_orders": PortableFlowSensor},
    "loop": {"load": PortableRunFlowOperator},
    "other_providers": {"load": PortableRunFlowOperator},
}
NAMES = re.compile(r"`(\w+)`")
#: What no provider of the page calls an argument.
OF_OTHERS = {
    "poke_interval",
    "polling_interval",
    "polling_interval_seconds",
    "polling_period_seconds",
    "waiter_delay",
}
#: Packages that the DAGs which are shown as what was before import, beside Airflow.
PEERS = ["apache-airflow-providers-dbt-cloud", "apache-airflow-providers-http"]


@pytest.mark.parametrize("name", AFTER)
def test_a_dag_that_is_shown_has_the_tasks(name) -> None:
    dag = runpy.run_path(str(EXAMPLES / f"{name}.py"))["dag"]
    assert {task_id: type(dag.task_dict[task_id]) for task_id in AFTER[name]} == AFTER[name]


def test_every_example_is_tested_and_has_one_before() -> None:
    before = {"dbt_cloud" if name == "other_providers" else name for name in AFTER}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*AFTER}
    assert {path.stem for path in (EXAMPLES / "before").glob("*.py")} == before


@pytest.mark.nightly
def test_the_dags_of_before_can_be_parsed_with_the_providers_that_they_use(tmp_path) -> None:
    peers = tmp_path / "peers"
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--target", str(peers), *PEERS]
    subprocess.run(install, check=True, capture_output=True)
    for path in sorted((EXAMPLES / "before").glob("*.py")):
        subprocess.run(
            [sys.executable, str(path)], env={**os.environ, "PYTHONPATH": str(peers)}, check=True, capture_output=True
        )


def test_the_table_names_each_argument_that_is_recognized() -> None:
    rows = re.findall(r"^\| (.*) \| (.*?) \|$", PAGE.partition("\n## Arguments\n")[2], flags=re.MULTILINE)
    named = {(name, ours) for theirs, here in rows for name in NAMES.findall(theirs) for ours in NAMES.findall(here)}
    assert {pair for pair in _OUR_NAMES.items() if pair[0] not in OF_OTHERS} <= named


# -- what the pages say about a loop


@pytest.fixture
def load(sandbox: Sandbox) -> Any:
    """Return the function of the task that starts a flow and waits in a loop."""
    sandbox.portable.add_flow("Orders", flow_id=568101)
    dag = runpy.run_path(str(EXAMPLES / "before" / "loop.py"))["dag"]
    return dag.task_dict["load"].python_callable


def test_the_loop_returns_the_rows_of_a_run_that_succeeds(sandbox, load) -> None:
    sandbox.portable.flows[0].next_run([(0, "SUCCEEDED")])
    assert load() > 0


def test_a_retry_of_the_loop_starts_a_second_run(sandbox, load) -> None:
    sandbox.portable.flows[0].next_run([(0, "SUCCEEDED")], always=True)
    sandbox.faults.add("accept_then_reset", method="POST", path="/run$", times=1)
    with pytest.raises(OSError, match="Connection"):
        load()
    load()
    assert len(sandbox.ledger.started) == 2


def test_an_error_of_the_service_ends_the_loop_while_the_run_continues(sandbox, load) -> None:
    sandbox.portable.flows[0].next_run([(0, "RUNNING")])
    sandbox.faults.add("status", path="/status$", status=503, times=1)
    with pytest.raises(OSError, match="503"):
        load()
    assert [run.ended_at for run in sandbox.portable.flows[0].runs] == [None]
