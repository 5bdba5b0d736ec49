"""What the reading operators share."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_flowruns.services.model import FlowRun
from airflow_provider_flowruns.task import RunTask, ServiceTask


class ReadOperator(ServiceTask, BaseOperator):
    """Base of the operators that read: their result is plain JSON, ready for a downstream task."""

    ui_color = "#dff3ef"


class ReadRunOperator(RunTask, ReadOperator):
    """Base of the operators that read one run: they have its link, and tell it to the task's outlets."""


def summaries(runs: Iterable[FlowRun], most: int) -> list[dict[str, Any]]:
    """Return the summaries of the first ``most`` runs; no page beyond them is asked for."""
    return [run.summary() for run in islice(runs, most)]
