"""What waits and summaries need of Activepieces' list of runs, whose rows contain whole flow definitions."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from msgspec import UNSET, DecodeError, Raw, to_builtins
from msgspec.json import Decoder, encode

from airflow_provider_flowruns.services.activepieces_arguments import ID_PATTERN
from airflow_provider_flowruns.services.activepieces_details import SentDetails


class _SentRow(SentDetails, kw_only=True, rename="camel"):
    id: str
    status: Any = UNSET
    flow_id: Any = UNSET
    triggered_by: Any = UNSET
    created: Any = UNSET
    start_time: Any = UNSET
    finish_time: Any = UNSET
    updated: Any = UNSET


_rows = Decoder(_SentRow)


def read_shown(row: Raw) -> Mapping[str, Any] | None:
    """Return what of a row is shown, without the flow's definition; None if it is not a row as documented.

    :param row: a row as it was sent.
    """
    try:
        shown: Mapping[str, Any] = to_builtins(_rows.decode(row))
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return shown


def pick_needed(row: bytes, run_ids: Container[str]) -> bytes | None:
    """Return what a wait needs of a row as JSON, None for a run that no wait is for.

    :param row: a row as it was sent.
    :param run_ids: the ids of the runs that waits are for.
    :raises msgspec.DecodeError: it is not a row as documented.
    :raises ValueError: it has no id of a run.
    """
    picked = _rows.decode(row)
    if not ID_PATTERN.fullmatch(picked.id):
        raise ValueError("expected an id")
    return encode(picked) if picked.id in run_ids else None
