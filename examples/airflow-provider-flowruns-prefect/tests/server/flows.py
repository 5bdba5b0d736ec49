"""A flow of Prefect that does what its parameters say; runs in Prefect's own environment, without Airflow."""

from __future__ import annotations

import os
import signal
import time

from prefect import flow, pause_flow_run, serve


@flow(name="orders")
def orders(outcome: str = "succeed", seconds: float = 0.0) -> str:
    """Succeed, fail, crash or pause, after some seconds."""
    time.sleep(seconds)
    if outcome == "fail":
        raise ValueError("the source refused the login")
    if outcome == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if outcome == "pause":
        pause_flow_run(timeout=600)
    return outcome


if __name__ == "__main__":
    serve(orders.to_deployment("worked"))
