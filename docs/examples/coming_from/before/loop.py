"""Start a Portable flow and wait for it in a loop."""

import time

import requests
from airflow.sdk import DAG, BaseHook, task


@task(retries=2, retry_delay=60)
def load() -> int:
    """Start the flow, wait until it has ended, and return the number of rows that it loaded."""
    connection = BaseHook.get_connection("portable_default")
    flow = f"{connection.host}/v2/flows/568101"
    headers = {"Authorization": f"Bearer {connection.password}"}
    requests.post(f"{flow}/run", headers=headers, timeout=30).raise_for_status()
    while True:
        response = requests.get(f"{flow}/status", headers=headers, timeout=30)
        response.raise_for_status()
        status = response.json()
        if status["lifecycle"] == "NOT_RUNNING":
            if status["disposition"] != "SUCCEEDED":
                raise RuntimeError(f"the flow {status['disposition']}")
            return sum(resource["loaded"] for resource in status["resources"])
        time.sleep(30)


with DAG("orders_by_loop", schedule="@daily") as dag:
    load()
