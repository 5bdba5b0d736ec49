"""Measure the cost of a sensor in the DAG processor: time and modules to import a DAG file with one sensor."""

from __future__ import annotations

import json
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from statistics import median

from benchmarks.bounds import Bound, Figure
from benchmarks.sections import Section, build_table

TURNS = 7
#: Module, class and arguments of each sensor.
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
_BASELINE, _OWN = list(_SENSORS)[:2]
_BASELINE_CLASS = """
from airflow.sdk import BaseSensorOperator
class Wait(BaseSensorOperator):
    def poke(self, context):
        return True
"""
#: The DAG processor has imported these two before it parses the first file.
_PROGRAM = """
import json, sys, time
start = time.process_time()
import airflow, airflow.sdk
before, known = time.process_time(), len(sys.modules)
exec(compile({source!r}, "dag.py", "exec"), {{"__name__": "dag"}})
after = time.process_time()
print(json.dumps([after - before, after - start, len(sys.modules) - known, len(sys.modules)]))
"""
_TEXT = """\
One DAG with one sensor, imported in a new interpreter. *With Airflow* is the total; *the file* excludes the import of \
`airflow` and `airflow.sdk`, which the DAG processor has already imported. CPU time, which depends little on other \
processes. The candidates are measured in turns; the figures are medians of {turns}."""


def build_sections(quick: bool) -> list[Section]:
    """Measure and return the section. ``quick`` measures in few turns, without the peers."""
    print("measuring imports ...", flush=True)
    turns = 5 if quick else TURNS
    names = (_BASELINE, _OWN) if quick else _SENSORS
    samples: dict[str, list[list[float]]] = {name: [] for name in names}
    for _ in range(turns):
        for name, sensor_samples in samples.items():
            sensor_samples.append(_measure_import(_build_dag_file(*_SENSORS[name])))
    figures = {
        name: [median(column) for column in zip(*sensor_samples, strict=True)]
        for name, sensor_samples in samples.items()
    }
    baseline = figures[_BASELINE]
    rows = [
        (
            name,
            f"{file * 1_000:.0f} ms",
            f"{file / baseline[0]:.2f}",
            f"{total * 1_000:.0f} ms",
            f"{total / baseline[1]:.2f}",
            f"{modules:.0f}",
            f"{all_modules:.0f}",
        )
        for name, (file, total, modules, all_modules) in figures.items()
    ]
    columns = ("sensor", "the file", "x bare", "with Airflow", "x bare", "modules of the file", "total modules")
    ours, bare = ([turn[1] for turn in samples[name]] for name in (_OWN, _BASELINE))
    description = "import of the file with Airflow, relative to the bare sensor"
    bounds = [Bound(description, Figure.from_ratios(ours, bare), 1.1)]
    return [
        Section(
            "What does a sensor cost the DAG processor?", _TEXT.format(turns=turns), build_table(columns, rows), bounds
        )
    ]


def _build_dag_file(module: str, name: str, arguments: str) -> str:
    origin = f"from {module} import {name}\n" if module else _BASELINE_CLASS
    dag = f"with DAG('one', schedule=None):\n    {name}(task_id='wait', {arguments})\n"
    return f"from airflow.sdk import DAG\n{origin}{dag}"


def _measure_import(source: str) -> list[float]:
    command = [sys.executable, "-c", _PROGRAM.format(source=source)]
    result = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE)
    figures: list[float] = json.loads(result.stdout.splitlines()[-1])
    return figures
