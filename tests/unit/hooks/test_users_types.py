"""What a user's type checker says about the hooks."""

from __future__ import annotations

import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]

USERS_MODULE = """
from collections.abc import Iterator
from typing import assert_type

from airflow_provider_flowruns.hooks.activepieces import ActivepiecesHook
from airflow_provider_flowruns.hooks.portable import PortableHook
from airflow_provider_flowruns.hooks.tableflow import TableFlowHook
from airflow_provider_flowruns.model.extractions import DownloadedFile, Extraction, TableRow
from airflow_provider_flowruns.model.runs import Flow, FlowRun
from airflow_provider_flowruns.services.portable import PortableApi


def read_runs() -> list[str | None]:
    with PortableHook() as portable, ActivepiecesHook("mine") as activepieces, TableFlowHook() as tableflow:
        assert_type(portable, PortableHook)
        assert_type(portable.api, PortableApi)
        assert_type(portable.get_flow_status(5), FlowRun)
        assert_type(portable.get_run_attempts(5), Iterator[FlowRun])
        assert_type(portable.list_flows(), tuple[Flow, ...])
        assert_type(portable.test_connection(), tuple[bool, str])
        assert_type(activepieces.get_flow_run("id"), FlowRun)
        assert_type(activepieces.list_flows(), Iterator[Flow])
        assert_type(tableflow.list_flow_runs(flow_id="id"), Iterator[FlowRun])
        assert_type(tableflow.get_extraction("id"), Extraction)
        assert_type(tableflow.iterate_table_rows("id", "line_items"), Iterator[TableRow])
        with open("rows.csv", "wb") as file:
            assert_type(tableflow.download_table("id", "line_items", file), DownloadedFile)
        return [tableflow.get_flow_run("id").run_id]
"""

WRONG = [
    ("PortableHook().get_flow_status()", "call-arg"),
    ("PortableHook().get_flow_status([5])", "arg-type"),
    ("ActivepiecesHook().get_flow_run(run_id=5)", "arg-type"),
    ("TableFlowHook().get_flow_run('id').no_such_field", "attr-defined"),
]


def check(source: str, folder: Path) -> str:
    """Return what mypy says about a module with a user's own settings, not with those of this repository."""
    (folder / "users_module.py").write_text(source)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary", "users_module.py"]
    cache = f"--cache-dir={CHECKOUT / '.cache' / 'mypy-of-users'}"
    done = subprocess.run([*command, cache], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_methods_of_a_hook_have_precise_types(tmp_path) -> None:
    assert check(USERS_MODULE, tmp_path) == ""


def test_mistakes_in_calls_are_found(tmp_path) -> None:
    calls = "\n".join(call for call, _ in WRONG)
    said = check(f"{USERS_MODULE}\n\n{calls}\n", tmp_path).splitlines()
    assert [line.rpartition(" ")[2] for line in said if "error" in line] == [f"[{code}]" for _, code in WRONG]
