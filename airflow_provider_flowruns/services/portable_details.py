"""What Portable says about a run beyond what all services do."""

from __future__ import annotations

from typing import TypedDict

from airflow_provider_flowruns.model.runs import FlowRun, RunDetails
from airflow_provider_flowruns.services.parsing import measure_seconds


class PortableDetails(TypedDict):
    """``details`` in the summary of a run of Portable.

    :param duration_seconds: seconds from its creation to its end; None while it has not ended, and for the last run of
        a flow or workflow, of which Portable shows only the end.
    """

    duration_seconds: float | None


def build_portable_details(run: FlowRun) -> RunDetails:
    """Return a run's details.

    :param run: the run.
    """
    details: PortableDetails = {"duration_seconds": measure_seconds(run.started_at or run.created_at, run.completed_at)}
    return RunDetails(details, is_cut=False)
