"""Forms that start a run of TableFlow: their parts, the uploaded files among them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from airflow_provider_flowruns.sandbox.request_recorder import get_request_recorder
from airflow_provider_flowruns.sandbox.tableflow_errors import raise_bad_request

MAX_PARTS = 1000
CHUNK_BYTES = 64 * 1024
MAX_TEXT_BYTES = 64 * 1024
"""Maximum size of a form part that is not a file."""
MAX_KEPT_FILE_BYTES = 1024 * 1024
"""Maximum size of a file whose content is kept, so that the document can be downloaded again."""


@dataclass(frozen=True)
class UploadedPart:
    """One part of the form that started a run.

    :param name: name of the form field.
    :param filename: name of the file, or None for a plain value.
    :param content_type: content type as sent.
    :param size: size in bytes.
    :param sha256: hexadecimal digest of the content.
    :param text: the value of a part that is not a file.
    :param content: the content of a file of at most 1 MiB; None for larger files and for plain values.
    """

    name: str
    filename: str | None
    content_type: str
    size: int
    sha256: str
    text: str | None
    content: bytes | None = field(default=None, repr=False)


async def read_parts(request: web.Request) -> tuple[UploadedPart, ...]:
    """Read the form part by part; large files are never held in memory."""
    if not request.content_type.startswith("multipart/"):
        return ()
    parts: list[UploadedPart] = []
    try:
        async for part in get_request_recorder().open_multipart():
            if not isinstance(part, BodyPartReader) or part.name is None or len(parts) == MAX_PARTS:
                raise_bad_request("The form has a part without a name, or too many parts")
            parts.append(await _read_part(part, part.name))
    except (ValueError, HttpProcessingError):
        raise_bad_request("The form is malformed")
    return tuple(parts)


async def _read_part(part: BodyPartReader, name: str) -> UploadedPart:
    is_file = part.filename is not None
    digest, size, kept = hashlib.sha256(), 0, bytearray()
    while chunk := await part.read_chunk(CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
        if not is_file and size > MAX_TEXT_BYTES:
            raise_bad_request(f"The value of '{name}' is too long")
        if size <= MAX_KEPT_FILE_BYTES:
            kept += chunk
        else:
            kept.clear()
    return UploadedPart(
        name=name,
        filename=part.filename,
        content_type=part.headers.get("Content-Type", ""),
        size=size,
        sha256=digest.hexdigest(),
        text=None if is_file else kept.decode("utf-8", "replace"),
        content=bytes(kept) if is_file and size <= MAX_KEPT_FILE_BYTES else None,
    )


def check_files(parts: Sequence[UploadedPart], file_fields: Sequence[Mapping[str, Any]]) -> None:
    """Reject a form without a required file. A field accepts several files as ``key_1``, ``key_2``, ..."""
    sent = {part.name for part in parts if part.filename is not None}
    for file_field in file_fields:
        pattern = re.compile(re.escape(str(file_field["key"])) + r"(_[1-9]\d*)?")
        if file_field.get("required") and not any(pattern.fullmatch(name) for name in sent):
            raise_bad_request(f"The file '{file_field['key']}' is missing")


def parse_metadata(values: Mapping[str, str | None]) -> Mapping[str, Any]:
    """Return the run's metadata, and validate that of the files."""
    metadata: Mapping[str, Any] = {}
    for name, text in values.items():
        if name == "metadata" or name.endswith("_metadata"):
            value = _parse_json_object(name, text or "")
            metadata = value if name == "metadata" else metadata
    return metadata


def _parse_json_object(name: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise_bad_request(f"'{name}' is not a JSON object")
    return value
