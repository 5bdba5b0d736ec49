"""What users pass to calls of Portable: limits, defaults and checks."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.services.parsing import parse_word
from airflow_provider_flowruns.services.validation import validate_id

#: The vendor's own bounds for one page of run attempts.
DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000

#: Form of all ids of the service.
ID_PATTERN = re.compile(r"[0-9]{1,19}", re.ASCII)


def validate_flow_id(value: Any) -> str:
    """Return a flow's id as text.

    :param value: the value as the DAG author passed it.
    :raises InvalidArgumentError: it is not a whole number.
    """
    return validate_id(value, argument="flow_id", pattern=ID_PATTERN, example="568971")


def validate_workflow_id(value: Any) -> str:
    """Return a workflow's id as text.

    :param value: the value as the DAG author passed it.
    :raises InvalidArgumentError: it is not a whole number.
    """
    return validate_id(value, argument="workflow_id", pattern=ID_PATTERN, example="568971")


def validate_run_id(value: Any) -> str:
    """Return a run attempt's id as text.

    :param value: the value as the DAG author passed it.
    :raises InvalidArgumentError: it is not a whole number.
    """
    return validate_id(value, argument="run_id", pattern=ID_PATTERN, example="658423")


def validate_sort(value: Any) -> str:
    """Return a sort order in upper case.

    :param value: the value as the DAG author passed it.
    :raises InvalidArgumentError: it is neither ``ASC`` nor ``DESC``.
    """
    order = parse_word(value)
    if order not in {"ASC", "DESC"}:
        raise InvalidArgumentError(f"sort must be ASC or DESC, got {value!r}")
    return order
