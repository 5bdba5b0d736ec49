"""Read flows and runs in a task."""

from datetime import UTC, datetime, timedelta
from itertools import islice

from airflow.sdk import DAG, task

from airflow_provider_flowruns.hooks.activepieces import ActivepiecesHook
from airflow_provider_flowruns.hooks.portable import PortableHook
from airflow_provider_flowruns.model.runs import Disposition, RunSummary


# --8<-- [start:read]
@task
def has_succeeded(flow_id: int) -> bool:
    """Return whether the flow's last run succeeded, whatever its age."""
    with PortableHook("portable_default") as portable:
        return portable.get_flow_status(flow_id).disposition is Disposition.SUCCEEDED


# --8<-- [end:read]


# --8<-- [start:list]
@task
def failed_runs(flow_id: str) -> list[RunSummary]:
    """Return the newest failed runs of the last day, at most twenty."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    with ActivepiecesHook() as activepieces:
        runs = activepieces.list_flow_runs(flow_id=flow_id, status="FAILED", created_after=yesterday, limit=20)
        return [run.summary() for run in islice(runs, 20)]


# --8<-- [end:list]


with DAG("read_with_hooks", schedule="@daily") as dag:
    has_succeeded(568101)
    failed_runs("ContactsFailing000001")
