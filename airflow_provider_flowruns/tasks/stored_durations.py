"""Keep how long a flow's runs take from one DAG run to the next, where Airflow has a store for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_flowruns.compat.state_stores import AssetState
from airflow_provider_flowruns.model.runs import Disposition
from airflow_provider_flowruns.services.parsing import parse_time

if TYPE_CHECKING:
    from airflow_provider_flowruns.model.runs import RunSummary
    from airflow_provider_flowruns.polling.durations import RunDurations


class StoredDurations:
    """The durations of one flow's runs in the state store of an asset of the task (Airflow 3.3).

    Airflow's store of a task instance is no use: it belongs to one DAG run.

    :param durations: what the task knows of its flows' runs.
    :param context: the task's context.
    :param assets: the task's outlets and inlets.
    :param service: registry name of the service.
    :param conn_id: id of the Airflow connection.
    :param flow_id: the flow's id.
    """

    def __init__(
        self, durations: RunDurations, context: Any, assets: list[Any], *, service: str, conn_id: str, flow_id: str
    ) -> None:
        self._durations = durations
        self._flow_id = flow_id
        self._state = AssetState(context, assets, " ".join(("flowruns durations", service, conn_id, flow_id)))
        self._saved: Any = None

    def load(self, log: Any) -> None:
        """Add what earlier DAG runs stored to what the task knows.

        :param log: the task's logger.
        """
        self._saved = self._state.load_if_possible(log)
        self._durations.restore(self._flow_id, self._saved)

    def save(self, run: RunSummary, log: Any) -> None:
        """Store what the task knows, with the run that it waited for.

        :param run: summary of the run.
        :param log: the task's logger.
        """
        if run["run_id"] is not None and run["disposition"] == Disposition.SUCCEEDED:
            started_at = parse_time(run["started_at"]) or parse_time(run["created_at"])
            self._durations.add(self._flow_id, started_at, parse_time(run["completed_at"]))
        known = [list(item) for item in self._durations.to_record(self._flow_id)]
        if known and known != self._saved:
            self._state.save_if_possible(known, log)
            self._saved = known
