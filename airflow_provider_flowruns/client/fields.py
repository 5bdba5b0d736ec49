"""Values of a connection's extra fields, as forms, URIs and JSON store them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow_provider_flowruns.model.errors import ConfigurationError
from airflow_provider_flowruns.services.info import NumberField


def parse_number(where: str, field: NumberField, extra: Mapping[str, Any]) -> float:
    """Return the number in a field, or its default.

    :param where: names the connection, for messages.
    :param field: the field.
    :param extra: the connection's extra.
    :raises ConfigurationError: it is no number above 0 and at most the maximum.
    """
    value = extra.get(field.name)
    if is_blank(value):
        return field.default
    try:
        number = 0.0 if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = 0.0
    if not 0 < number <= field.maximum:
        raise ConfigurationError(
            f"{where}: extra {field.name!r} must be a number above 0 and at most {field.maximum:g}, got {value!r}"
        )
    return number


def parse_string_map(where: str, name: str, extra: Mapping[str, Any]) -> dict[str, str]:
    """Return the JSON object of texts in a field, also one that is stored as text.

    :param where: names the connection, for messages.
    :param name: the field's name.
    :param extra: the connection's extra.
    :raises ConfigurationError: it is something else.
    """
    value = extra.get(name)
    if is_blank(value):
        return {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if isinstance(value, Mapping) and all(isinstance(item, str) for pair in value.items() for item in pair):
        return dict(value)
    raise ConfigurationError(f'{where}: extra {name!r} must be a JSON object of texts, such as {{"name": "value"}}')


def parse_pair(where: str, extra: Mapping[str, Any], *names: str) -> tuple[str, str]:
    """Return two named texts that must be given together, both empty when neither is.

    :param where: names the connection, for messages.
    :param extra: the connection's extra.
    :raises ConfigurationError: only one is given, or one is no text.
    """
    first, second = values = [extra.get(name) for name in names]
    if all(map(is_blank, values)):
        return "", ""
    if not (isinstance(first, str) and isinstance(second, str) and first.strip() and second.strip()):
        raise ConfigurationError(f"{where}: extras {names[0]!r} and {names[1]!r} must both be texts, or both be empty")
    return first.strip(), second


def is_blank(value: Any) -> bool:
    """Whether a field was left empty: a form stores null or empty text for it.

    :param value: the field's value.
    """
    return value is None or (isinstance(value, str) and not value.strip())


def is_printable_ascii(text: str) -> bool:
    """Whether a text can be sent in a header.

    :param text: any text.
    """
    return text.isascii() and text.isprintable()
