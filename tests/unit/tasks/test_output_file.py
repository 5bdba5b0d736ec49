"""Files that are complete or not there, and what lineage is told about them; test_history.py has the rest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_flowruns.exceptions import InvalidArgumentError
from airflow_provider_flowruns.model.errors import FlowRunsError
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.tasks.lineage import build_lineage
from airflow_provider_flowruns.tasks.output_file import OutputFileTask, resolve_output_path, validate_output_path
from airflow_provider_flowruns.testing.task_modes import task_context


class Writer(OutputFileTask, BaseOperator):
    """Writes files."""


class _WithRun(BaseOperator):
    def get_openlineage_facets_on_complete(self, _: Any) -> Any:
        run = FlowRun(
            service="tableflow",
            kind=Kind.RUN,
            run_id="r1",
            flow_id="f1",
            lifecycle=Lifecycle.NOT_RUNNING,
            disposition=Disposition.SUCCEEDED,
            vendor_status="completed",
        )
        return build_lineage(run.summary())


class RunAndFileWriter(OutputFileTask, _WithRun):
    """Writes files and reports a run."""


@pytest.fixture
def writer() -> Writer:
    return Writer(task_id="write")


def write(task: OutputFileTask, path: str | Path, content: bytes = b"new") -> None:
    with task.open_output(str(path), task_context()) as file:
        file.write(content)


def test_a_file_gets_its_name_at_the_end(writer, tmp_path) -> None:
    path = tmp_path / "rows.csv"
    with writer.open_output(str(path), task_context()) as file:
        file.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["rows.csv"]


@pytest.mark.parametrize("error", [FlowRunsError("cut"), KeyboardInterrupt(), SystemExit()])
def test_an_error_in_the_block_leaves_the_earlier_file(writer, tmp_path, error) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"earlier")

    def fail() -> None:
        with writer.open_output(str(path), task_context()) as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert path.read_bytes() == b"earlier"
    assert os.listdir(tmp_path) == ["rows.csv"]


def test_a_kill_ends_the_block_and_only_that(writer, tmp_path) -> None:
    writer.on_kill()
    with pytest.raises(SystemExit), writer.open_output(str(tmp_path / "rows.csv"), task_context()):
        writer.on_kill()
    writer.on_kill()
    assert os.listdir(tmp_path) == []


def test_a_directory_is_refused_before_anything_is_written(writer, tmp_path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"output_path .* is a directory"):
        resolve_output_path(str(tmp_path))
    with pytest.raises(InvalidArgumentError, match="is a directory"):
        write(writer, tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("value", ["", " ", None, "None", "s3://bucket/folder/", 5])
def test_what_names_no_file_is_refused(value) -> None:
    with pytest.raises(InvalidArgumentError, match="extract_to must be the path"):
        validate_output_path(value, argument="extract_to")


@pytest.mark.parametrize(
    ("path", "namespace", "name"),
    [
        ("/data/rows.csv", "file", "/data/rows.csv"),
        ("file:///data/rows.csv", "file", "/data/rows.csv"),
        ("s3://bucket/a/rows.csv", "s3://bucket", "a/rows.csv"),
        ("s3://aws_default@bucket/a/rows.csv", "s3://bucket", "a/rows.csv"),
        ("gs://bucket/rows.jsonl", "gs://bucket", "rows.jsonl"),
    ],
)
def test_a_written_file_is_an_output_with_its_size_and_rows(writer, path, namespace, name) -> None:
    writer.record_output(path, size=12, rows=3)
    lineage = writer.get_openlineage_facets_on_complete(None)
    assert lineage is not None
    (output,) = lineage.outputs
    assert (output.namespace, output.name) == (namespace, name)
    statistics = output.outputFacets["outputStatistics"]
    assert (statistics.rowCount, statistics.size) == (3, 12)


def test_a_task_that_wrote_nothing_has_no_lineage(writer) -> None:
    assert writer.get_openlineage_facets_on_complete(None) is None


def test_files_are_added_to_the_lineage_of_the_run() -> None:
    task = RunAndFileWriter(task_id="write")
    before = task.get_openlineage_facets_on_complete(None)
    assert before is not None
    assert before.outputs == []
    task.record_output("s3://bucket/rows.csv", size=12)
    lineage = task.get_openlineage_facets_on_complete(None)
    assert lineage is not None
    assert lineage.run_facets["externalQuery"].externalQueryId == "r1"
    assert [one.name for one in lineage.outputs] == ["rows.csv"]
