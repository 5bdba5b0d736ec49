"""The files of a TableFlow start: local paths or object storage URLs, checked before they are sent, then streamed."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, cast

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_flowruns.model.calls import Part
from airflow_provider_flowruns.model.counts import format_count
from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.model.runs import Flow
from airflow_provider_flowruns.operators.file_arguments import Paths


def build_file_parts(
    flow: Flow,
    files: Mapping[str, Paths],
    file_metadata: Mapping[str, Mapping[str, Any]],
    guidance: Mapping[str, str],
) -> tuple[Part, ...]:
    """Build the parts of a start for its files, and check them against the flow's configuration.

    :param flow: the flow as TableFlow lists it.
    :param files: file field key to path or paths (local, or any URL Airflow's object storage knows).
    :param file_metadata: file field key to a JSON object.
    :param guidance: file field key to a text.
    :raises InvalidArgumentError: the flow has no such field, a required field has no file, or a file does not exist or
        is too large for the flow.
    """
    fields = {str(field.get("key")): field for field in _get_file_fields(flow)}
    for argument, given in (("files", files), ("file_metadata", file_metadata), ("guidance", guidance)):
        unknown = sorted(set(given) - set(fields))
        if unknown:
            known = ", ".join(fields) or "none"
            raise InvalidArgumentError(f"{argument} names {', '.join(unknown)}; the flow's file fields are: {known}")
    missing = sorted(key for key, field in fields.items() if field.get("required") and not files.get(key))
    if missing:
        raise InvalidArgumentError(f"files must contain {', '.join(missing)}, which the flow requires")
    return tuple(_build_parts(fields, files, file_metadata, guidance))


def _get_file_fields(flow: Flow) -> list[Mapping[str, Any]]:
    config = flow.raw.get("file_input_config")
    found = config.get("file_fields") if isinstance(config, Mapping) else None
    return [field for field in found if isinstance(field, Mapping)] if isinstance(found, list) else []


def _build_parts(
    fields: Mapping[str, Mapping[str, Any]],
    files: Mapping[str, Paths],
    file_metadata: Mapping[str, Mapping[str, Any]],
    guidance: Mapping[str, str],
) -> Iterator[Part]:
    for key, paths in files.items():
        if isinstance(paths, str):
            yield _build_file_part(key, key, paths, fields[key])
        else:
            # The files of one field are sent as key_1, key_2 and so on.
            yield from (_build_file_part(key, f"{key}_{n}", path, fields[key]) for n, path in enumerate(paths, 1))
    for key, metadata in file_metadata.items():
        yield Part(f"{key}_metadata", json.dumps(metadata))
    for key, text in guidance.items():
        yield Part(f"{key}_guidance", text)


def _build_file_part(key: str, name: str, path: str, field: Mapping[str, Any]) -> Part:
    file = ObjectStoragePath(path)
    if not file.is_file():
        raise InvalidArgumentError(f"files[{key!r}]: file {path!r} does not exist")
    size, max_size = file.stat().st_size, field.get("max_file_size")
    if isinstance(max_size, int) and size > max_size:
        raise InvalidArgumentError(
            f"files[{key!r}]: {path!r} has {format_count(size, 'byte')}, the flow accepts at most {max_size:,}"
        )
    content_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return Part(
        name,
        filename=file.name,
        content_type=content_type,
        open=lambda: cast("BinaryIO", file.open("rb")),  # type: ignore[no-untyped-call]
    )
