"""The workflows run nothing that can change under them, have no rights they do not need, and publish what passed."""

from __future__ import annotations

import re
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_provider_flowruns import __version__

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = {path.stem: path for path in sorted(FOLDER.glob("*.yml"))}
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
CALLED = ("uses: ./.github/workflows/ci.yml", "uses: ./.github/workflows/nightly.yml")


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load(WORKFLOWS[name].read_text())


def jobs() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name in WORKFLOWS:
        for job, content in load(name)["jobs"].items():
            yield name, job, content


def test_there_are_the_three() -> None:
    assert [*WORKFLOWS] == ["ci", "nightly", "release"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_action_is_pinned_to_a_commit_that_names_its_tag(name: str) -> None:
    used = [line.strip().removeprefix("- ") for line in WORKFLOWS[name].read_text().splitlines() if "uses:" in line]
    assert used
    assert [line for line in used if not PINNED.fullmatch(line) and line not in CALLED] == []


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_only_read(name: str) -> None:
    assert load(name)["permissions"] == {"contents": "read"}


def test_only_publishing_asks_for_more_and_only_for_an_identity() -> None:
    more = {(name, job): content["permissions"] for name, job, content in jobs() if "permissions" in content}
    assert more == {("release", "publish"): {"id-token": "write"}}


def test_no_checkout_leaves_its_credentials_behind() -> None:
    checkouts = [
        step
        for _, _, job in jobs()
        for step in job.get("steps", ())
        if step.get("uses", "").startswith("actions/checkout")
    ]
    assert checkouts
    assert all(step["with"] == {"persist-credentials": False} for step in checkouts)


def test_publishing_waits_for_the_checks_and_runs_nothing_of_ours() -> None:
    publish = load("release")["jobs"]["publish"]
    assert {*publish["needs"]} == {"checks", "nightly", "build"}
    assert publish["environment"] == "pypi"
    assert all("run" not in step for step in publish["steps"])
    assert load("release")["jobs"]["checks"] == {"uses": "./.github/workflows/ci.yml"}
    assert load("release")["jobs"]["nightly"] == {"uses": "./.github/workflows/nightly.yml"}
    assert "secrets." not in WORKFLOWS["release"].read_text()


def test_the_matrix_is_that_of_the_tool() -> None:
    nightly = load("nightly")["jobs"]
    assert "make --silent versions" in nightly["versions"]["steps"][-1]["run"]
    assert nightly["matrix"]["strategy"] == {
        "fail-fast": False,
        "matrix": {"include": "${{ fromJSON(needs.versions.outputs.list) }}"},
    }
    assert {"run": "make test-matrix VERSIONS=${{ matrix.airflow }}"} in nightly["matrix"]["steps"]


TARGETS = re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_they_run_what_developers_run() -> None:
    commands = [step["run"] for _, _, job in jobs() for step in job.get("steps", ()) if "run" in step]
    called = {word for command in commands for word in re.findall(r"make (?:-\S+ |\.\S+ )*([a-z-]+)", command)}
    assert called == {
        "bench-quick",
        "dist",
        "docs",
        "fuzz",
        "soak",
        "test",
        "test-browser",
        "test-distributed",
        "test-first-steps",
        "test-matrix",
        "test-nightly",
        "test-prefect",
        "unit",
        "versions",
    }
    assert called <= {*TARGETS}


def test_the_tests_run_from_an_unpacked_sdist() -> None:
    assert load("ci")["jobs"]["sdist"]["steps"][-1] == {"run": "make -C ../unpacked unit"}


@pytest.mark.parametrize("workflow", ["ci", "nightly"])
def test_the_documentation_is_built(workflow: str) -> None:
    assert load(workflow)["jobs"]["docs"]["steps"][-1] == {"run": "make docs"}


@pytest.mark.parametrize(
    ("workflow", "job", "target"), [("ci", "newest", "test"), ("nightly", "distributed", "test-distributed")]
)
def test_the_tests_on_postgresql_are_not_skipped(workflow: str, job: str, target: str) -> None:
    *_, install, test = [step["run"] for step in load(workflow)["jobs"][job]["steps"] if "run" in step]
    assert "apt-get install --yes postgresql" in install
    assert test == f"make {target}"


@pytest.mark.parametrize(("tag", "status"), [(f"v{__version__}", 0), ("v0.0.0", 1), (__version__, 1), ("v", 1)])
def test_only_the_tag_of_this_version_is_released(tag: str, status: int) -> None:
    [check] = [step for step in load("release")["jobs"]["build"]["steps"] if step.get("name", "").startswith("The tag")]
    done = subprocess.run(
        ["bash", "-e", "-c", check["run"]],
        cwd=ROOT,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "GITHUB_REF_NAME": tag},
        capture_output=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
