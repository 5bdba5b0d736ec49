"""What the operators that list runs share: how many they read, and where the result goes."""

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

#: Bytes of JSON that go to XCom unless ``[flowruns] max_xcom_bytes`` says otherwise.
DEFAULT_MAX_XCOM_BYTES = 1024 * 1024

_MOST_RUNS = 999_999_999
#: So many lines are written at a time.
_BATCH = 500
#: Storage that uploads in parts keeps one part in memory.
_BLOCK_BYTES = 8 * 1024 * 1024
#: New objects that bring on a garbage collection while a file is written: those of a few pages.
_NEW_OBJECTS = 50_000


class HistoryOperator(ReadOperator[HookT]):
    """Base of the operators that list runs, into XCom or into a file.

    Without ``fetch_all`` the newest (or first) ``limit`` runs are read; with it the list is walked to its end, page by
    page, the next one being asked for while one is used up. Runs that arrive meanwhile neither hide others nor double
    them; they are left out where the newest come first, and may be in the result where the oldest do. Where a service
    counts its pages by offset (Portable, TableFlow), runs that leave the list meanwhile, because they are deleted or
    are no longer in the ``status`` asked for, move as many others past the end of a page, and those are missing.

    The result is the list of the runs' summaries. With ``output_path`` they are written there as JSON lines, with never
    more than two pages in memory, and the result is a manifest: ``{"path", "count", "bytes", "oldest_created_at",
    "newest_created_at"}``. The file appears under its name when it is complete, in place of an earlier one, and not at
    all when the task fails.

    :param limit: runs read at most, 1 to 1000 (default 100), templated; with ``fetch_all`` the size of a page.
    :param fetch_all: read all runs and not just ``limit``.
    :param max_runs: with ``fetch_all``, runs read at most, templated.
    :param output_path: local path, or any URL that Airflow's object storage knows, of a file to write, templated.
    :raises InvalidArgumentError: a bad argument, at DAG parse where its value is known by then.
    :raises ResultTooLarge: without ``output_path``, as soon as the summaries come to more bytes of JSON than
        ``[flowruns] max_xcom_bytes`` (default 1 MiB).
    """

    default_limit: ClassVar[int]
    max_limit: ClassVar[int]
    #: Runs a page when all are read.
    walk_limit: ClassVar[int]
    #: The arguments that were given, which must not render to nothing.
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
            raise InvalidArgumentError(
                "max_runs goes with fetch_all=True; without it, limit says how many runs are read"
            )
        if limit is not None:
            check_when_known(limit, partial(validate_limit, maximum=self.max_limit))
        if max_runs is not None:
            check_when_known(max_runs, _checked_max_runs)
        if output_path is not None:
            check_when_known(output_path, checked_output_path)

    @abstractmethod
    def pages(self, page_size: int) -> Pages[FlowRun]:
        """Return the list as the service has it.

        :param page_size: runs a page.
        """

    def execute(self, context: Context) -> list[RunSummary] | dict[str, Any]:
        """Return the runs' summaries, or what is in the file that was written."""
        for name in self._given:
            require_rendered(getattr(self, name), argument=name)
        page_size, most = self._sizes()
        path = None if self.output_path is None else checked_output_path(self.output_path)
        with self.hook as hook:
            runs = hook.client.iterate_ahead(self.pages(page_size), most)
            if path is None:
                return _fitting_summaries(runs)
            self._writing = True
            try:
                with _rare_collections():
                    return self._write(runs, path, context)
            finally:
                self._writing = False

    def on_kill(self) -> None:
        """Leave the walk, so that the unfinished file is removed on the way out."""
        if self._writing:
            raise SystemExit("killed while the history was written")

    def _sizes(self) -> tuple[int, int | None]:
        """Return the size of a page and the most runs to read, None for all."""
        default = self.walk_limit if self.fetch_all else self.default_limit
        limit = default if self.limit is None else validate_limit(self.limit, maximum=self.max_limit)
        if not self.fetch_all:
            return limit, limit
        if self.max_runs is None:
            return limit, None
        most = _checked_max_runs(self.max_runs)
        return min(limit, most), most

    def _write(self, runs: Iterator[FlowRun], path: str, context: Context) -> dict[str, Any]:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        target, unfinished = ObjectStoragePath(path), ObjectStoragePath(f"{path}.{_owner(context)}.part")
        if target.is_dir():
            raise InvalidArgumentError(f"output_path {path!r} is a directory; name a file in it")
        fs = target.fs
        if target.protocol in {"", "file", "local"}:
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with fs.open(unfinished.path, "wb", block_size=_BLOCK_BYTES) as file:
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
            # Not instead of what went wrong before; a retry overwrites it.
            self.log.warning("The unfinished file %s could not be removed: %s", path, error)


def checked_output_path(value: Any) -> str:
    """Return the path of a file to write.

    :param value: the value as the DAG author passed it.
    :raises InvalidArgumentError: it is no text, or names no file.
    """
    # The text "None" is what a template renders when it finds nothing.
    if not isinstance(value, str) or not value.strip() or value == "None" or value.endswith("/"):
        raise InvalidArgumentError(f"output_path must be the path or URL of a file, got {value!r}")
    return value


_checked_max_runs = partial(validate_limit, argument="max_runs", maximum=_MOST_RUNS)


@contextmanager
def _rare_collections() -> Generator[None]:
    """Let garbage collections wait for more garbage.

    Each page brings thousands of objects that go by themselves; by default they are gone through some twenty times a
    page, which takes as long as reading them.
    """
    youngest, *older = gc.get_threshold()
    gc.set_threshold(youngest and max(youngest, _NEW_OBJECTS), *older)  # 0: somebody has switched collections off
    try:
        yield
    finally:
        gc.set_threshold(youngest, *older)


def _fitting_summaries(runs: Iterable[FlowRun]) -> list[RunSummary]:
    most_bytes = conf.getint("flowruns", "max_xcom_bytes", fallback=DEFAULT_MAX_XCOM_BYTES)
    found: list[RunSummary] = []
    size = 2  # the brackets
    for run in runs:
        summary = run.summary()
        found.append(summary)
        size += len(json.dumps(summary)) + 2
        if size - 2 > most_bytes:
            raise ResultTooLarge(
                f"the first {len(found)} runs come to {size - 2} bytes of JSON, and XCom takes {most_bytes} "
                "([flowruns] max_xcom_bytes): set output_path to have them written to a file, or read fewer runs"
            )
    return found


def _owner(context: Context) -> str:
    """Return what tells this task instance's unfinished file from any other's; a retry has the same."""
    ti = context["ti"]
    names: Sequence[Any] = (ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:12]


def _lines(records: list[RunSummary]) -> bytes:
    import msgspec

    return msgspec.json.Encoder().encode_lines(records)


def _write_lines(runs: Iterator[FlowRun], file: Any) -> dict[str, Any]:
    count = size = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    while batch := list(islice(runs, _BATCH)):
        data = _lines([run.summary() for run in batch])
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
