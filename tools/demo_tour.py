"""The tour of a demo that was left up: what to click, in the order of a first look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from airflow_provider_flowruns.page.plugin import URL_PREFIX


class Stop(NamedTuple):
    """One stop of the tour.

    :param path: the page below Airflow's address; ``{run_id}`` is the DAG's run in the demo.
    :param dag_id: the DAG, "" for none.
    :param text: what to see and to try there.
    """

    path: str
    dag_id: str
    text: str


STOPS = (
    Stop(
        "/dags/portable_wait_and_history/runs/{run_id}/tasks/loaded",
        "portable_wait_and_history",
        "The log of a wait: the run's status each time it changed, while the task was deferred.",
    ),
    Stop(
        "/dags/portable_wait_and_history/runs/{run_id}/tasks/loaded/xcom",
        "portable_wait_and_history",
        "XCom: the summary of the run, for the next tasks.",
    ),
    Stop(
        "/dags/portable_failed_run/runs/{run_id}/tasks/contacts_loaded",
        "portable_failed_run",
        "A task that failed because its run failed: the log has the service's own error text.",
    ),
    Stop(
        "/dags/activepieces_wait/runs/{run_id}/tasks/ended/details",
        "activepieces_wait",
        'The link to the run, the button "Flow run". It leads to the service; the sandbox has no page there.',
    ),
    Stop(
        "/dags/portable_quality_gate/runs/{run_id}/tasks/plausible/xcom",
        "portable_quality_gate",
        "A run that succeeded but loaded nothing: the report of the checks that stopped the DAG.",
    ),
    Stop(
        "/dags/portable_finished_asset/runs/{run_id}/asset_events",
        "portable_finished_asset",
        "A DAG that no schedule started, but the end of a run, with the asset event. It starts every 20 s from now on.",
    ),
    Stop(
        f"{URL_PREFIX}/",
        "",
        "Browse > Flow runs: the flows of each connection, how their last runs ended, and which tasks wait for them.",
    ),
    Stop(
        "/dags/portable_run_flow",
        "",
        "Press Trigger: the task starts a run that takes a minute, and is deferred meanwhile. Clear it, and compare.",
    ),
)


def build_tour(airflow_url: str, sandbox_url: str, user: str, password: str, runs: Mapping[str, str]) -> str:
    """Return the addresses, how to log in, and the tour.

    :param airflow_url: address of Airflow's UI.
    :param sandbox_url: address of the sandbox.
    :param user: name of the user.
    :param password: that user's password.
    :param runs: the id of the run of each DAG.
    """
    lines = [
        "",
        f"Airflow is at {airflow_url} until Ctrl-C. User: {user}, password: {password}",
        f"The sandbox is at {sandbox_url}; its flows run on their schedules now.",
        "",
        "A tour:",
    ]
    for number, stop in enumerate(STOPS, start=1):
        if not stop.dag_id or stop.dag_id in runs:
            path = stop.path.format(run_id=runs.get(stop.dag_id))
            lines += [f"  {number}. {stop.text}", f"     {airflow_url}{path}"]
    return "\n".join([*lines, ""])
