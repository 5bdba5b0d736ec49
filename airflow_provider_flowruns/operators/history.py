"""Base of the operators that list runs: how many they read, and where the result goes."""

from __future__ import annotations

import gc
import hashlib
import json
from abc import abstractmethod
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import conf

from airflow_provider_flowruns.exceptions import ResultTooLarge
from airflow_provider_flowruns.get_provider_info import DEFAULT_MAX_XCOM_BYTES
from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.operators.base import ReadOperator
from airflow_provider_flowruns.services.validation import validate_limit
from airflow_provider_flowruns.tasks.arguments import check_when_known, require_rendered
from airflow_provider_flowruns.tasks.base import HookT

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.model.calls import Pages
    from airflow_provider_flowruns.model.runs import FlowRun, RunSummary

_MAX_RUNS = 999_999_999
#: Number of lines that are written at a time.
_LINES_PER_WRITE = 500
#: Size of the parts in which object storage is written; one part is kept in memory.
_UPLOAD_PART_BYTES = 8 * 1024 * 1024
#: Number of new objects that triggers a garbage collection while a file is written: those of a few pages.
_GC_THRESHOLD = 50_000


class HistoryOperator(ReadOperator[HookT]):
    """Base of the operators that list runs, into XCom or into a file.

    Without ``fetch_all`` the newest (or first) ``limit`` runs are read; with it the whole list is read page by page,
    and the next page is requested while one is processed. Runs that are added meanwhile neither hide nor duplicate
    others; they are left out if the newest come first, and may be in the result if the oldest do. Portable and
    TableFlow count their pages by offset: runs that leave the list meanwhile, because they are deleted or no longer
    have the requested ``status``, move as many others past the end of a page, and those are missing from the result.

    The result is the list of the runs' summaries. With ``output_path`` they are written to a file as JSON lines, with
    at most two pages in memory, and the result is a manifest: ``{"path", "count", "bytes", "oldest_created_at",
    "newest_created_at"}``. The file gets its name when it is complete, and replaces an earlier one; a task that fails
    writes none.

    :param limit: maximum number of runs, 1 to 1000 (default 100), templated; with ``fetch_all`` the page size.
    :param fetch_all: read all runs instead of ``limit``.
    :param max_runs: with ``fetch_all``, the maximum number of runs, templated.
    :param output_path: local path, or any URL that Airflow's object storage knows, of a file to write, templated.
    :raises InvalidArgumentError: a bad argument, at DAG parse where its value is known by then.
    :raises ResultTooLarge: without ``output_path``, as soon as the summaries take more bytes of JSON than
        ``[flowruns] max_xcom_bytes`` (default 1 MiB).
    """

    default_limit: ClassVar[int]
    max_limit: ClassVar[int]
    #: Page size when all runs are read.
    fetch_all_page_size: ClassVar[int]
    #: Names of the arguments that were given, which must not render to nothing.
    _given: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        limit: int | str | None = None,
        fetch_all: bool = False,
        max_runs: int | str | None = None,
        output_path: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.limit = limit
        self.fetch_all = fetch_all
        self.max_runs = max_runs
        self.output_path = output_path
        self._writing = False
        if not isinstance(fetch_all, bool):
            raise InvalidArgumentError(f"fetch_all must be True or False, got {fetch_all!r}")
        if max_runs is not None and not fetch_all:
            raise InvalidArgumentError("max_runs requires fetch_all=True; without it, limit sets the number of runs")
        if limit is not None:
            check_when_known(limit, partial(validate_limit, maximum=self.max_limit))
        if max_runs is not None:
            check_when_known(max_runs, _validate_max_runs)
        if output_path is not None:
            check_when_known(output_path, validate_output_path)

    @abstractmethod
    def pages(self, page_size: int) -> Pages[FlowRun]:
        """Return the list to read.

        :param page_size: number of runs per page.
        """

    def execute(self, context: Context) -> list[RunSummary] | dict[str, Any]:
        """Return the runs' summaries, or the manifest of the file that was written."""
        for name in self._given:
            require_rendered(getattr(self, name), argument=name)
        page_size, most = self._get_page_size_and_limit()
        path = None if self.output_path is None else validate_output_path(self.output_path)
        with self.hook as hook:
            runs = hook.client.iterate_ahead(self.pages(page_size), most)
            if path is None:
                return _collect_summaries(runs)
            self._writing = True
            try:
                with _collect_garbage_less_often():
                    return self._write(runs, path, context)
            finally:
                self._writing = False

    def on_kill(self) -> None:
        """Stop reading, so that the unfinished file is removed."""
        if self._writing:
            raise SystemExit("killed while the history was being written")

    def _get_page_size_and_limit(self) -> tuple[int, int | None]:
        """Return the page size and the maximum number of runs, None for all."""
        default = self.fetch_all_page_size if self.fetch_all else self.default_limit
        limit = default if self.limit is None else validate_limit(self.limit, maximum=self.max_limit)
        if not self.fetch_all:
            return limit, limit
        if self.max_runs is None:
            return limit, None
        most = _validate_max_runs(self.max_runs)
        return min(limit, most), most

    def _write(self, runs: Iterator[FlowRun], path: str, context: Context) -> dict[str, Any]:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        target, unfinished = ObjectStoragePath(path), ObjectStoragePath(f"{path}.{_get_owner_key(context)}.part")
        if target.is_dir():
            raise InvalidArgumentError(f"output_path {path!r} is a directory; name a file in it")
        fs = target.fs
        if target.protocol in {"", "file", "local"}:
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with fs.open(unfinished.path, "wb", block_size=_UPLOAD_PART_BYTES) as file:
                written = _write_lines(runs, file)
            fs.mv(unfinished.path, target.path)
        except BaseException:
            self._remove(fs, unfinished.path)
            raise
        self.log.info("Wrote %s runs (%s bytes) to %s", written["count"], written["bytes"], path)
        return {"path": path, **written}

    def _remove(self, fs: Any, path: str) -> None:
        try:
            if fs.exists(path):
                fs.rm_file(path)
        except Exception as error:
            # Not raised, to keep the error that came first; a retry overwrites the file.
            self.log.warning("Could not remove the unfinished file %s: %s", path, error)


def validate_output_path(value: Any) -> str:
    """Return the path of a file to write.

    :param value: the value as the DAG author passed it.
    :raises InvalidArgumentError: it is no text, or names no file.
    """
    # A template that finds nothing renders to the text "None".
    if not isinstance(value, str) or not value.strip() or value == "None" or value.endswith("/"):
        raise InvalidArgumentError(f"output_path must be the path or URL of a file, got {value!r}")
    return value


_validate_max_runs = partial(validate_limit, argument="max_runs", maximum=_MAX_RUNS)


@contextmanager
def _collect_garbage_less_often() -> Generator[None]:
    """Collect garbage less often.

    Reference counting frees the thousands of objects of a page. By default the garbage collector traverses them some
    twenty times per page, which takes about as long as reading them: 100,000 attempts take 6.0 s of CPU instead of 3.2.
    """
    youngest, *older = gc.get_threshold()
    gc.set_threshold(youngest and max(youngest, _GC_THRESHOLD), *older)  # 0: automatic collection is disabled
    try:
        yield
    finally:
        gc.set_threshold(youngest, *older)


def _collect_summaries(runs: Iterable[FlowRun]) -> list[RunSummary]:
    max_bytes = conf.getint("flowruns", "max_xcom_bytes", fallback=DEFAULT_MAX_XCOM_BYTES)
    found: list[RunSummary] = []
    size = 2  # the brackets
    for run in runs:
        summary = run.summary()
        found.append(summary)
        size += len(json.dumps(summary)) + 2
        if size - 2 > max_bytes:
            raise ResultTooLarge(
                f"the first {len(found)} runs take {size - 2} bytes of JSON, and XCom takes at most {max_bytes} "
                "([flowruns] max_xcom_bytes): set output_path to write them to a file, or read fewer runs"
            )
    return found


def _get_owner_key(context: Context) -> str:
    """Return what distinguishes this task instance's unfinished file from all others; it is the same in a retry."""
    ti = context["ti"]
    names: Sequence[Any] = (ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:12]


def _encode_lines(records: list[RunSummary]) -> bytes:
    import msgspec

    return msgspec.json.Encoder().encode_lines(records)


def _write_lines(runs: Iterator[FlowRun], file: Any) -> dict[str, Any]:
    count = size = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    while batch := list(islice(runs, _LINES_PER_WRITE)):
        data = _encode_lines([run.summary() for run in batch])
        file.write(data)
        size += len(data)
        count += len(batch)
        times = [run.created_at for run in batch if run.created_at]
        oldest = min((*times, *([oldest] if oldest else ())), default=None)
        newest = max((*times, *([newest] if newest else ())), default=None)
    return {
        "count": count,
        "bytes": size,
        "oldest_created_at": oldest.isoformat() if oldest else None,
        "newest_created_at": newest.isoformat() if newest else None,
    }
