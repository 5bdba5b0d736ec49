"""Our own OpenLineage facet. It needs the OpenLineage client, so it is imported only for lineage."""

from __future__ import annotations

from typing import Any

import attr
from airflow.providers.common.compat.openlineage.facet import RunFacet

from airflow_provider_flowruns import __version__
from airflow_provider_flowruns.model.runs import RunSummary

#: The facet's JSON schema, a file next to this one.
SCHEMA_FILE = "FlowRunRunFacet.json"

_SOURCES = "https://raw.githubusercontent.com/airflow-provider-flowruns/airflow-provider-flowruns"


@attr.define
class FlowRunRunFacet(RunFacet):
    """The run as the task last saw it; the fields are those of ``FlowRun.summary``."""

    service: str
    flow_id: str | None
    run_id: str | None
    lifecycle: str
    disposition: str
    vendor_status: str
    attempt: int | None
    trigger: str | None
    created_at: str | None
    started_at: str | None
    completed_at: str | None
    rows: dict[str, int] | None
    errors: list[str]
    url: str | None

    @classmethod
    def from_summary(cls, run: RunSummary) -> FlowRunRunFacet:
        """Build a run's facet.

        :param run: the run's summary.
        """
        inherited = {field.name for field in attr.fields(RunFacet)}
        names = {field.name for field in attr.fields(cls)} - inherited
        values: dict[str, Any] = {name: value for name, value in run.items() if name in names}
        return cls(**values)

    @staticmethod
    def _get_schema() -> str:
        return f"{_SOURCES}/v{__version__}/airflow_provider_flowruns/{SCHEMA_FILE}"
