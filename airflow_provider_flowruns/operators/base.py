"""What the reading operators share."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_flowruns.tasks.base import HookT, RunTask, ServiceTask


class ReadOperator(ServiceTask[HookT], BaseOperator):
    """Base of the operators that read: their result is plain JSON, ready for a downstream task."""

    ui_color = "#dff3ef"

    def __init__(self, **kwargs: Any) -> None:
        # Airflow 3.3 takes a mapped task's defaults from the signatures on the way to BaseOperator: a class without
        # one of its own passes on None for inlets and outlets, of which every mapped task dies.
        super().__init__(**kwargs)


class ReadRunOperator(RunTask[HookT], ReadOperator[HookT]):
    """Base of the operators that read one run: they have its link, and tell it to the task's outlets."""
