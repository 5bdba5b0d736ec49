"""The attempts and steps in the record of a TableFlow run. Their format is not documented, so any is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from airflow_provider_flowruns.services.parsing import (
    is_object,
    measure_seconds,
    parse_count,
    parse_id,
    parse_milliseconds,
    parse_name,
    parse_status,
    parse_time,
)

#: Maximum number of attempts, and of steps, that are read of a run.
MAX_RECORDS = 1_000
#: Lists and objects around the records that are opened.
_MAX_LEVELS = 3
_START_KEYS = ("start_time", "started_at", "created_at")
_END_KEYS = ("end_time", "completed_at", "finished_at")
_ATTEMPT_KEYS = ("attempt", "attempt_number", "current_attempt", "number")
_STEP_LIST_KEYS = ("steps", "step_executions")
#: Any of these makes an object a record, and not a map of records.
_RECORD_KEYS = frozenset(
    {"id", "title", "status", "step_id", "output", "error", *_START_KEYS, *_END_KEYS, *_ATTEMPT_KEYS}
)


@dataclass(frozen=True, slots=True)
class Execution:
    """What an attempt and the execution of a step have in common.

    :param record: the record as sent.
    :param key: its key, if the records were sent as a map.
    :param attempt: number of the attempt, from 1; None where it is not known.
    """

    record: Mapping[str, Any]
    key: str | None = None
    attempt: int | None = None

    @property
    def status(self) -> str:
        """The status as sent, empty if missing."""
        return parse_status(self.record.get("status"))

    @property
    def started_at(self) -> datetime | None:
        """When it began."""
        return self._find_time(_START_KEYS)

    @property
    def completed_at(self) -> datetime | None:
        """When it ended."""
        return self._find_time(_END_KEYS)

    @property
    def duration_seconds(self) -> float | None:
        """Its duration as sent, else by its times; None while it is in progress."""
        sent = parse_milliseconds(self.record.get("duration"))
        return measure_seconds(self.started_at, self.completed_at) if sent is None else sent

    @property
    def error(self) -> Any:
        """The error as sent."""
        return self.record.get("error") or self.record.get("errors")

    def _find_time(self, keys: tuple[str, ...]) -> datetime | None:
        return next((moment for key in keys if (moment := parse_time(self.record.get(key)))), None)


class StepExecution(Execution):
    """One execution of a step."""

    @property
    def step_id(self) -> str | None:
        """Id of the step in the flow."""
        return parse_id(self.record.get("step_id")) or parse_id(self.record.get("id")) or self.key

    @property
    def title(self) -> str | None:
        """Its own title."""
        return parse_name(self.record.get("title")) or parse_name(self.record.get("name"))

    @property
    def output(self) -> Any:
        """Its output as sent."""
        return next(
            (found for key in ("output", "outputs", "result") if (found := self.record.get(key)) is not None), None
        )


def read_attempts(record: Mapping[str, Any]) -> list[Execution]:
    """Return a run's attempts in the order of their numbers; those without a number count on.

    :param record: the run as sent.
    """
    attempts: list[Execution] = []
    for key, sent in _iter_records(record.get("flow_attempts")):
        number = _parse_attempt(sent) or _parse_number(key) or (attempts[-1].attempt or 0 if attempts else 0) + 1
        attempts.append(Execution(sent, key, number))
    return sorted(attempts, key=lambda one: one.attempt or 0)


def read_steps(record: Mapping[str, Any], attempts: list[Execution]) -> list[StepExecution]:
    """Return the steps of all attempts of a run, in the order in which they were sent.

    :param record: the run as sent.
    :param attempts: the run's attempts, whose own steps are taken if the run has none.
    """
    only = attempts[0].attempt if len(attempts) == 1 else None
    steps = [_build_step(key, sent, only) for key, sent in _iter_records(record.get("steps"))]
    if steps:
        return steps
    return [
        _build_step(key, sent, attempt.attempt)
        for attempt in attempts
        for name in _STEP_LIST_KEYS
        for key, sent in _iter_records(attempt.record.get(name))
    ][:MAX_RECORDS]


def read_steps_of_flow(record: Mapping[str, Any]) -> dict[str, StepExecution]:
    """Return the steps of the flow's definition by their ids: they have titles and types.

    :param record: the run as sent.
    """
    flow = record.get("flow")
    found = _iter_records(flow.get("steps")) if is_object(flow) else iter(())
    steps = (StepExecution(sent, key) for key, sent in found)
    return {step.step_id: step for step in steps if step.step_id}


def _build_step(key: str | None, sent: Mapping[str, Any], attempt: int | None) -> StepExecution:
    own = parse_id(sent.get("step_id")) or parse_id(sent.get("id"))
    # A map of lists is one by attempt, any other map is one by step.
    by_key = _parse_number(key) if own else None
    return StepExecution(sent, None if own else key, _parse_attempt(sent) or by_key or attempt)


def _parse_attempt(record: Mapping[str, Any]) -> int | None:
    return next((number for key in _ATTEMPT_KEYS if (number := parse_count(record.get(key)))), None)


def _parse_number(key: str | None) -> int | None:
    return parse_count(key) or None if key else None


def _iter_records(value: Any) -> Iterator[tuple[str | None, Mapping[str, Any]]]:
    """Yield the records in a list, a map, or lists of either, with their keys in the map."""
    return islice(_walk(value, None, _MAX_LEVELS), MAX_RECORDS)


def _walk(value: Any, key: str | None, levels: int) -> Iterator[tuple[str | None, Mapping[str, Any]]]:
    if is_object(value) and (not levels or not _RECORD_KEYS.isdisjoint(value) or _is_leaf(value)):
        yield key, value
    elif is_object(value) and levels:
        for name, item in islice(value.items(), MAX_RECORDS):
            yield from _walk(item, parse_id(name), levels - 1)
    elif isinstance(value, list) and levels:
        for item in islice(value, MAX_RECORDS):
            yield from _walk(item, key, levels - 1)


def _is_leaf(value: Mapping[str, Any]) -> bool:
    return bool(value) and not any(isinstance(item, Mapping | list) for item in islice(value.values(), MAX_RECORDS))
