from airflow.dag_processing.dagbag import DagBag


def test_the_flow_is_started_once_and_its_rows_are_counted(flowruns_sandbox):
    flow = flowruns_sandbox.portable.add_flow("Clicks to warehouse", 568103)
    clicks = {"name": "clicks", "extracted": 7, "analyzed": 7, "loaded": 7}
    flow.next_run(running=1, resources=[clicks])

    dag_run = DagBag().dags["portable_run_flow"].test()

    assert dag_run.state == "success"
    counted = dag_run.get_task_instance("rows_loaded")
    assert counted.xcom_pull("rows_loaded") == 7
    assert len(flowruns_sandbox.ledger.started) == 1
