"""Write a file that is complete or not there, to any storage that Airflow knows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_flowruns.model.counts import format_count
from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.services.parsing import describe_value

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_flowruns.tasks.written_file import WrittenFile

#: Size of the parts in which object storage is written; one part is kept in memory.
_UPLOAD_PART_BYTES = 8 * 1024 * 1024


class OutputFileTask:
    """Mixin of an operator that writes files; it comes before the operator's other base classes."""

    log: Any
    _is_writing = False
    _written: tuple[WrittenFile, ...] = ()

    @contextmanager
    def open_output(self, path: str, context: Context) -> Generator[BinaryIO]:
        """Yield a binary file that gets its name when the block ends, and replaces an earlier file of that name.

        If the block raises an error, or the task is killed in it, the file is removed and an earlier one stays. A task
        that dies without a word leaves an unfinished file, which its retry overwrites.

        :param path: local path or URL of the file.
        :param context: Airflow's context of the task.
        :raises InvalidArgumentError: the path is a directory.
        """
        target, unfinished = resolve_output_path(path), _resolve(f"{path}.{_get_owner_key(context)}.part")
        fs = target.fs
        if target.protocol in {"", "file", "local"}:
            target.parent.mkdir(parents=True, exist_ok=True)
        self._is_writing = True
        try:
            with fs.open(unfinished.path, "wb", block_size=_UPLOAD_PART_BYTES) as file:
                yield file
            fs.mv(unfinished.path, target.path)
        except BaseException:
            self._remove(fs, unfinished.path)
            raise
        finally:
            self._is_writing = False

    def record_output(self, path: str, *, size: int, rows: int | None = None) -> None:
        """Store what was written, for lineage.

        :param path: local path or URL of the file.
        :param size: its size in bytes.
        :param rows: number of its rows, None for a file without rows.
        """
        from airflow_provider_flowruns.tasks.written_file import WrittenFile

        self._written = (*self._written, WrittenFile(path, size, rows))
        self.log.info(
            "Wrote %s (%s%s)",
            path,
            "" if rows is None else f"{format_count(rows, 'row')}, ",
            format_count(size, "byte"),
        )

    def on_kill(self) -> None:
        """Stop writing, so that the unfinished file is removed."""
        super().on_kill()  # type: ignore[misc]
        if self._is_writing:
            raise SystemExit("killed while a file was being written")

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Return what OpenLineage is told about the files that were written, and about the task's run if it has one.

        :param task_instance: not needed, the task itself holds what it wrote.
        """
        from airflow_provider_flowruns.tasks.lineage import add_output_files

        get_facets = getattr(super(), "get_openlineage_facets_on_complete", None)
        return add_output_files(get_facets(task_instance) if get_facets else None, self._written)

    def _remove(self, fs: Any, path: str) -> None:
        try:
            if fs.exists(path):
                fs.rm_file(path)
        except Exception as error:
            # Not raised, to keep the error that came first; a retry overwrites the file.
            self.log.warning("Could not remove the unfinished file %s: %s", path, error)


def validate_output_path(value: Any, *, argument: str = "output_path") -> str:
    """Return the path of a file to write.

    :param value: the value as the DAG author passed it.
    :param argument: the argument's name, for the message.
    :raises InvalidArgumentError: it is no text, or names no file.
    """
    # A template that finds nothing renders to the text "None".
    if not isinstance(value, str) or not value.strip() or value == "None" or value.endswith("/"):
        raise InvalidArgumentError(f"{argument} must be the path or URL of a file, got {describe_value(value)}")
    return value


def prepare_output_path(value: Any) -> str:
    """Return the path of a file to write; call it before any request, to find a wrong one in time.

    :param value: the rendered value of ``output_path``.
    :raises InvalidArgumentError: it is no text, names no file, or is a directory.
    """
    path = validate_output_path(value)
    resolve_output_path(path)
    return path


def resolve_output_path(path: str, *, argument: str = "output_path") -> Any:
    """Return a path as Airflow's object storage path; call it before any request, to find a wrong one in time.

    :param path: local path or URL of a file.
    :param argument: the argument's name, for the message.
    :raises InvalidArgumentError: the path is a directory.
    """
    target = _resolve(path)
    if target.is_dir():
        raise InvalidArgumentError(f"{argument} {path!r} is a directory; name a file in it")
    return target


def _resolve(path: str) -> Any:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return ObjectStoragePath(path)


def _get_owner_key(context: Context) -> str:
    """Return what distinguishes this task instance's unfinished file from all others; it is the same in a retry."""
    ti = context["ti"]
    names: Sequence[Any] = (ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:12]
