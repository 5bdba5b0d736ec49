"""What importing this package costs. Who may import whom is written down under ``tool.importlinter``."""

from __future__ import annotations

import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys

import pytest

from airflow_provider_flowruns.get_provider_info import get_provider_info

PACKAGE = "airflow_provider_flowruns"
HEAVY = ("requests", "urllib3", "aiohttp", "tenacity", "httpx", "openlineage", "sqlalchemy", "hypothesis", "jmespath")
#: What a DAG file may load of this package, apart from the modules that it names: names, defaults and checks. The rest
#: is what tasks need when they run.
PARSED = {
    *("compat", "compat.form_widgets", "compat.versions", "hooks", "hooks.base", "links"),
    *("model", "model.choices", "model.counts", "model.errors", "model.limits", "model.quality_limits", "model.rows"),
    *("operators", "operators.activepieces_outputs", "operators.base", "operators.extract_to"),
    *("operators.file_arguments", "operators.flows", "operators.history", "operators.run"),
    "operators.tableflow_extractions",
    *("sensors", "sensors.base"),
    *("services", "services.parsing", "services.payload", "services.validation"),
    *("services.portable_arguments", "services.activepieces_arguments", "services.tableflow_arguments"),
    *("tasks", "tasks.arguments", "tasks.base", "tasks.explained_errors", "tasks.output_file"),
    *("tasks.peer_arguments", "tasks.run_summaries", "tasks.table_formats", "tasks.xcom_size"),
}
#: Classes that generate code when they are made, and that a DAG file needs.
GENERATED = {"QualityLimits"}


def list_public_modules() -> list[str]:
    """Return the modules that DAG files import, as Airflow knows them."""
    info = get_provider_info()
    kinds: list[list[dict[str, list[str]]]] = [info[kind] for kind in ("hooks", "operators", "sensors")]  # type: ignore[misc]
    names = {name for kind in kinds for entry in kind for name in entry["python-modules"]}
    return sorted({*names, f"{PACKAGE}.exceptions"})


def run(code: str, *arguments: str) -> list[str]:
    """Run code in a fresh Python and return the words it prints."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


# A DAG processor has imported Airflow, which reads the metadata of this package.
FACE = """
import sys
import airflow, airflow.sdk
from importlib import import_module

from airflow.providers.common.compat.sdk import BaseHook, BaseOperator, BaseSensorOperator

before = set(sys.modules)
import_module(sys.argv[1])
print(*sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize("name", list_public_modules())
def test_a_dag_file_loads_names_defaults_and_checks_and_nothing_else(name: str) -> None:
    found = set(run(FACE, name))
    assert name in found
    assert [one for one in found if one.partition(".")[0] in HEAVY] == []
    own = {one.removeprefix(f"{PACKAGE}.") for one in found if one.startswith(f"{PACKAGE}.")}
    metadata = {"get_provider_info", "services.auth", "services.catalog", "services.info"}
    assert own - PARSED - metadata - {name.removeprefix(f"{PACKAGE}.")} == set()


CLASSES = """
import dataclasses, enum, sys
import airflow, airflow.sdk
from importlib import import_module
import msgspec

before = set(sys.modules)
for name in sys.argv[1:]:
    import_module(name)
for name in set(sys.modules) - before:
    for value in vars(sys.modules[name]).values():
        if isinstance(value, type) and value.__module__ == name and name.startswith("airflow_provider_flowruns."):
            # Operators are dataclasses because Airflow's base class is one.
            is_dataclass = "__dataclass_params__" in vars(value)
            if is_dataclass or issubclass(value, (enum.Enum, msgspec.Struct)):
                print(value.__name__)
"""


def test_a_dag_file_makes_no_dataclass_enum_or_struct() -> None:
    assert {*run(CLASSES, *list_public_modules())} <= GENERATED


METADATA = """
import sys
before = set(sys.modules)
import airflow_provider_flowruns
import airflow_provider_flowruns.get_provider_info
airflow_provider_flowruns.get_provider_info.get_provider_info()
print(*sorted(set(sys.modules) - before))
"""


def test_the_metadata_that_every_airflow_process_reads_imports_nothing_but_data() -> None:
    # The standard library's modules are those that Airflow has loaded by then.
    found = [name for name in run(METADATA) if name.partition(".")[0] not in sys.stdlib_module_names]
    modules = (
        *("get_provider_info", "model", "model.errors"),
        *("services", "services.auth", "services.catalog", "services.info"),
    )
    assert found == [PACKAGE, *(f"{PACKAGE}.{name}" for name in modules)]
