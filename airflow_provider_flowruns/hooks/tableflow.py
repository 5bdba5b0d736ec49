"""Hook for TableFlow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from airflow_provider_flowruns.hooks.base import FlowRunsHook
from airflow_provider_flowruns.services.catalog import TABLEFLOW
from airflow_provider_flowruns.services.tableflow_arguments import DEFAULT_LIMIT, MAX_LIMIT

if TYPE_CHECKING:
    from airflow_provider_flowruns.model.calls import Download
    from airflow_provider_flowruns.model.choices import TableFlowStatus
    from airflow_provider_flowruns.model.extractions import DownloadedFile, Extraction, TableRow
    from airflow_provider_flowruns.model.runs import Flow, FlowRun
    from airflow_provider_flowruns.services.tableflow import TableFlowApi  # noqa: F401 (the base class quotes it)


class BinaryWriter(Protocol):
    """What a download is written to: an open binary file, for example."""

    def write(self, data: bytes, /) -> object:
        """Write a piece of the file."""


class TableFlowHook(FlowRunsHook["TableFlowApi"]):
    """Reads flows, flow runs and extractions of TableFlow.

    Every method raises an :class:`~airflow_provider_flowruns.exceptions.ApiError` if there is no usable response, and
    before any request ``InvalidArgumentError`` for an invalid argument or ``ConfigurationError`` for an invalid
    connection.

    :param tableflow_conn_id: Airflow connection of type ``tableflow``.
    """

    info = TABLEFLOW

    def __init__(self, tableflow_conn_id: str = TABLEFLOW.default_conn_id) -> None:
        super().__init__()
        self.tableflow_conn_id = tableflow_conn_id

    def get_flow_run(self, run_id: str) -> FlowRun:
        """Return one flow run (``GET /v2/flows/runs/{id}``).

        :param run_id: the run's id, letters and digits.
        """
        return self._send(self.api.get_flow_run(run_id))

    def get_run_attempts(self, run_id: str) -> tuple[FlowRun, ...]:
        """Return the attempts of one flow run, reruns included, newest first (``GET /v2/flows/runs/{id}``).

        :param run_id: the run's id, letters and digits.
        """
        return self._send(self.api.get_run_attempts(run_id))

    def list_flow_runs(
        self, *, flow_id: str | None = None, status: TableFlowStatus | None = None, limit: int | str = DEFAULT_LIMIT
    ) -> Iterator[FlowRun]:
        """Yield the workspace's flow runs, newest first (``GET /v2/flows/runs``).

        :param flow_id: only runs of this flow.
        :param status: only runs in this status: processing, review, completed or failed.
        :param limit: runs a page, 1 to 1000.
        """
        return self._iterate(self.api.list_flow_runs(flow_id=flow_id, status=status, limit=limit))

    def list_flows(self) -> tuple[Flow, ...]:
        """Return the workspace's active flows (``GET /v2/flows``)."""
        return self._send(self.api.list_flows())

    def get_extraction(self, extraction_id: str) -> Extraction:
        """Return what was found in a document, without the rows of its tables (``GET /v2/extractions/{id}``).

        :param extraction_id: the extraction's id, letters and digits.
        """
        from airflow_provider_flowruns.services import tableflow_extractions

        return self._send(tableflow_extractions.get_extraction(extraction_id))

    def iterate_table_rows(
        self, extraction_id: str, table: str, *, filter: str = "all", limit: int | str = MAX_LIMIT
    ) -> Iterator[TableRow]:
        """Yield the rows of a table in their order (``GET /v2/extractions/{id}/tables/{key}/rows``).

        A row that cannot be read, or a list that ends before its total, raises ``UnexpectedResponseError``.

        :param extraction_id: the extraction's id, letters and digits.
        :param table: the table's key.
        :param filter: all, valid, invalid, error, warn or info, or several of them with commas between.
        :param limit: rows a page, 1 to 1000.
        """
        from airflow_provider_flowruns.services import tableflow_extractions

        return self._iterate(tableflow_extractions.list_table_rows(extraction_id, table, filter, limit))

    def download_table(
        self, extraction_id: str, table: str, file: BinaryWriter, *, filter: str = "all"
    ) -> DownloadedFile:
        """Write a table as CSV to a file (``GET /v2/extractions/{id}/tables/{key}/download``); at most 500,000 rows.

        :param extraction_id: the extraction's id, letters and digits.
        :param table: the table's key.
        :param file: an open binary file.
        :param filter: all, valid, invalid, error, warn or info, or several of them with commas between.
        """
        from airflow_provider_flowruns.services import tableflow_extractions

        return self._download(tableflow_extractions.download_table(extraction_id, table, filter), file)

    def download_original(self, extraction_id: str, file: BinaryWriter) -> DownloadedFile:
        """Write the document that was uploaded to a file (``GET /v2/extractions/{id}/download-original``).

        :param extraction_id: the extraction's id, letters and digits.
        :param file: an open binary file.
        """
        from airflow_provider_flowruns.services import tableflow_extractions

        return self._download(tableflow_extractions.download_original(extraction_id), file)

    def _download(self, download: Download, file: BinaryWriter) -> DownloadedFile:
        from airflow_provider_flowruns.services.tableflow_extractions import describe_file

        size = 0
        with self.client.download(download) as body:
            for chunk in body.chunks:
                file.write(chunk)
                size += len(chunk)
            return describe_file(body.headers, size)
