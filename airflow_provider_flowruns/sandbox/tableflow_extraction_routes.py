"""The extraction endpoints of the TableFlow API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from airflow_provider_flowruns.sandbox.responses import StreamedResponse, build_json_response
from airflow_provider_flowruns.sandbox.tableflow_errors import raise_not_found
from airflow_provider_flowruns.sandbox.tableflow_extractions import Extraction, build_disposition, list_extractions
from airflow_provider_flowruns.sandbox.tableflow_input import parse_limit, parse_offset
from airflow_provider_flowruns.sandbox.tableflow_tables import ALL, parse_filter

if TYPE_CHECKING:
    from airflow_provider_flowruns.sandbox.tableflow import TableFlow


class ExtractionRoutes:
    """The handlers of the extraction endpoints.

    :param service: the service that has the runs.
    """

    def __init__(self, service: TableFlow) -> None:
        self._service = service

    def build_routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        build_route = self._service.build_route
        return [
            build_route("GET", "/v2/extractions", self._list_extractions),
            build_route("GET", "/v2/extractions/{id}", self._get_extraction),
            build_route("GET", "/v2/extractions/{id}/tables/{key}/rows", self._list_rows),
            build_route("GET", "/v2/extractions/{id}/tables/{key}/download", self._download_table),
            build_route("GET", "/v2/extractions/{id}/download-original", self._download_original),
        ]

    def _list_extractions(self, request: web.Request, now: float) -> web.Response:
        """List the extractions, newest first. Unlike other lists, this one has no ``pagination``."""
        self._service.check_token(request)
        template_id = request.query.get("template_id")
        limit, offset = parse_limit(request), parse_offset(request)
        extractions = [
            extraction
            for flow in self._service.flows
            for run in flow.list_visible_runs(now)
            for extraction in list_extractions(run)
            if template_id in {None, flow.template_ids[extraction.step_id]}
        ]
        extractions.sort(key=lambda extraction: extraction.attempt.started_at, reverse=True)
        page = extractions[offset : offset + limit]
        return build_json_response(
            {
                "extractions": [extraction.build_summary(now) for extraction in page],
                "total": len(extractions),
                "limit": limit,
                "offset": offset,
            }
        )

    def _get_extraction(self, request: web.Request, now: float) -> web.Response:
        return build_json_response(self._find_extraction(request, now).build_row(now))

    def _list_rows(self, request: web.Request, now: float) -> web.Response:
        table = self._find_extraction(request, now).get_table(request.match_info["key"], now)
        limit, offset = parse_limit(request), parse_offset(request)
        return build_json_response(table.build_page(offset, limit, request.query.get("filter", ALL)))

    def _download_table(self, request: web.Request, now: float) -> web.Response:
        table = self._find_extraction(request, now).get_table(request.match_info["key"], now)
        pieces = table.iterate_csv(parse_filter(request.query.get("filter", ALL)))
        headers = {"Content-Type": "text/csv", "Content-Disposition": build_disposition(f"{table.key}.csv")}
        return StreamedResponse(pieces, headers)

    def _download_original(self, request: web.Request, now: float) -> web.Response:
        extraction = self._find_extraction(request, now)
        document = extraction.get_document()
        headers = {
            "Content-Type": document.content_type or "application/octet-stream",
            "Content-Disposition": build_disposition(document.filename or ""),
        }
        return web.Response(body=extraction.get_document_content(), headers=headers)

    def _find_extraction(self, request: web.Request, now: float) -> Extraction:
        self._service.check_token(request)
        extraction_id = request.match_info["id"]
        run = self._service.runs_by_extraction_id.get(extraction_id)
        # A run that was deleted with its flow may not have been collected yet.
        if run is None or self._service.runs_by_id.get(run.id) is not run or not run.is_visible(now):
            raise_not_found("There is no such extraction")
        run.flow.advance(now)
        return next(extraction for extraction in list_extractions(run) if extraction.id == extraction_id)
