"""Base of the operators that list runs: how many they read, and where the result goes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.operators.base import ReadOperator
from airflow_provider_flowruns.services.validation import validate_limit
from airflow_provider_flowruns.tasks.arguments import check_when_known, require_rendered
from airflow_provider_flowruns.tasks.base import HookT
from airflow_provider_flowruns.tasks.explained_errors import explains_errors
from airflow_provider_flowruns.tasks.output_file import OutputFileTask, prepare_output_path, validate_output_path
from airflow_provider_flowruns.tasks.xcom_size import collect_for_xcom

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.model.calls import Pages
    from airflow_provider_flowruns.model.runs import FlowRun, RunSummary

_MAX_RUNS = 999_999_999


class HistoryOperator(OutputFileTask, ReadOperator[HookT]):
    """Base of the operators that list runs, into XCom or into a file.

    Without ``fetch_all`` the newest (or first) ``limit`` runs are read; with it the whole list is read page by page,
    and the next page is requested while one is processed. Runs that are added meanwhile neither hide nor duplicate
    others; they are left out if the newest come first, and may be in the result if the oldest do. Where pages are
    counted by offset, as on Portable and TableFlow, runs that leave the list meanwhile, because they are deleted or no
    longer have the requested ``status``, move as many others past the end of a page, and those are missing from the
    result.

    The result is the list of the runs' summaries. With ``output_path`` they are written to a file as JSON lines, with
    at most two pages in memory, and the result is a manifest: ``{"path", "count", "bytes", "oldest_created_at",
    "newest_created_at"}``. The file gets its name when it is complete, and replaces an earlier one; a task that fails
    writes none.

    :param limit: maximum number of runs, 1 to 1000 on the three services of this package (default 100), templated; with
        ``fetch_all`` the page size.
    :param fetch_all: read all runs instead of ``limit``.
    :param max_runs: with ``fetch_all``, the maximum number of runs, templated.
    :param output_path: local path, or any URL that Airflow's object storage knows, of a file to write, templated.
    :raises InvalidArgumentError: a bad argument, at DAG parse where its value is known by then.
    :raises ResultTooLarge: without ``output_path``, as soon as the summaries take more bytes of JSON than
        ``[flowruns] max_xcom_bytes`` (default 1 MiB).
    """

    #: A subclass adds its own.
    template_fields: Sequence[str] = ("limit", "max_runs", "output_path")
    #: Number of runs without ``limit``.
    default_limit: ClassVar[int]
    #: Maximum of ``limit``: the service's largest page.
    max_limit: ClassVar[int]
    #: Page size when all runs are read.
    fetch_all_page_size: ClassVar[int]
    #: Names of the arguments that were given, which must not render to nothing: a filter that did would let all runs
    #: through. A subclass sets it once it has its arguments: ``get_given_arguments(self, *self.template_fields)``.
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

    @explains_errors
    def execute(self, context: Context) -> list[RunSummary] | dict[str, Any]:
        """Return the runs' summaries, or the manifest of the file that was written."""
        for name in self._given:
            require_rendered(getattr(self, name), argument=name)
        page_size, most = self._get_page_size_and_limit()
        path = None if self.output_path is None else prepare_output_path(self.output_path)
        with self.hook as hook:
            runs = hook.client.iterate_ahead(self.pages(page_size), most)
            if path is None:
                return collect_for_xcom((run.summary() for run in runs), "run")
            return self._write(runs, path, context)

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

    def _write(self, runs: Iterable[FlowRun], path: str, context: Context) -> dict[str, Any]:
        from airflow_provider_flowruns.tasks.json_lines import write_json_lines

        interval = _CreationInterval()
        with self.open_output(path, context) as file:
            written = write_json_lines(interval.iterate_summaries(runs), file)
        self.record_output(path, size=written.size, rows=written.count)
        return {"path": path, "count": written.count, "bytes": written.size, **interval.to_manifest()}


class _CreationInterval:
    """The times between which the runs that passed were created."""

    def __init__(self) -> None:
        self._oldest: datetime | None = None
        self._newest: datetime | None = None

    def iterate_summaries(self, runs: Iterable[FlowRun]) -> Iterator[Mapping[str, Any]]:
        """Yield the summaries of runs for msgspec's encoder.

        :param runs: the runs.
        """
        for run in runs:
            created_at = run.created_at
            if created_at:
                if self._oldest is None or created_at < self._oldest:
                    self._oldest = created_at
                if self._newest is None or created_at > self._newest:
                    self._newest = created_at
            yield run.encodable_summary()

    def to_manifest(self) -> dict[str, str | None]:
        """Return the two times as ISO-8601 text, None if no run had one."""
        from airflow_provider_flowruns.model.runs import format_iso

        return {
            "oldest_created_at": format_iso(self._oldest),
            "newest_created_at": format_iso(self._newest),
        }


_validate_max_runs = partial(validate_limit, argument="max_runs", maximum=_MAX_RUNS)
