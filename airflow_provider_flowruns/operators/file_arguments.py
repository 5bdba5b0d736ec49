"""Parse the arguments of a TableFlow start that are about its files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.services.parsing import describe_value
from airflow_provider_flowruns.services.payload import parse_object

#: One path, or several for a field that takes several files.
Paths = str | Sequence[str]


def parse_files(value: Any) -> dict[str, Paths]:
    """Return the argument ``files``: file field key to path or paths; None names none.

    :param value: the value as the DAG author passed it.
    :raises InvalidArgumentError: it is no JSON object of texts and lists of texts.
    """
    files = parse_object(value, argument="files")
    for key, paths in files.items():
        if not all(isinstance(path, str) for path in (paths if isinstance(paths, list) else [paths])):
            raise InvalidArgumentError(f"files[{key!r}] must be a path or a list of paths, got {describe_value(paths)}")
    return files


def parse_file_metadata(value: Any) -> dict[str, dict[str, Any]]:
    """Return the argument ``file_metadata``: file field key to a JSON object; None names none.

    :param value: the value as the DAG author passed it.
    :raises InvalidArgumentError: it is no JSON object of objects.
    """
    by_key = parse_object(value, argument="file_metadata")
    return {key: parse_object(metadata, argument=f"file_metadata[{key!r}]") for key, metadata in by_key.items()}


def parse_guidance(value: Any) -> dict[str, str]:
    """Return the argument ``guidance``: file field key to a text; None names none.

    :param value: the value as the DAG author passed it.
    :raises InvalidArgumentError: it is no JSON object of texts.
    """
    guidance = parse_object(value, argument="guidance")
    for key, text in guidance.items():
        # Rendered natively, a text of digits is a number.
        if not isinstance(text, str | int | float):
            raise InvalidArgumentError(f"guidance[{key!r}] must be a text, got {describe_value(text)}")
    return {key: str(text) for key, text in guidance.items()}
