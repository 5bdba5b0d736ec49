"""Base classes of the operators that read."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_flowruns.tasks.base import HookT, RunTask, ServiceTask
from airflow_provider_flowruns.tasks.peer_arguments import reject_peer_arguments


class ReadOperator(ServiceTask[HookT], BaseOperator):
    """Base of the operators that read; their result is plain JSON for downstream tasks."""

    ui_color = "#dff3ef"

    def __init__(self, **kwargs: Any) -> None:
        reject_peer_arguments(type(self), kwargs)
        # Airflow 3.3 takes a mapped task's defaults from the signatures of the classes down to BaseOperator. A class
        # without a signature of its own passes None for inlets and outlets, which fails every mapped task.
        super().__init__(**kwargs)


class ReadRunOperator(RunTask[HookT], ReadOperator[HookT]):
    """Base of the operators that read one run: they have its link and emit its asset events."""
