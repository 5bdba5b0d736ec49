"""Who may import whom, and what importing this package costs."""

import ast
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from pathlib import Path

import pytest

import airflow_provider_flowruns

ROOT = Path(airflow_provider_flowruns.__file__).parent
PURE = ("services", "client", "waiting")


def modules(*folders: str) -> list[str]:
    """Return the dotted names of all modules in some folders of the package."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return [".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__") for path in paths]


def run(code: str, *arguments: str) -> list[str]:
    """Run code in a fresh Python and return the words it prints."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


IMPORT_AND_LIST = """
import sys
from importlib import import_module
for name in sys.argv[1:]:
    import_module(name)
print(*sorted(sys.modules))
"""


def loaded(*names: str) -> set[str]:
    return {*run(IMPORT_AND_LIST, *names)}


def is_or_is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("layer", PURE)
def test_a_pure_layer_loads_no_airflow(layer) -> None:
    found = loaded(*modules(layer))
    assert {*modules(layer)} <= found
    assert [name for name in found if is_or_is_in(name, "airflow")] == []


@pytest.mark.parametrize("layer", ["services", "waiting"])
def test_what_neither_sends_nor_stores_loads_no_http_client(layer) -> None:
    found = loaded(*modules(layer))
    heavy = {"requests", "urllib3", "aiohttp", "tenacity", "sqlalchemy", "asyncio"}
    assert found & heavy == set()


def imported(path: Path) -> set[str]:
    """Return what a source file imports, wherever in it, under ``if TYPE_CHECKING`` too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def test_the_import_reader_sees_imports_at_every_depth(tmp_path) -> None:
    source = tmp_path / "module.py"
    source.write_text("import a.b\ndef f():\n    from c import d\nif TYPE_CHECKING:\n    import airflow.models as m\n")
    assert imported(source) == {"a.b", "c.d", "airflow.models"}


@pytest.mark.parametrize("path", sources(*PURE), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_pure_module_names_airflow_in_an_import(path) -> None:
    assert [name for name in imported(path) if is_or_is_in(name, "airflow")] == []


#: From each layer upwards: what it must not know of.
ABOVE = {
    "services": {"client", "waiting", "hooks", "operators", "sensors", "triggers", "links"},
    "client": {"waiting", "hooks", "operators", "sensors", "triggers", "links"},
    "waiting": {"client", "hooks", "operators", "sensors", "triggers", "links"},
    "hooks": {"waiting", "operators", "sensors", "triggers", "links"},
}


@pytest.mark.parametrize("layer", ABOVE)
def test_arrows_go_down_only(layer) -> None:
    upwards = [
        (path.relative_to(ROOT).as_posix(), name)
        for path in sources(layer)
        for name in imported(path)
        for above in ABOVE[layer]
        if is_or_is_in(name, f"airflow_provider_flowruns.{above}")
    ]
    assert upwards == []


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
    wanted = modules("operators", "sensors")
    found = run(FACE, *wanted)
    assert {*wanted} <= {*found}
    heavy = ("requests", "urllib3", "aiohttp", "tenacity", "httpx", "openlineage", "sqlalchemy", "hypothesis")
    assert [name for name in found if any(is_or_is_in(name, package) for package in heavy)] == []
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


def test_the_metadata_that_every_airflow_process_reads_imports_nothing() -> None:
    found = run(METADATA)
    assert found == ["airflow_provider_flowruns", "airflow_provider_flowruns.get_provider_info"]
