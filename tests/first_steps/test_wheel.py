"""A stranger's path: the wheel in a new environment, the README's DAG, the sandbox, and a real Airflow."""

from __future__ import annotations

import os
import re
import shlex
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.first_steps.processes import Command
from tools.real_airflow import RealAirflow

pytestmark = pytest.mark.airflow

CHECKOUT = Path(__file__).resolve().parents[2]
README = (CHECKOUT / "README.md").read_text()
[README_DAG] = (block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "with DAG(" in block)
[SANDBOX_COMMAND] = re.findall(r"^(python -m airflow_provider_flowruns\.sandbox)$", README, re.MULTILINE)
#: A link or an image, in Markdown or HTML.
LINK = re.compile(r"""(?:\]\(|(?:href|src)=")([^)"\s]+)""")
FILE_OF_RELEASE = re.compile(
    r"https://(?:github\.com/[\w-]+/[\w-]+/blob|raw\.githubusercontent\.com/[\w-]+/[\w-]+)/v[^/]+/([^#]+)(?:#.*)?"
)
UV = str(Path(sys.executable).parent / "uv")


def call(*command: str, cwd: Path) -> str:
    """Run a command, and return its output; fails if it does."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder outside the checkout, so that nothing is imported from there."""
    return tmp_path_factory.mktemp("stranger")


@pytest.fixture(scope="module")
def wheel(folder: Path) -> Path:
    """Build the wheel."""
    call(UV, "build", "--wheel", "--quiet", "--out-dir", str(folder / "dist"), str(CHECKOUT), cwd=folder)
    [wheel] = (folder / "dist").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(wheel: Path, folder: Path) -> Path:
    """Return the interpreter of a new environment with the wheel and Airflow."""
    environment = str(folder / "venv")
    call(UV, "venv", "--quiet", "--python", sys.executable, environment, cwd=folder)
    airflow = f"apache-airflow=={version('apache-airflow')}"
    call(UV, "pip", "install", "--quiet", "--python", environment, str(wheel), airflow, cwd=folder)
    return folder / "venv" / "bin" / "python"


@pytest.fixture(scope="module")
def connections(python: Path, folder: Path) -> Iterator[dict[str, str]]:
    """Run the sandbox as the README says, and return the variables that its lines export."""
    # On a free port, because somebody may use the default one.
    arguments = [str(python), *shlex.split(SANDBOX_COMMAND)[1:], "--port", "0"]
    sandbox = Command(arguments, cwd=folder, env=os.environ)
    try:
        sandbox.read_until(lambda line: line.startswith("# A DAG"))
        exports = "\n".join(line for line in sandbox.lines if line.startswith("export "))
        output = call("sh", "-c", f"{exports}\nenv", cwd=folder)
        yield dict(line.split("=", 1) for line in output.splitlines() if line.startswith("AIRFLOW_CONN_"))
    finally:
        sandbox.close()


@pytest.fixture(scope="module")
def airflow(python: Path, folder: Path, connections: dict[str, str]) -> Iterator[RealAirflow]:
    """Return an Airflow of the new environment with the README's DAG and the examples of the wheel."""
    dags = folder / "dags"
    call(str(python), "-m", "airflow_provider_flowruns", "examples", str(dags), cwd=folder)
    examples = [path.stem for path in dags.glob("*.py")]
    assert len(examples) > 10
    (dags / "orders.py").write_text(README_DAG)
    env = connections | {"PYTHONSAFEPATH": "1"}  # without it, the current folder would be searched for modules
    with RealAirflow(dags, env=env, home=folder / "home", python=python) as airflow:
        airflow.wait_until_ready(["orders", *examples], timeout=300)
        yield airflow


def test_the_links_of_the_readme_work_on_the_package_index(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA")]
    links = LINK.findall(metadata)
    assert len(links) == len(LINK.findall(README)) > 10
    assert [link for link in links if not link.startswith("https://")] == []
    files = {match[1] for link in links if (match := FILE_OF_RELEASE.fullmatch(link))}
    assert {"docs/which.md", "SECURITY.md"} <= files
    assert [name for name in sorted(files) if not (CHECKOUT / name).is_file()] == []


def test_the_wheel_is_what_is_used(python: Path, folder: Path) -> None:
    used = call(str(python), "-c", "import airflow_provider_flowruns as package; print(package.__file__)", cwd=folder)
    assert Path(used.strip()).is_relative_to(folder / "venv")
    call(UV, "pip", "check", "--python", str(folder / "venv"), cwd=folder)


def test_the_dag_of_the_readme_runs_as_it_stands(airflow: RealAirflow) -> None:
    run_id = airflow.trigger("orders")  # without a date
    assert airflow.wait_for_run("orders", run_id, timeout=300) == "success"
    assert airflow.get_xcom("orders", run_id, "wait_for_orders")["disposition"] == "SUCCEEDED"
    assert airflow.get_xcom("orders", run_id, "success_rate") == 1
    attempts = airflow.get_xcom("orders", run_id, "history")
    assert len(attempts) == 20
    assert {attempt["flow_id"] for attempt in attempts} == set(re.findall(r"flow_id=(\d+)", README_DAG))
