"""What a task demands of an extraction before it reads its data."""

from __future__ import annotations

from airflow_provider_flowruns.exceptions import ExtractionFailed, ExtractionNotReady, TableNotFound
from airflow_provider_flowruns.model.extractions import ExtractedTable, Extraction
from airflow_provider_flowruns.model.runs import Disposition
from airflow_provider_flowruns.services.parsing import shorten_text

_MAX_MESSAGE_CHARS = 1_000


def require_completed(extraction: Extraction) -> Extraction:
    """Return an extraction whose data can be read.

    :param extraction: the extraction in its current state.
    :raises ExtractionFailed: the document could not be read.
    :raises ExtractionNotReady: it is still being processed.
    """
    what = f"TableFlow extraction {extraction.extraction_id} of {extraction.file_name or 'a document without a name'}"
    if extraction.disposition is Disposition.FAILED:
        message = shorten_text(extraction.message or "without a message", _MAX_MESSAGE_CHARS)
        raise ExtractionFailed(f"{what} failed: {message}")
    if extraction.disposition is not Disposition.SUCCEEDED:
        raise ExtractionNotReady(
            f"{what} is {extraction.status or 'without a status'}: its data can be read once it is completed; "
            "wait for the flow run that it belongs to, or retry the task"
        )
    return extraction


def find_table(extraction: Extraction, key: str) -> ExtractedTable:
    """Return a table of an extraction.

    :param extraction: the extraction.
    :param key: the table's key.
    :raises TableNotFound: there is none; the message lists the others.
    """
    if (table := extraction.tables.get(key)) is None:
        tables = ", ".join(sorted(extraction.tables)) or "none"
        raise TableNotFound(f"TableFlow extraction {extraction.extraction_id} has no table {key!r}; it has: {tables}")
    return table
