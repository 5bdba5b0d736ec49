"""One flow's runs, waited for one after the other, with an asset in which Airflow keeps how long they took."""

from __future__ import annotations

from airflow.sdk import DAG, Asset
from airflow.sdk.bases.operator import chain

from airflow_provider_flowruns.sensors.activepieces import ActivepiecesFlowRunSensor

PAST_RUNS = 3

with DAG("known_durations", schedule=None, params={f"run_{number}": "" for number in range(PAST_RUNS)}):
    chain(
        *(
            ActivepiecesFlowRunSensor(
                task_id=f"wait_{number}",
                run_id=f"{{{{ params.run_{number} }}}}",
                activepieces_conn_id="activepieces_live",
                outlets=[Asset("durations_of_runs")],
            )
            for number in range(PAST_RUNS)
        )
    )

with DAG("uses_known_durations", schedule=None, params={"run": ""}):
    ActivepiecesFlowRunSensor(
        task_id="wait",
        run_id="{{ params.run }}",
        activepieces_conn_id="activepieces_live",
        outlets=[Asset("durations_of_runs")],
        deferrable=True,
        timeout=300,
    )
