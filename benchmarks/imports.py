"""Measure the cost of sensors and operators in the DAG processor: what it takes to import a DAG file with them."""

from __future__ import annotations

import json
import os
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.bounds import Bound, Figure
from benchmarks.sections import Section, build_table

TURNS = 7
#: Module, class and arguments of each task; those without a module are defined in the file.
_TASKS = {
    "bare sensor": ("", "Wait", ""),
    "bare operator": ("", "Work", ""),
    "this package: Portable sensor": ("airflow_provider_flowruns.sensors.portable", "PortableFlowSensor", "flow_id=1"),
    "this package: Activepieces sensor": (
        "airflow_provider_flowruns.sensors.activepieces",
        "ActivepiecesFlowRunSensor",
        "run_id='cPi5kjLQnJv89Z7KBGg7G'",
    ),
    "this package: TableFlow sensor": (
        "airflow_provider_flowruns.sensors.tableflow",
        "TableFlowFlowRunSensor",
        "run_id='Wp7kRnT2mX4vQ9bL'",
    ),
    "this package: Portable operator": (
        "airflow_provider_flowruns.operators.portable",
        "PortableRunFlowOperator",
        "flow_id=1",
    ),
    "this package: Activepieces operator": (
        "airflow_provider_flowruns.operators.activepieces",
        "ActivepiecesRunFlowOperator",
        "flow_id='cPi5kjLQnJv89Z7KBGg7G'",
    ),
    "this package: TableFlow operator": (
        "airflow_provider_flowruns.operators.tableflow",
        "TableFlowRunFlowOperator",
        "flow_id='dk4g1tUg1uHLs8YU'",
    ),
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
_BARE = _BARE_SENSOR, _BARE_OPERATOR = "bare sensor", "bare operator"
_OWN = [name for name in _TASKS if name.startswith("this package")]
_QUICK = "this package: Portable sensor", "this package: Portable operator"
_BARE_CLASSES = {
    "Wait": """
from airflow.sdk import BaseSensorOperator
class Wait(BaseSensorOperator):
    def poke(self, context):
        return True
""",
    "Work": """
from airflow.sdk import BaseOperator
class Work(BaseOperator):
    def execute(self, context):
        return None
""",
}
_EXAMPLES = Path(__file__).parents[1] / "example_dags"
#: An installer compiles what it installs, so the measured processes may store what they compile, too.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
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
#: As the DAG processor does: a process of its own for each file, which has imported Airflow.
_EXAMPLES_PROGRAM = """
import json, os, sys, time
import airflow, airflow.sdk
costs = []
for source in json.load(sys.stdin):
    reader, writer = os.pipe()
    if os.fork() == 0:
        start = time.process_time()
        exec(compile(source, "dag.py", "exec"), {"__name__": "dag"})
        os.write(writer, str(time.process_time() - start).encode())
        os._exit(0)
    os.close(writer)
    os.wait()
    costs.append(float(os.read(reader, 100)))
    os.close(reader)
print(json.dumps(costs))
"""
_TEXT = """\
One DAG with one task, imported in a new interpreter. *With Airflow* is the total; *the file* excludes the import of \
`airflow` and `airflow.sdk`, which the DAG processor has already imported. CPU time, which depends little on other \
processes. The candidates are measured in turns; the figures are medians of {turns}.

The last bound is about all example DAGs, each imported in a process of its own. *Bare* are the same files with bare \
classes in place of those of this package: they take the same arguments, store them, and do nothing."""


def build_sections(quick: bool) -> list[Section]:
    """Measure and return the section. ``quick`` measures one service in few turns, without the peers."""
    from benchmarks.bare_dags import build_bare_dag  # imports Airflow

    print("measuring imports ...", flush=True)
    turns = 3 if quick else TURNS
    tasks = {name: task for name, task in _TASKS.items() if not quick or name in {*_BARE, *_QUICK}}
    ours = [path.read_text(encoding="utf-8") for path in sorted(_EXAMPLES.glob("*.py"))]
    bare = [build_bare_dag(source) for source in ours]
    _measure_turn(tasks, ours, bare)  # compiles what is not compiled yet
    measured = [_measure_turn(tasks, ours, bare) for _ in range(turns)]
    samples = {name: [turn[name] for turn, _ in measured] for name in tasks}
    figures = {
        name: [median(column) for column in zip(*task_samples, strict=True)] for name, task_samples in samples.items()
    }
    rows = [
        (
            name,
            f"{file * 1_000:.0f} ms",
            f"{file / figures[_get_baseline(name)][0]:.2f}",
            f"{total * 1_000:.0f} ms",
            f"{total / figures[_get_baseline(name)][1]:.2f}",
            f"{modules:.0f}",
            f"{all_modules:.0f}",
        )
        for name, (file, total, modules, all_modules) in figures.items()
    ]
    columns = ("task", "the file", "x bare", "with Airflow", "x bare", "modules of the file", "total modules")
    own = [name for name in tasks if name in _OWN]
    file, with_airflow = ([_compare(samples, name, column) for name in own] for column in (0, 1))
    bounds = [
        Bound("import of the file, relative to the bare task; the worst", max(file, key=_get_value), 1.5),
        Bound("the same with Airflow; the worst", max(with_airflow, key=_get_value), 1.1),
        Bound(
            "import of all example DAGs, relative to bare ones",
            Figure.from_turns([ratio for _, ratio in measured]),
            1.5,
        ),
    ]
    return [
        Section(
            "What does a task cost the DAG processor?", _TEXT.format(turns=turns), build_table(columns, rows), bounds
        )
    ]


def _measure_turn(
    tasks: Mapping[str, tuple[str, str, str]], ours: Sequence[str], bare: Sequence[str]
) -> tuple[dict[str, list[float]], float]:
    """Return the figures of every task, and how many times as much the example DAGs cost as the bare ones."""
    figures = {name: _measure_import(_build_dag_file(*task)) for name, task in tasks.items()}
    return figures, _measure_files(ours) / _measure_files(bare)


def _get_baseline(name: str) -> str:
    return _BARE_OPERATOR if name.endswith("operator") else _BARE_SENSOR


def _compare(samples: dict[str, list[list[float]]], name: str, column: int) -> Figure:
    ours, bare = ([turn[column] for turn in samples[one]] for one in (name, _get_baseline(name)))
    return Figure.from_ratios(ours, bare)


def _get_value(figure: Figure) -> float:
    return figure.value


def _build_dag_file(module: str, name: str, arguments: str) -> str:
    origin = f"from {module} import {name}\n" if module else _BARE_CLASSES[name]
    dag = f"with DAG('one', schedule=None):\n    {name}(task_id='wait', {arguments})\n"
    return f"from airflow.sdk import DAG\n{origin}{dag}"


def _measure_import(source: str) -> list[float]:
    command = [sys.executable, "-c", _PROGRAM.format(source=source)]
    result = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, env=_ENVIRONMENT)
    figures: list[float] = json.loads(result.stdout.splitlines()[-1])
    return figures


def _measure_files(sources: Sequence[str]) -> float:
    """Return the CPU time in seconds of importing some DAG files, each in a process of its own."""
    command = [sys.executable, "-c", _EXAMPLES_PROGRAM]
    files = json.dumps(sources)
    result = subprocess.run(command, check=True, text=True, input=files, stdout=subprocess.PIPE, env=_ENVIRONMENT)
    costs: list[float] = json.loads(result.stdout.splitlines()[-1])
    return sum(costs)
