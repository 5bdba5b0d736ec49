"""The JSON that outlives a process: saved waits, events, cursors and started runs. No I/O.

Each saved class names its ``schema``. A release reads what it knows of that schema, with defaults for what an earlier
release did not write, and skips what a later one added; another schema is refused.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec
from msgspec import structs


class Saved(Protocol):
    """A msgspec struct that is saved under a schema of its own."""

    __struct_fields__: ClassVar[tuple[str, ...]]
    #: Raised when an earlier release cannot read what this one writes.
    schema: ClassVar[int]


SavedT = TypeVar("SavedT", bound=Saved)
StructT = TypeVar("StructT", bound=msgspec.Struct)


def to_record(value: Saved) -> dict[str, Any]:
    """Return a value as a dict of plain JSON; :func:`from_record` reads it."""
    return {"schema": value.schema, **msgspec.to_builtins(value)}


def from_record(record: Any, kind: type[SavedT]) -> SavedT:
    """Rebuild a value from :func:`to_record`.

    :param record: what was saved.
    :param kind: the class it was saved from.
    :raises ValueError: it was not saved from that class, or under another schema.
    """
    _check_schema(record.get("schema") if isinstance(record, dict) else None, kind)
    try:
        return msgspec.convert(record, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"the saved {kind.__name__} cannot be read: {error}") from None


def to_json(value: Saved) -> str:
    """Return a value as JSON text; :func:`from_json` reads it."""
    return msgspec.json.encode(to_record(value)).decode()


def from_json(text: str, kind: type[SavedT]) -> SavedT:
    """Rebuild a value from :func:`to_json`.

    :param text: what was saved.
    :param kind: the class it was saved from.
    :raises ValueError: it was not saved from that class, or under another schema.
    """
    try:
        record = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ValueError(f"the saved {kind.__name__} is not JSON: {error}") from None
    return from_record(record, kind)


def share_defaults(value: StructT) -> StructT:
    """Return a copy in which what equals a default is that default: thousands of waits share these objects.

    :param value: a struct that was read.
    """
    defaults = _get_defaults(type(value))
    fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
    return type(value)(**{name: field for name, field in fields if name not in defaults or field != defaults[name]})


@cache
def _get_defaults(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.name: field.default for field in structs.fields(kind) if field.default is not msgspec.NODEFAULT}


def _check_schema(schema: Any, kind: type[Saved]) -> None:
    if schema != kind.schema:
        raise ValueError(
            f"the saved {kind.__name__} has schema {schema!r}, and this release reads schema {kind.schema}: install "
            "the same release of airflow-provider-flowruns on workers and triggerers"
        )
