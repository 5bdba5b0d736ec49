from datetime import UTC, datetime, timedelta

from airflow.dag_processing.dagbag import DagBag


def test_no_report_is_built_on_data_that_did_not_arrive(flowruns_sandbox):
    flow = flowruns_sandbox.portable.add_flow("Contacts to warehouse", 568102)
    flow.add_run(ago=60, outcome="FAILED", errors=["Source is down"])

    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    dag_run = DagBag().dags["portable_failed_run"].test(logical_date=an_hour_ago)

    states = {task.task_id: task.state for task in dag_run.get_task_instances()}
    assert states["contacts_loaded"] == "failed"
    assert states["build_report"] == "upstream_failed"
