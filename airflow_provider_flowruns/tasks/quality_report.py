"""Write a quality report for people: as a table, and as the text of an error."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_provider_flowruns.model.quality import QualityCheck, QualityReport


def format_table(checks: Iterable[QualityCheck]) -> list[str]:
    """Return the results of checks as lines of aligned columns.

    :param checks: the results.
    """
    rows = [("check", "status", "value", "limit", ""), *map(_list_cells, checks)]
    name, status, value, limit = (max(len(row[column]) for row in rows) for column in range(4))
    lines = (
        f"{one:{name}}  {two:{status}}  {three:>{value}}  {four:>{limit}}  {five}"
        for one, two, three, four, five in rows
    )
    return [line.rstrip() for line in lines]


def describe_failure(report: QualityReport) -> str:
    """Return the text of the failed checks of a report, each with its value and limit.

    :param report: a report that did not pass.
    """
    failed = [_describe_check(*_list_cells(check)) for check in report["checks"] if check["status"] == "failed"]
    flow = f" of flow {report['flow_id']}" if report["flow_id"] else ""
    return f"{len(failed)} of {len(report['checks'])} quality checks{flow} failed: {'; '.join(failed)}"


def _list_cells(check: QualityCheck) -> tuple[str, str, str, str, str]:
    return check["name"], check["status"], _format(check["value"]), _format(check["limit"]), check["message"]


def _describe_check(name: str, _: str, value: str, limit: str, message: str) -> str:
    return f"{name}: value {value}, limit {limit} ({message})"


def _format(value: float | str | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if isinstance(value, int) or value >= 1_000 else f"{value:.6g}"
