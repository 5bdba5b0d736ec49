"""Start and cancel runs in a task."""

from airflow.sdk import DAG, task

from airflow_provider_flowruns.exceptions import ServerError, ServiceConnectionError
from airflow_provider_flowruns.hooks.activepieces import ActivepiecesHook
from airflow_provider_flowruns.hooks.portable import PortableHook


# --8<-- [start:start]
@task
def start(flow_id: int) -> bool:
    """Start a flow, and return whether the service confirmed it."""
    with PortableHook() as portable:
        try:
            portable.run_flow(flow_id)
        except (ServiceConnectionError, ServerError):
            return False  # it may be running: look before starting it again
    return True


# --8<-- [end:start]


# --8<-- [start:cancel]
@task
def cancel_paused(flow_id: str) -> list[str]:
    """Cancel the runs that wait for an approval, and return their ids."""
    with ActivepiecesHook() as activepieces:
        paused = activepieces.list_flow_runs(flow_id=flow_id, status="PAUSED")
        run_ids = [run.run_id for run in paused if run.run_id]
        if run_ids:
            activepieces.cancel_flow_runs(run_ids)
    return run_ids


# --8<-- [end:cancel]


with DAG("change_with_hooks", schedule="@daily") as dag:
    start(568103)
    cancel_paused("ApprovalPausing000001")
