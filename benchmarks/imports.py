"""What a sensor costs the DAG processor: time and modules of importing a DAG file that has one."""

from __future__ import annotations

import json
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from statistics import median

from benchmarks.sections import Bound, Section, table

TURNS = 7
#: Class, and what it is made with.
_SENSORS = {
    "bare BaseSensorOperator": ("", "Wait", ""),
    "this package: Portable": ("airflow_provider_flowruns.sensors.portable", "PortableFlowSensor", "flow_id=1"),
    "dbt Cloud": ("airflow.providers.dbt.cloud.sensors.dbt", "DbtCloudJobRunSensor", "run_id=1"),
    "Databricks": (
        "airflow.providers.databricks.sensors.databricks_partition",
        "DatabricksPartitionSensor",
        "table_name='t', partitions={'a': 1}",
    ),
    "Fivetran": ("fivetran_provider_async.sensors", "FivetranSensor", "connector_id='a'"),
    "HttpSensor": ("airflow.providers.http.sensors.http", "HttpSensor", "endpoint='a'"),
    "Airbyte": ("airflow.providers.airbyte.sensors.airbyte", "AirbyteJobSensor", "airbyte_job_id=1"),
}
_BARE, _OWN = list(_SENSORS)[:2]
_BARE_CLASS = """
from airflow.sdk import BaseSensorOperator
class Wait(BaseSensorOperator):
    def poke(self, context):
        return True
"""
#: The DAG processor has these two before it opens the first file.
_PROGRAM = """
import json, sys, time
begun = time.process_time()
import airflow, airflow.sdk
before, known = time.process_time(), len(sys.modules)
exec(compile({source!r}, "dag.py", "exec"), {{"__name__": "dag"}})
after = time.process_time()
print(json.dumps([after - before, after - begun, len(sys.modules) - known, len(sys.modules)]))
"""
_TEXT = """\
One DAG with one sensor, imported in a fresh interpreter. *With Airflow* is all of it; *the file* is what remains of \
that where `airflow` and `airflow.sdk` are imported already, as in the DAG processor. Processor time, so that what \
else runs on the machine counts little; candidates take turns, medians of {turns}."""


def sections(quick: bool) -> list[Section]:
    """Measure; with ``quick`` in two turns."""
    print("measuring imports ...", flush=True)
    turns = 2 if quick else TURNS
    taken: dict[str, list[list[float]]] = {name: [] for name in _SENSORS}
    for _ in range(turns):
        for name, one in taken.items():
            one.append(_sample(_dag_file(*_SENSORS[name])))
    figures = {name: [median(column) for column in zip(*one, strict=True)] for name, one in taken.items()}
    bare = figures[_BARE]
    rows = [
        (
            name,
            f"{file * 1_000:.0f} ms",
            f"{file / bare[0]:.2f}",
            f"{total * 1_000:.0f} ms",
            f"{total / bare[1]:.2f}",
            f"{modules:.0f}",
            f"{all_modules:.0f}",
        )
        for name, (file, total, modules, all_modules) in figures.items()
    ]
    columns = ("sensor", "the file", "x bare", "with Airflow", "x bare", "modules of the file", "modules in all")
    bounds = [
        Bound("import of the file with Airflow, as a multiple of the bare one's", figures[_OWN][1] / bare[1], 1.1)
    ]
    return [
        Section("What does a sensor cost the DAG processor?", _TEXT.format(turns=turns), table(columns, rows), bounds)
    ]


def _dag_file(module: str, name: str, arguments: str) -> str:
    origin = f"from {module} import {name}\n" if module else _BARE_CLASS
    dag = f"with DAG('one', schedule=None):\n    {name}(task_id='wait', {arguments})\n"
    return f"from airflow.sdk import DAG\n{origin}{dag}"


def _sample(source: str) -> list[float]:
    command = [sys.executable, "-c", _PROGRAM.format(source=source)]
    done = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE)
    figures: list[float] = json.loads(done.stdout.splitlines()[-1])
    return figures
