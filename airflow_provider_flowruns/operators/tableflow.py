"""Operators on TableFlow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.operators.base import ReadRunOperator
from airflow_provider_flowruns.operators.extract_to import ExtractToTask, check_extract_to, prepare_extract_to
from airflow_provider_flowruns.operators.file_arguments import (
    Paths,
    parse_file_metadata,
    parse_files,
    parse_guidance,
)
from airflow_provider_flowruns.operators.flows import ListFlowsOperator
from airflow_provider_flowruns.operators.history import HistoryOperator
from airflow_provider_flowruns.operators.run import RunOperator
from airflow_provider_flowruns.operators.tableflow_extractions import (
    TableFlowDownloadOriginalOperator,
    TableFlowDownloadTableOperator,
    TableFlowGetExtractionOperator,
    TableFlowGetTableRowsOperator,
)
from airflow_provider_flowruns.services.catalog import TABLEFLOW
from airflow_provider_flowruns.services.payload import parse_object
from airflow_provider_flowruns.services.tableflow_arguments import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    validate_flow_id,
    validate_run_id,
    validate_status,
)
from airflow_provider_flowruns.tasks.arguments import (
    check_text,
    check_when_known,
    get_given_arguments,
    get_known_part,
    require_rendered,
)
from airflow_provider_flowruns.tasks.explained_errors import explains_errors
from airflow_provider_flowruns.tasks.xcom_size import check_xcom_size

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.hooks.tableflow import TableFlowHook  # noqa: F401 (base classes quote it)
    from airflow_provider_flowruns.model.calls import Pages
    from airflow_provider_flowruns.model.runs import Flow, FlowRun, RunSummary
    from airflow_provider_flowruns.tasks.started_run import StartedRun
    from airflow_provider_flowruns.tasks.starting import RunStarter

__all__ = [
    "TableFlowDownloadOriginalOperator",
    "TableFlowDownloadTableOperator",
    "TableFlowGetExtractionOperator",
    "TableFlowGetFlowRunOperator",
    "TableFlowGetRunAttemptsOperator",
    "TableFlowGetTableRowsOperator",
    "TableFlowListFlowRunsOperator",
    "TableFlowListFlowsOperator",
    "TableFlowRunFlowOperator",
]


#: What to do about attempts that are too large for XCom.
_ATTEMPTS_ADVICE = "read them with TableFlowHook.get_run_attempts in a task of your own, or raise the limit"


class ReadFlowRunOperator(ReadRunOperator["TableFlowHook"]):
    """Base of the operators that read one flow run by its id.

    :param run_id: the run's id, templated.
    :param tableflow_conn_id: Airflow connection of type ``tableflow``, templated.
    """

    template_fields: Sequence[str] = ("run_id", "tableflow_conn_id")
    info = TABLEFLOW

    def __init__(self, *, run_id: str, tableflow_conn_id: str = TABLEFLOW.default_conn_id, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.tableflow_conn_id = tableflow_conn_id
        check_when_known(run_id, validate_run_id)


class TableFlowGetFlowRunOperator(ReadFlowRunOperator):
    """Return the summary of a flow run in its current state.

    Reads ``GET /v2/flows/runs/{id}``. Raises ``InvalidArgumentError`` for an invalid id, and an ``ApiError``
    if there is no usable response.
    """

    @explains_errors
    def execute(self, context: Context) -> RunSummary:
        """Return the run's summary."""
        with self.hook as hook:
            return self.result(hook.get_flow_run(self.run_id).summary(), context)


class TableFlowGetRunAttemptsOperator(ReadFlowRunOperator):
    """Return the attempts of one flow run as a list of run summaries, newest first, reruns included.

    Each has its own number, status, times and error, and its own steps in ``details``; what the run has only once, such
    as its metadata and files, is in each of them. Reads ``GET /v2/flows/runs/{id}``. Raises ``InvalidArgumentError``
    for an invalid id, an ``ApiError`` if there is no usable response, and ``ResultTooLarge`` if the summaries take more
    bytes of JSON than ``[flowruns] max_xcom_bytes`` (default 1 MiB). The asset events of its ``outlets`` are about the
    newest attempt.
    """

    @explains_errors
    def execute(self, context: Context) -> list[RunSummary]:
        """Return the attempts' summaries."""
        with self.hook as hook:
            attempts = hook.get_run_attempts(self.run_id)
        summaries = [attempt.summary() for attempt in attempts]
        check_xcom_size(summaries, f"the list of attempts of run {self.run_id}", _ATTEMPTS_ADVICE)
        self.result(summaries[0], context)
        return summaries


class TableFlowListFlowRunsOperator(HistoryOperator["TableFlowHook"]):
    """Return the workspace's flow runs, newest first, as a list of run summaries, or write them to a file.

    Reads ``GET /v2/flows/runs``; ``limit``, ``fetch_all``, ``max_runs`` and ``output_path``, and what is returned and
    raised, are those of :class:`~airflow_provider_flowruns.operators.history.HistoryOperator`. A request without a
    usable response raises an ``ApiError``.

    :param flow_id: only runs of this flow, templated.
    :param status: only runs in this status: processing, review, completed or failed, templated.
    :param tableflow_conn_id: Airflow connection of type ``tableflow``, templated.
    """

    template_fields: Sequence[str] = (
        "flow_id",
        "status",
        "limit",
        "max_runs",
        "output_path",
        "tableflow_conn_id",
    )
    info = TABLEFLOW
    default_limit = DEFAULT_LIMIT
    max_limit = fetch_all_page_size = MAX_LIMIT

    def __init__(
        self,
        *,
        flow_id: str | None = None,
        status: str | None = None,
        tableflow_conn_id: str = TABLEFLOW.default_conn_id,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.status = status
        self.tableflow_conn_id = tableflow_conn_id
        if flow_id is not None:
            check_when_known(flow_id, validate_flow_id)
        check_when_known(status, validate_status)
        self._given = get_given_arguments(self, *self.template_fields)

    def pages(self, page_size: int) -> Pages[FlowRun]:
        """Return the workspace's flow runs."""
        runs: Pages[FlowRun] = self.hook.api.list_flow_runs(flow_id=self.flow_id, status=self.status, limit=page_size)
        return runs


class TableFlowListFlowsOperator(ListFlowsOperator["TableFlowHook"]):
    """Return the workspace's active flows as a list of flow summaries.

    Reads ``GET /v2/flows``; what is returned and raised is that of
    :class:`~airflow_provider_flowruns.operators.flows.ListFlowsOperator`.

    :param tableflow_conn_id: Airflow connection of type ``tableflow``, templated.
    """

    template_fields: Sequence[str] = ("tableflow_conn_id",)
    info = TABLEFLOW

    def __init__(self, *, tableflow_conn_id: str = TABLEFLOW.default_conn_id, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tableflow_conn_id = tableflow_conn_id

    def list_flows(self) -> Iterable[Flow]:
        """Return the workspace's flows."""
        return self.hook.list_flows()


class TableFlowRunFlowOperator(ExtractToTask, RunOperator["TableFlowHook"]):
    """Start a flow with its files, and wait for that very run; write the tables that it extracted, if asked to.

    Starts it with ``POST /v2/flows/{id}/run``, whose response is the run. The files are streamed; before that, they are
    checked against the flow's configuration. The run's metadata contains a value that no other start has, so that the
    run is found even if the response is lost.

    TableFlow cannot cancel a run: if the task is killed, its log says that the run continues.

    With ``extract_to`` the tables of the run's extractions are written when the run has succeeded, and the result is
    the run's summary with ``extracted``: a list of ``{"extraction_id", "step_id", "table", "path", "count", "bytes"}``.
    A table without rows is an empty file. Each file gets its name when it is complete, and replaces an earlier one; on
    Airflow 3.3 and newer a retry takes the same run and writes them again. What trying again would not change raises
    ``ExtractToFailed``.

    The four arguments that are objects may be given as JSON text, too. Datetimes in metadata are sent as ISO-8601 text.

    :param flow_id: the flow's id, templated.
    :param files: file field key to a path, or to a list of paths for a field that takes several files; local, or any
        URL that Airflow's object storage knows, templated.
    :param file_metadata: file field key to a JSON object, templated.
    :param guidance: file field key to a text that guides the extraction, templated.
    :param metadata: JSON object kept with the run, templated.
    :param name: name of the run, templated.
    :param extract_to: path or URL of a file for each table, such as ``s3://bucket/{run_id}/{table}.jsonl``, templated;
        it ends in ``.jsonl`` or ``.parquet`` and may contain ``{run_id}``, ``{flow_id}``, ``{step_id}``,
        ``{extraction_id}`` and ``{table}``.
    :param correlation_key: key under which this task's own value is added to the metadata.
    :param tableflow_conn_id: Airflow connection of type ``tableflow``, templated.
    """

    template_fields: Sequence[str] = (
        "flow_id",
        "files",
        "file_metadata",
        "guidance",
        "metadata",
        "name",
        "extract_to",
        "tableflow_conn_id",
    )
    info = TABLEFLOW

    def __init__(
        self,
        *,
        flow_id: str,
        files: Mapping[str, Paths] | str | None = None,
        file_metadata: Mapping[str, Mapping[str, Any] | str] | str | None = None,
        guidance: Mapping[str, str] | str | None = None,
        metadata: Mapping[str, Any] | str | None = None,
        name: str | None = None,
        extract_to: str | None = None,
        correlation_key: str = "airflow_run",
        tableflow_conn_id: str = TABLEFLOW.default_conn_id,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.files = files
        self.file_metadata = file_metadata
        self.guidance = guidance
        self.metadata = metadata
        self.name = name
        self.extract_to = extract_to
        self.correlation_key = correlation_key
        self.tableflow_conn_id = tableflow_conn_id
        check_when_known(flow_id, validate_flow_id)
        check_text(correlation_key, argument="correlation_key")
        parse_object(get_known_part(metadata), argument="metadata", reserved=correlation_key)
        parse_files(get_known_part(files))
        check_when_known(file_metadata, parse_file_metadata)
        check_when_known(guidance, parse_guidance)
        if extract_to is not None:
            check_extract_to(extract_to)
            if not self.wait:
                raise InvalidArgumentError("extract_to requires wait=True: only a run that has ended has its tables")
        self._given = get_given_arguments(self, "files", "file_metadata", "guidance", "metadata")
        self._extracts = extract_to is not None

    def start_run(self, starter: RunStarter) -> StartedRun:
        """Send the files and start the flow."""
        from airflow_provider_flowruns.operators.tableflow_runs import start_flow

        flow_id = validate_flow_id(self.flow_id)
        if self._extracts:
            prepare_extract_to(self.extract_to)
        for name in self._given:
            require_rendered(getattr(self, name), argument=name)
        return start_flow(self, flow_id, starter)

    def add_results(self, summary: RunSummary, context: Context) -> Mapping[str, Any]:
        """Write the run's tables, if asked to."""
        from airflow_provider_flowruns.operators.tableflow_runs import extract_tables

        result = super().add_results(summary, context)
        if not self._extracts:
            return result
        return {**result, "extracted": extract_tables(self, summary, context)}
