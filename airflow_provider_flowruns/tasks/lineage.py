"""What OpenLineage is told about a run: from what the task has seen already, without a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_flowruns.model.runs import RunSummary

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

#: Name of the facet that holds what no standard one does, see ``lineage_facet``.
RUN_FACET = "flowruns_run"


def build_lineage(run: RunSummary) -> OperatorLineage[Any, Any]:
    """Return a run's lineage.

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

    from airflow_provider_flowruns.tasks.lineage_facet import FlowRunRunFacet

    source = _source(run)
    facets: dict[str, Any] = {RUN_FACET: FlowRunRunFacet.of(run)}
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


def _source(run: RunSummary) -> str:
    """Return the service and, as far as it is known, its address: what run and flow ids are unique in."""
    host = urlsplit(run["url"] or "").netloc
    return f"{run['service']}://{host}" if host else str(run["service"])
