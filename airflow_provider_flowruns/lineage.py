"""What OpenLineage is told about a run: from what the task has seen already, without a request."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_flowruns import __version__

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

#: Name of the facet that holds what no standard one does; its schema is the file next to this one.
RUN_FACET = "flowruns_run"
RUN_FACET_SCHEMA = "FlowRunRunFacet.json"

_SOURCES = "https://raw.githubusercontent.com/airflow-provider-flowruns/airflow-provider-flowruns"


def lineage_of(run: dict[str, Any]) -> OperatorLineage[Any, Any]:
    """
    Return a run's lineage.

    Run facets: ``externalQuery`` (which run, of which service), ``flowruns_run`` (how it stands) and, with errors,
    ``errorMessage``. Outputs: one dataset for each resource of the run, ``<flow id>.<resource>``, with the rows that
    were loaded as its ``outputStatistics``.

    :param run: the run's summary.
    """
    from airflow.providers.common.compat.openlineage.facet import (
        ErrorMessageRunFacet,
        ExternalQueryRunFacet,
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
    )
    from airflow.providers.openlineage.extractors import OperatorLineage

    source = _source(run)
    facets: dict[str, Any] = {RUN_FACET: _run_facet()(**{name: run[name] for name in _FIELDS})}
    if run["run_id"]:
        facets["externalQuery"] = ExternalQueryRunFacet(externalQueryId=run["run_id"], source=source)
    if run["errors"]:
        facets["errorMessage"] = ErrorMessageRunFacet(message="\n".join(run["errors"]), programmingLanguage="python")
    outputs = [
        OutputDataset(
            namespace=source,
            name=f"{run['flow_id']}.{resource['name']}",
            outputFacets={"outputStatistics": OutputStatisticsOutputDatasetFacet(rowCount=resource["loaded"])},
        )
        for resource in run["resources"]
    ]
    return OperatorLineage(outputs=outputs, run_facets=facets)


def _source(run: dict[str, Any]) -> str:
    """Return the service and, as far as it is known, its address: what run and flow ids are unique in."""
    host = urlsplit(run["url"] or "").netloc
    return f"{run['service']}://{host}" if host else str(run["service"])


_FIELDS = (
    "service",
    "flow_id",
    "run_id",
    "lifecycle",
    "disposition",
    "vendor_status",
    "attempt",
    "trigger",
    "created_at",
    "started_at",
    "completed_at",
    "rows",
    "errors",
    "url",
)


@cache
def _run_facet() -> Any:
    """Make the facet's class: OpenLineage, which is not everywhere, is only there once it asks."""
    import attr
    from airflow.providers.common.compat.openlineage.facet import RunFacet

    def schema() -> str:
        return f"{_SOURCES}/v{__version__}/airflow_provider_flowruns/{RUN_FACET_SCHEMA}"

    fields = {name: attr.field() for name in _FIELDS}
    return attr.make_class(
        "FlowRunRunFacet", fields, bases=(RunFacet,), class_body={"_get_schema": staticmethod(schema)}, slots=True
    )
