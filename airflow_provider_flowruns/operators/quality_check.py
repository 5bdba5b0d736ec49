"""Judge the runs of a quality check, and report the result; imported when a task runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_flowruns.client.clock import Clock
from airflow_provider_flowruns.exceptions import FlowRunQualityFailed
from airflow_provider_flowruns.model.quality import QualityReport, check_quality
from airflow_provider_flowruns.tasks.quality_report import describe_failure, format_table
from airflow_provider_flowruns.tasks.run_summaries import open_runs

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.model.quality_limits import QualityLimits
    from airflow_provider_flowruns.operators.quality import FlowRunQualityCheckOperator


def judge(task: FlowRunQualityCheckOperator, limits: QualityLimits, context: Context) -> QualityReport:
    """Judge the runs of a task, and return the result unless a check failed.

    :param task: the operator.
    :param limits: the limits of the checks.
    :param context: Airflow's context of the task.
    :raises FlowRunQualityFailed: a check failed, and ``on_failure`` is ``fail``.
    """
    with open_runs(task.runs) as runs:
        report = check_quality(runs, limits=limits, now=datetime.fromtimestamp(Clock().now(), UTC))
    for line in format_table(report["checks"]):
        task.log.info("%s", line)
    if not report["passed"]:
        _fail_or_warn(task, report, context)
    return report


def _fail_or_warn(task: FlowRunQualityCheckOperator, report: QualityReport, context: Context) -> None:
    message = describe_failure(report)
    if task.on_failure == "warn":
        task.log.warning("%s", message)
        return
    task_instance = context.get("ti")  # missing in a user's unit test
    if task_instance is not None and task.do_xcom_push:
        task_instance.xcom_push(key="return_value", value=report)
    raise FlowRunQualityFailed(message, report["checks"])
