"""What Activepieces says about the step at which a run failed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from airflow_provider_flowruns.model.clean import parse_json
from airflow_provider_flowruns.services.parsing import parse_name, parse_text, shorten_text

#: Key beside the message of a failed step in an envelope.
_ENVELOPE_VERSION = "__apErrorVersion"
_CUT_ENVELOPE = re.compile(rf'\s*\{{\s*"{_ENVELOPE_VERSION}"\s*:\s*[0-9]+\s*,\s*"message"\s*:\s*"(.*)', re.DOTALL)
#: Characters of the longest escape in a JSON text, of a surrogate pair.
_LONGEST_ESCAPE = 12
#: Maximum number of nested envelopes that are opened.
_MAX_ENVELOPES = 4
#: Maximum number of characters shown of an envelope that cannot be opened.
_MAX_ENVELOPE_CHARS = 500


class ParsedStep(NamedTuple):
    """The failed step of a run, as far as the server tells it."""

    name: str | None
    display_name: str | None
    message: str | None


def parse_failed_step(record: Mapping[str, Any]) -> ParsedStep:
    """Return the step at which a run failed: ``failedStep``, or ``failedStepName`` until 0.71.2.

    :param record: the run as sent.
    """
    step = record.get("failedStep")
    if not isinstance(step, Mapping) or not step:
        step = {"name": record.get("failedStepName")}
    return ParsedStep(
        parse_name(step.get("name")), parse_name(step.get("displayName")), parse_step_message(step.get("message"))
    )


def parse_step_message(value: Any) -> str | None:
    """Return the message of a failed step; since 0.85 in an envelope, ``{"__apErrorVersion": 1, "message": ...}``.

    An envelope of another format is shown unchanged, but shortened.

    :param value: the message as sent.
    """
    for _ in range(_MAX_ENVELOPES):
        envelope = _parse_object(value)
        if envelope is None:
            return _parse_cut_message(value) or parse_text(value)
        if _ENVELOPE_VERSION not in envelope or not envelope.get("message"):
            break
        value = envelope["message"]
    return shorten_text(value if isinstance(value, str) else str(value), _MAX_ENVELOPE_CHARS)


def _parse_object(value: Any) -> Mapping[str, Any] | None:
    """Return a JSON object, also one that is stored as text; None for anything else."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = parse_json(value.encode())
        except ValueError:
            return None
    return value if isinstance(value, Mapping) else None


def _parse_cut_message(value: Any) -> str | None:
    """Return the beginning of the message in an envelope that the server has cut; None for anything else."""
    found = _CUT_ENVELOPE.match(value) if isinstance(value, str) else None
    if found is None:
        return None
    begun = found[1]
    for cut in range(_LONGEST_ESCAPE):  # the end may be the first half of an escape
        try:
            return parse_text(parse_json(f'"{begun[: len(begun) - cut]}"'.encode()))
        except ValueError:
            continue
    return None
