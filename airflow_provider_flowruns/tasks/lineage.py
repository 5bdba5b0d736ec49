"""OpenLineage's view of a run and of written files, built from what the task already knows, without a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_flowruns.model.runs import RunSummary

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_flowruns.tasks.written_file import WrittenFile

#: Name of the facet that holds what no standard one does, see ``lineage_facet``.
RUN_FACET = "flowruns_run"


def build_lineage(run: RunSummary) -> OperatorLineage[Any, Any]:
    """Build a run's lineage.

    Run facets: ``externalQuery`` (which run, of which service), ``flowruns_run`` (its state) and, with errors,
    ``errorMessage``. Outputs: one dataset for each resource of the run, ``<flow id>.<resource>``, with the number of
    rows loaded as its ``outputStatistics``.

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

    source = _build_source(run)
    facets: dict[str, Any] = {RUN_FACET: FlowRunRunFacet.from_summary(run)}
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


def add_output_files(
    lineage: OperatorLineage[Any, Any] | None, files: Sequence[WrittenFile]
) -> OperatorLineage[Any, Any] | None:
    """Add files that a task has written to its lineage: one dataset each, with its size and number of rows.

    :param lineage: the lineage of the task's run, None for a task without one.
    :param files: the files.
    """
    if not files:
        return lineage
    from airflow.providers.common.compat.openlineage.facet import OutputDataset, OutputStatisticsOutputDatasetFacet
    from airflow.providers.openlineage.extractors import OperatorLineage

    written = [
        OutputDataset(
            *_split_address(file.path),
            outputFacets={"outputStatistics": OutputStatisticsOutputDatasetFacet(rowCount=file.rows, size=file.size)},
        )
        for file in files
    ]
    if lineage is None:
        return OperatorLineage(outputs=written)
    lineage.outputs.extend(written)
    return lineage


def _split_address(path: str) -> tuple[str, str]:
    """Return namespace and name of a file by OpenLineage's conventions: its storage, and the path there."""
    parts = urlsplit(path)
    if parts.scheme in {"", "file", "local"}:
        return "file", parts.path or path
    # What comes before "@" is the id of an Airflow connection.
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", parts.path.lstrip("/")


def _build_source(run: RunSummary) -> str:
    """Return the service and, if it is known, its host: the namespace in which run and flow ids are unique."""
    host = urlsplit(run["url"] or "").netloc
    return f"{run['service']}://{host}" if host else str(run["service"])
