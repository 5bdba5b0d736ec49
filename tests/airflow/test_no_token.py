"""After many tasks, good and bad, no token is anywhere in what Airflow has written."""

from __future__ import annotations

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from tests.airflow.play import VENDOR_ERROR, WRONG_TOKEN, Play
from tools.leaks import find_leaks
from tools.real_airflow import RealAirflow

pytestmark = pytest.mark.airflow


@pytest.fixture
def finished(airflow: RealAirflow, play: Play) -> RealAirflow:
    """Airflow when all its DAG runs have ended."""
    for name in play.dag_runs:
        play.end(name)
    return airflow


def test_no_token_in_logs_database_xcom_or_rendered_fields(finished: RealAirflow, sandbox: Sandbox) -> None:
    tokens = [service.token for service in sandbox.services]
    assert find_leaks(finished.home, [*tokens, WRONG_TOKEN]) == []


def test_the_search_sees_what_is_there(finished: RealAirflow, play: Play) -> None:
    in_xcom_and_rendered_fields = str(play.live["leads"].id)
    found = find_leaks(finished.home, [VENDOR_ERROR, in_xcom_and_rendered_fields])
    assert any(VENDOR_ERROR in line and "logs/" in line for line in found)
    assert any(in_xcom_and_rendered_fields in line and "in the database" in line for line in found)
