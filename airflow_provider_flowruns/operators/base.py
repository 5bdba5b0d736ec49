"""What the reading operators share."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_flowruns.services.model import FlowRun
from airflow_provider_flowruns.task import ServiceTask


class ReadOperator(ServiceTask, BaseOperator):
    """Base of the operators that read: their result is plain JSON, ready for a downstream task."""

    ui_color = "#dff3ef"


def summaries(runs: Iterable[FlowRun], most: int) -> list[dict[str, Any]]:
    """
    Return the summaries of the first ``most`` runs; no page beyond them is asked for.

    :param runs: the runs, in the order wanted.
    :param most: runs returned at most.
    """
    return [run.summary() for run in islice(runs, most)]
