"""The tour of a demo that was left up names what the demo has run."""

from __future__ import annotations

import re

import pytest

from tools.demo import EXPECTED
from tools.demo_tour import STOPS, Stop, build_tour

DAG_STOPS = [stop for stop in STOPS if stop.path.startswith("/dags/")]


def test_the_only_other_stop_is_the_page() -> None:
    assert [stop.path for stop in STOPS if stop not in DAG_STOPS] == ["/flowruns/"]


@pytest.mark.parametrize("stop", DAG_STOPS, ids=lambda stop: stop.path)
def test_every_dag_is_in_the_demo(stop: Stop) -> None:
    found = re.match(r"/dags/(\w+)(?:/runs/{run_id})?(?:/tasks/(\w+))?", stop.path)
    assert found
    dag_id, task_id = found.groups()
    assert dag_id in EXPECTED
    assert task_id is None or task_id in EXPECTED[dag_id]
    assert ("{run_id}" in stop.path) == bool(stop.dag_id)
    assert stop.dag_id in {"", dag_id}


def test_it_says_how_to_log_in_and_leads_to_the_runs_of_the_demo() -> None:
    runs = {dag_id: f"run_of_{dag_id}" for dag_id in EXPECTED}
    text = build_tour("http://127.0.0.1:1", "http://127.0.0.1:2", "admin", "a-password", runs)
    assert "Airflow is at http://127.0.0.1:1 until Ctrl-C. User: admin, password: a-password" in text
    assert "The sandbox is at http://127.0.0.1:2" in text
    assert "http://127.0.0.1:1/dags/portable_failed_run/runs/run_of_portable_failed_run/tasks/contacts_loaded" in text
    assert text.count("http://127.0.0.1:1/dags/") == len(DAG_STOPS)
    assert "  7. Browse > Flow runs: " in text
    assert "     http://127.0.0.1:1/flowruns/\n" in text


def test_it_leaves_out_a_dag_that_did_not_run() -> None:
    text = build_tour("http://127.0.0.1:1", "http://127.0.0.1:2", "admin", "a-password", {})
    assert "None" not in text
    assert text.count("http://127.0.0.1:1/dags/") == 1
