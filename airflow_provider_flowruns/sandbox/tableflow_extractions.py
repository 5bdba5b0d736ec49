"""Extractions of TableFlow: what a run read from a document, as the API shows it."""

from __future__ import annotations

import mimetypes
from pathlib import PurePath
from typing import Any, NamedTuple
from urllib.parse import quote

from airflow_provider_flowruns.sandbox.tableflow_errors import raise_not_found
from airflow_provider_flowruns.sandbox.tableflow_forms import MAX_KEPT_FILE_BYTES, UploadedPart
from airflow_provider_flowruns.sandbox.tableflow_runs import TableFlowAttempt, TableFlowRun
from airflow_provider_flowruns.sandbox.tableflow_tables import ALL, Table, build_definitions, build_validations

INLINE_LIMIT = 100
"""Number of rows of each table inside an extraction: the first page only."""
_CONTENT = b"%PDF-1.4\n% The document of a run that no file was uploaded for.\n"
DEFAULT_DOCUMENT = UploadedPart("document", "document.pdf", "application/pdf", len(_CONTENT), "", None, _CONTENT)
"""The document of a run that was added without a file."""


class Extraction(NamedTuple):
    """One extraction: what one step of one attempt of a run reads from one document.

    :param id: its id.
    :param step_id: id of the flow's step.
    :param attempt: the attempt.
    :param run: the run.
    """

    id: str
    step_id: str
    attempt: TableFlowAttempt
    run: TableFlowRun

    def get_status(self, now: float) -> str:
        """Return the status: completed as soon as the data is there, else that of the attempt."""
        if self.run.get_extracted_at(self.attempt, now) is not None:
            return "completed"
        return self.run.list_attempt_status_changes(self.attempt, now)[-1].status

    def get_table(self, key: str, now: float) -> Table:
        """Return one of its tables.

        :param key: the table's key.
        :param now: epoch seconds. An extraction that is not completed has no tables.
        """
        table = self.attempt.tables.get(key) if self.get_status(now) == "completed" else None
        return table or raise_not_found("The extraction has no such table")

    def get_document(self) -> UploadedPart:
        """Return its document: the steps of a flow read the uploaded files in their order."""
        files = [part for part in self.run.parts if part.filename is not None] or [DEFAULT_DOCUMENT]
        number = list(self.attempt.extraction_ids).index(self.step_id)
        return files[min(number, len(files) - 1)]

    def get_document_content(self) -> bytes:
        """Return the content of its document."""
        content = self.get_document().content
        if content is None:
            raise_not_found(f"The sandbox keeps documents of at most {MAX_KEPT_FILE_BYTES} bytes, this one is larger")
        return content

    def build_summary(self, now: float) -> dict[str, Any]:
        """Return the extraction as in a list."""
        name = self.get_document().filename or ""
        return {
            "id": self.id,
            "status": self.get_status(now),
            "template_id": self.run.flow.template_ids[self.step_id],
            "metadata": dict(self.run.metadata) or None,
            "created_at": int(self.attempt.started_at),
            "updated_at": self._get_updated_at(now),
            "file_info": {"file_name": name, "file_type": _get_extension(name)},
        }

    def build_row(self, now: float) -> dict[str, Any]:
        """Return the whole extraction; its data only when it is completed."""
        document, template = self.get_document(), self._build_template()
        name = document.filename or ""
        row: dict[str, Any] = {
            "id": self.id,
            "workspace_id": self.run.flow.workspace_id,
            "template_id": template["id"],
            "template_name": template["name"],
            "file_name": name,
            "file_size": document.size,
            "file_type": {
                "key": "document" if _get_extension(name) == "pdf" else "spreadsheet",
                "extension": _get_extension(name),
                "mime_type": mimetypes.guess_type(name)[0] or "application/octet-stream",
            },
            "status": self.get_status(now),
            "status_history": self._list_status_history(now),
            "created_at": int(self.attempt.started_at),
            "updated_at": self._get_updated_at(now),
        }
        if row["status"] == "completed":
            row |= {"data": self._build_data(), "stats": self._build_stats()}
        return row | {"template": template}

    def _get_updated_at(self, now: float) -> int:
        return int(self._list_status_history(now)[-1]["time"])

    def _list_status_history(self, now: float) -> list[dict[str, Any]]:
        history = [{"status": "processing", "time": int(self.attempt.started_at), "message": "Document received"}]
        if (status := self.get_status(now)) == "processing":
            return history
        at = self.run.get_extracted_at(self.attempt, now)
        if at is None:
            at = self.run.list_attempt_status_changes(self.attempt, now)[-1].at
        message = self.run.get_attempt_error(self.attempt, now) if status == "failed" else None
        return [*history, {"status": status, "time": int(at), "message": message or f"The extraction is {status}"}]

    def _build_data(self) -> dict[str, Any]:
        fields, tables = self.attempt.fields, self.attempt.tables.values()
        return {
            "fields": {"values": dict(fields), "validations": build_validations(fields)},
            "tables": {table.key: table.build_page(0, INLINE_LIMIT, ALL) for table in tables},
        }

    def _build_stats(self) -> dict[str, Any]:
        fields = self.attempt.fields
        invalid = len(build_validations(fields))
        return {
            "fields": {"valid": len(fields) - invalid, "invalid": invalid, "total": len(fields)},
            "tables": {table.key: table.build_stats() for table in self.attempt.tables.values()},
        }

    def _build_template(self) -> dict[str, Any]:
        flow = self.run.flow
        return {
            "id": flow.template_ids[self.step_id],
            "name": next(step["title"] for step in flow.steps if step["id"] == self.step_id),
            "fields": build_definitions(list(self.attempt.fields)),
            "tables": [table.build_template() for table in self.attempt.tables.values()],
        }


def list_extractions(run: TableFlowRun) -> list[Extraction]:
    """Return the extractions of a run, newest attempt first."""
    return [
        Extraction(extraction_id, step_id, attempt, run)
        for attempt in reversed(run.attempts)
        for step_id, extraction_id in attempt.extraction_ids.items()
    ]


def build_disposition(file_name: str) -> str:
    """Return the ``Content-Disposition`` header of a download.

    :param file_name: name of the file.
    """
    if quote(file_name, safe=" ") == file_name:
        return f'attachment; filename="{file_name}"'
    return f"attachment; filename*=UTF-8''{quote(file_name, safe='')}"


def _get_extension(file_name: str) -> str:
    return PurePath(file_name).suffix.lower().removeprefix(".")
