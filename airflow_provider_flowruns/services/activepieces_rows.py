"""What a wait needs of Activepieces' list of runs, whose rows contain whole flow definitions."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from msgspec import UNSET, Raw, Struct
from msgspec.json import Decoder, encode

from airflow_provider_flowruns.services.activepieces_arguments import ID_PATTERN
from airflow_provider_flowruns.services.activepieces_details import SentDetails


class _SentPage(Struct):
    data: list[Raw]


class _SentRow(SentDetails, kw_only=True, rename="camel"):
    id: str
    status: Any = UNSET
    flow_id: Any = UNSET
    triggered_by: Any = UNSET
    created: Any = UNSET
    start_time: Any = UNSET
    finish_time: Any = UNSET
    updated: Any = UNSET


_pages = Decoder(_SentPage)
_rows = Decoder(_SentRow)


def split_rows(body: bytes) -> list[bytes]:
    """Return the rows of a list as they were sent, unread.

    :param body: the body of a response.
    :raises msgspec.DecodeError: it is no such list.
    """
    return [bytes(row) for row in _pages.decode(body).data]


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
