"""Operators on Prefect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from airflow_provider_flowruns.operators.history import HistoryOperator
from airflow_provider_flowruns.operators.run import RunOperator
from airflow_provider_flowruns.services.payload import parse_object
from airflow_provider_flowruns.tasks.arguments import (
    check_when_known,
    get_given_arguments,
    get_known_part,
    require_rendered,
)
from airflow_provider_flowruns_prefect.info import PREFECT
from airflow_provider_flowruns_prefect.service import MAX_LIMIT, PrefectApi

if TYPE_CHECKING:
    from airflow_provider_flowruns.model.calls import Pages
    from airflow_provider_flowruns.model.runs import FlowRun
    from airflow_provider_flowruns.tasks.started_run import StartedRun
    from airflow_provider_flowruns.tasks.starting import RunStarter
    from airflow_provider_flowruns_prefect.hooks import PrefectHook  # noqa: F401 (the base classes quote it)


class PrefectRunDeploymentOperator(RunOperator["PrefectHook"]):
    """Start a deployment, wait for its flow run, and return the run's summary.

    The start travels with an idempotency key, so that there is one run even if its response is lost. With a key of your
    own, a run of the deployment that has it already is joined; as others may wait for it, ``cancel_on_kill`` is False
    then by default. A key that is to survive a failed run contains the try: ``orders-{{ ds }}-{{ ti.try_number }}``.

    :param deployment_id: the deployment's id, templated.
    :param parameters: JSON object with the parameters that differ from the deployment's own, templated.
    :param tags: tags of the run, templated.
    :param idempotency_key: key of the run, templated; by default one that no other start has.
    :param prefect_conn_id: Airflow connection of type ``prefect``, templated.
    """

    template_fields: Sequence[str] = ("deployment_id", "parameters", "tags", "idempotency_key", "prefect_conn_id")
    info = PREFECT

    def __init__(
        self,
        *,
        deployment_id: str,
        parameters: Mapping[str, Any] | str | None = None,
        tags: Sequence[str] = (),
        idempotency_key: str | None = None,
        prefect_conn_id: str = PREFECT.default_conn_id,
        **kwargs: Any,
    ) -> None:
        if idempotency_key is not None:
            kwargs.setdefault("cancel_on_kill", False)
        super().__init__(**kwargs)
        self.deployment_id = deployment_id
        self.parameters = parameters
        self.tags = tags
        self.idempotency_key = idempotency_key
        self.prefect_conn_id = prefect_conn_id
        check_when_known(deployment_id, PrefectApi.validate_flow_id)
        check_when_known(get_known_part(parameters), partial(parse_object, argument="parameters"))
        self._given = get_given_arguments(self, "parameters", "idempotency_key")

    def start_run(self, starter: RunStarter) -> StartedRun:
        """Start the deployment, or join its run that has the key of the task."""
        from airflow_provider_flowruns.tasks.started_run import StartedRun

        for name in self._given:
            require_rendered(getattr(self, name), argument=name)
        deployment_id, marker = PrefectApi.validate_flow_id(self.deployment_id), starter.new_marker("idempotency_key")
        if self.idempotency_key is not None:
            marker = replace(marker, correlation=str(self.idempotency_key))
        call = self.hook.api.run_flow(deployment_id, self.parameters, tags=self.tags, key=marker.correlation)
        return starter.start(StartedRun(deployment_id, marker), call)


class PrefectListFlowRunsOperator(HistoryOperator["PrefectHook"]):
    """Return the flow runs that are due by now, newest first, as a list of run summaries, or write them to a file.

    ``limit``, here 1 to 200, ``fetch_all``, ``max_runs`` and ``output_path``, and what is returned and raised, are
    those of :class:`~airflow_provider_flowruns.operators.history.HistoryOperator`.

    :param deployment_id: only runs of this deployment, templated.
    :param prefect_conn_id: Airflow connection of type ``prefect``, templated.
    """

    template_fields: Sequence[str] = ("deployment_id", "limit", "max_runs", "output_path", "prefect_conn_id")
    info = PREFECT
    default_limit = 100
    max_limit = fetch_all_page_size = MAX_LIMIT

    def __init__(
        self, *, deployment_id: str | None = None, prefect_conn_id: str = PREFECT.default_conn_id, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.deployment_id = deployment_id
        self.prefect_conn_id = prefect_conn_id
        if deployment_id is not None:
            check_when_known(deployment_id, PrefectApi.validate_flow_id)
        self._given = get_given_arguments(self, *self.template_fields)

    def pages(self, page_size: int) -> Pages[FlowRun]:
        """Return the runs."""
        return self.hook.api.list_flow_runs(self.deployment_id, limit=page_size)
