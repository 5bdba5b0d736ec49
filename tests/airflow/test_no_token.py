"""After many successful and failed tasks, nothing that Airflow has written contains a token."""

from __future__ import annotations

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from tests.airflow.scenario import VENDOR_ERROR, WRONG_TOKEN, Scenario
from tools.real_airflow import RealAirflow
from tools.secret_scan import find_secrets

pytestmark = pytest.mark.airflow


@pytest.fixture
def finished_airflow(airflow: RealAirflow, scenario: Scenario) -> RealAirflow:
    """Return the Airflow after all DAG runs have ended."""
    for name in scenario.dag_runs:
        scenario.wait_for_end(name)
    return airflow


def test_no_token_in_logs_database_xcom_or_rendered_fields(finished_airflow: RealAirflow, sandbox: Sandbox) -> None:
    tokens = [service.token for service in sandbox.services]
    assert find_secrets(finished_airflow.home, [*tokens, WRONG_TOKEN]) == []


def test_the_scan_finds_existing_texts(finished_airflow: RealAirflow, scenario: Scenario) -> None:
    in_xcom_and_rendered_fields = str(scenario.live["leads"].id)
    found = find_secrets(finished_airflow.home, [VENDOR_ERROR, in_xcom_and_rendered_fields])
    assert any(VENDOR_ERROR in line and "logs/" in line for line in found)
    assert any(in_xcom_and_rendered_fields in line and "in the database" in line for line in found)
