"""The events of triggers, and what Airflow logs of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.triggers.base import TriggerEvent


class EventPayload(dict[str, Any]):
    """The payload of an event, which Airflow's line about the event shows as one sentence.

    The whole payload would be up to 64 KiB in the task's log, and the lines of all triggers go through one pipe, of
    which the triggerer reads 4 KB at a time.

    :param values: the payload, plain JSON.
    :param text: the sentence.
    """

    def __init__(self, values: Mapping[str, Any], text: str) -> None:
        super().__init__(values)
        self._text = text

    def __repr__(self) -> str:
        return self._text


def build_event(payload: Mapping[str, Any], text: str) -> TriggerEvent:
    """Return an event.

    :param payload: its payload, plain JSON.
    :param text: what Airflow's line about it shows.
    """
    return TriggerEvent(EventPayload(payload, text))  # type: ignore[no-untyped-call]
