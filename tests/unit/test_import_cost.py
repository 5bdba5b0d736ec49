"""What importing this package costs. Who may import whom is written down under ``tool.importlinter``."""

from __future__ import annotations

import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from pathlib import Path

import airflow_provider_flowruns

ROOT = Path(airflow_provider_flowruns.__file__).parent
HEAVY = ("requests", "urllib3", "aiohttp", "tenacity", "httpx", "openlineage", "sqlalchemy", "hypothesis")


def list_modules(*folders: str) -> list[str]:
    """Return the dotted names of all modules in some folders of the package."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return [".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__") for path in paths]


def run(code: str, *arguments: str) -> list[str]:
    """Run code in a fresh Python and return the words it prints."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


FACE = """
import sys
from importlib import import_module

from airflow.providers.common.compat.sdk import BaseHook, BaseOperator, BaseSensorOperator

before = set(sys.modules)

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"requests", "aiohttp"}:
            raise AssertionError(f"{name} is imported when a DAG file is parsed")

sys.meta_path.insert(0, Refuse())
for name in sys.argv[1:]:
    import_module(name)
print(*sorted(set(sys.modules) - before))
"""


def test_a_dag_file_that_imports_sensors_and_operators_loads_no_http_client() -> None:
    wanted = list_modules("operators", "sensors")
    found = run(FACE, *wanted)
    assert {*wanted} <= {*found}
    assert [name for name in found if name.partition(".")[0] in HEAVY] == []
    clients = ("airflow_provider_flowruns.client.sync", "airflow_provider_flowruns.client.aio")
    assert {*clients}.isdisjoint(found)


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
    package = "airflow_provider_flowruns"
    modules = (
        *("get_provider_info", "model", "model.errors"),
        *("services", "services.auth", "services.catalog", "services.info"),
    )
    assert found == [package, *(f"{package}.{name}" for name in modules)]
