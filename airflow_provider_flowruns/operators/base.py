"""What the reading operators share."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_flowruns.task import ServiceTask


class ReadOperator(ServiceTask, BaseOperator):
    """Base of the operators that read: their result is plain JSON, ready for a downstream task."""

    ui_color = "#dff3ef"
