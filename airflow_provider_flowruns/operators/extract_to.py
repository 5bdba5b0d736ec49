"""The argument ``extract_to``: where the tables of a run's extractions are written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.services.parsing import describe_value
from airflow_provider_flowruns.tasks.arguments import is_known
from airflow_provider_flowruns.tasks.output_file import OutputFileTask, validate_output_path
from airflow_provider_flowruns.tasks.table_formats import FORMATS, require_parquet

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.model.runs import FlowRun

PLACEHOLDERS = ("run_id", "flow_id", "step_id", "extraction_id", "table")
IN_BRACES = r"\{([^{}]*)\}"
#: What Airflow renders, with braces of its own.
_TEMPLATE = r"(?s)\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}"


class ExtractToTask(OutputFileTask):
    """Mixin of the operator that writes the tables of its run; it comes before the operator's other base classes."""

    _is_extracting = False

    def write_tables(self, pattern: str, run: FlowRun, context: Context) -> list[dict[str, Any]]:
        """Write each table of each extraction of a run, and return a manifest of each file.

        :param pattern: path with placeholders, as :func:`validate_extract_to` returns it.
        :param run: the run with its whole record, which has succeeded.
        :param context: Airflow's context of the task.
        :raises ExtractToFailed: the run made nothing that could be written.
        :raises InvalidArgumentError: two tables would get the same path, or a path is a directory.
        :raises ExtractionNotReady: an extraction is still being processed.
        :raises ApiError: there is no usable response.
        """
        from airflow_provider_flowruns.operators.run_tables import write_run_tables

        self._is_extracting = True
        try:
            return write_run_tables(self, pattern, run, context)
        finally:
            self._is_extracting = False

    def on_kill(self) -> None:
        """Stop writing, so that the unfinished file is removed; the run has ended then."""
        if self._is_extracting:
            raise SystemExit("killed while the tables of the run were being written")
        super().on_kill()


def check_extract_to(value: Any) -> None:
    """Check what is known of the path at DAG parse, before Airflow renders it.

    :param value: the argument's value.
    :raises InvalidArgumentError: it contains an unknown placeholder, or no file can result from it.
    """
    if is_known(value):
        validate_extract_to(value)
    elif isinstance(value, str):
        *_, end = literals = re.split(_TEMPLATE, value)
        for literal in literals:
            _check_placeholders(literal, value)
        if "." in end:
            get_format(end, value)


def validate_extract_to(value: Any) -> str:
    """Return the path with placeholders.

    :param value: the rendered argument.
    :raises InvalidArgumentError: it contains an unknown placeholder or no ``{table}``, or ends in another suffix.
    """
    path = validate_output_path(value, argument="extract_to")
    _check_placeholders(path, path)
    if "{table}" not in path:
        raise InvalidArgumentError(f"extract_to must contain {{table}}, as a run may have several, got {path!r}")
    get_format(path)
    return path


def prepare_extract_to(value: Any) -> str:
    """Return the path with placeholders, if files of its format can be written here.

    :param value: the rendered argument.
    :raises InvalidArgumentError: it is wrong, see :func:`validate_extract_to`, or pyarrow is not installed.
    """
    path = validate_extract_to(value)
    if get_format(path) == "parquet":
        require_parquet()
    return path


def _check_placeholders(text: str, value: str) -> None:
    unknown = [name for name in re.findall(IN_BRACES, text) if name not in PLACEHOLDERS]
    if unknown or {"{", "}"}.intersection(re.sub(IN_BRACES, "", text)):
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise InvalidArgumentError(f"extract_to may contain the placeholders {known}, got {describe_value(value)}")


def get_format(path: str, value: str | None = None) -> str:
    """Return the format of a file, which its suffix names.

    :param path: the end of a path.
    :param value: the argument's value, for the message.
    :raises InvalidArgumentError: there is no such format.
    """
    suffix = path.rpartition(".")[2]
    if suffix not in FORMATS:
        raise InvalidArgumentError(f"extract_to must end in .jsonl or .parquet, got {describe_value(value or path)}")
    return suffix
