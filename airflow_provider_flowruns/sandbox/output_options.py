"""Validate the run options that say what a run produces: fields and tables of TableFlow, steps of Activepieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, str]


def parse_fields(value: Mapping[str, str] | None) -> dict[str, str] | None:
    """Return the fields of an extraction, each key with its text.

    :param value: the option as passed; None for the generated fields.
    :raises ValueError: it is not a mapping of text to text.
    """
    return None if value is None else _parse_texts(value, "fields")


def parse_tables(value: Mapping[str, Sequence[Row]] | None) -> dict[str, tuple[Row, ...]] | None:
    """Return the rows of each table of an extraction.

    :param value: the option as passed; None for the generated table.
    :raises ValueError: it is not a mapping of table keys to lists of rows whose cells are text.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"tables must be a mapping of table key to rows, not {value!r}.")
    return {_parse_key(key, "tables"): _parse_rows(rows, f"tables[{key!r}]") for key, rows in value.items()}


def parse_steps(value: Mapping[str, Mapping[str, Any]] | None) -> dict[str, dict[str, Any]] | None:
    """Return the steps of a run by name, in the format of the API.

    :param value: the option as passed; None for the generated steps.
    :raises ValueError: it is not a mapping of step names to mappings.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"steps must be a mapping of step name to step, not {value!r}.")
    for name, step in value.items():
        if not isinstance(step, Mapping):
            raise ValueError(f"steps[{name!r}] must be a mapping such as {{'type': ..., 'status': ...}}, not {step!r}.")
    return {_parse_key(name, "steps"): dict(step) for name, step in value.items()}


def _parse_rows(rows: Any, where: str) -> tuple[Row, ...]:
    if isinstance(rows, (str, Mapping)) or not isinstance(rows, Sequence):
        raise ValueError(f"{where} must be a list of rows, not {rows!r}.")
    return tuple(_parse_texts(row, f"{where}[{number}]") for number, row in enumerate(rows))


def _parse_texts(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} must be a mapping of key to text, not {value!r}.")
    for key, text in value.items():
        if not isinstance(text, str):
            raise ValueError(f"{where}[{key!r}] must be text, as all values of TableFlow are, not {text!r}.")
    return {_parse_key(key, where): text for key, text in value.items()}


def _parse_key(key: Any, where: str) -> str:
    if not isinstance(key, str) or not key:
        raise ValueError(f"The keys of {where} must be text that is not empty, not {key!r}.")
    return key
