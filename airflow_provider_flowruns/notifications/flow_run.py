"""A notifier that starts a flow."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.notifier import BaseNotifier

from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.services.payload import parse_payload
from airflow_provider_flowruns.services.registry import get_service, list_service_names
from airflow_provider_flowruns.tasks.arguments import check_when_known, get_known_part, require_rendered

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.model.calls import Call
    from airflow_provider_flowruns.services.base import Service


class FlowRunNotifier(BaseNotifier):
    """Start a flow from a callback, such as a task's ``on_failure_callback`` or, awaited, a deadline's.

    Starts it once and does not wait for the run: ``POST /v2/flows/{id}/run`` on Portable,
    ``POST /api/v1/webhooks/{flowId}`` on Activepieces, which the API token is never sent to. The request is sent again
    only if it provably was not accepted. Invalid arguments raise ``InvalidArgumentError`` at DAG parse. A start that
    fails raises a ``FlowRunsError`` in the callback, which Airflow logs; the task's own error and state stay.

    In a deadline's callback Airflow's context has only ``dag_run`` and ``deadline``, so templates can use nothing else.

    :param service: ``portable``, ``activepieces``, or a service of another package whose API has ``run_flow``.
        TableFlow starts a flow only with files, so it takes a task: a ``TableFlowRunFlowOperator`` with
        ``trigger_rule="one_failed"``.
    :param flow_id: the flow's id, templated.
    :param payload: JSON object or list that the flow's trigger is called with, or one as JSON text, templated; only
        where a start takes one, as on Activepieces, and an object where the service takes nothing else.
    :param conn_id: Airflow connection of the service, templated; ``portable_default`` on Portable, and so on, when
        not given.
    """

    template_fields: Sequence[str] = ("flow_id", "payload", "conn_id")

    def __init__(
        self,
        *,
        service: str,
        flow_id: int | str,
        payload: Mapping[str, Any] | Sequence[Any] | str | None = None,
        conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        api = get_service(service)
        _check_can_start(api)
        if payload is not None and not api.info.takes_payload:
            raise InvalidArgumentError(
                f"payload goes with a start on {_list_titles_with_payload()} only; {api.info.title} takes none: "
                "leave it out"
            )
        self.service = service
        self.flow_id = flow_id
        self.payload = payload
        self.conn_id = conn_id or api.info.default_conn_id
        check_when_known(flow_id, api.validate_flow_id)
        parse_payload(get_known_part(payload))
        self._payload_given = payload is not None
        self._templates = {name: getattr(self, name) for name in self.template_fields}

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Render the templates for one callback.

        :param context: Airflow's context of the task.
        :param jinja_env: environment to render in; by default the DAG's.
        """
        # Tasks share a notifier of default_args, and one process may call it for several of them: rendering replaces
        # the templates, so the second call would send what the first one rendered.
        vars(self).update(self._templates)
        super().render_template_fields(context, jinja_env)

    def notify(self, context: Context) -> None:
        """Start the flow.

        :param context: Airflow's context of the task.
        :raises FlowRunsError: it was not started, or it is unknown because there was no response.
        """
        from airflow_provider_flowruns.hooks.base import create_hook

        with create_hook(get_service(self.service).info, self.conn_id) as hook:
            hook.client.send(self._build_start(hook.api))
        self._log_start()
        self._count_start()

    async def async_notify(self, context: Context) -> None:
        """Start the flow from an event loop, without blocking it.

        :param context: Airflow's context of the task.
        :raises FlowRunsError: it was not started, or it is unknown because there was no response.
        """
        from airflow_provider_flowruns.client.aio import SharedClient
        from airflow_provider_flowruns.triggers.connection import async_settings

        async with SharedClient(self.service, self.conn_id, async_settings) as client:
            await client.send(self._build_start(await client.get_service()))
        self._log_start()
        await asyncio.to_thread(self._count_start)

    def _build_start(self, api: Any) -> Call[Any]:
        if self._payload_given:
            require_rendered(self.payload, argument="payload")
        arguments = (self.flow_id, self.payload) if api.info.takes_payload else (self.flow_id,)
        call: Call[Any] = api.run_flow(*arguments)
        return call

    def _log_start(self) -> None:
        self.log.info("Started flow %s on %s", self.flow_id, get_service(self.service).info.title)

    def _count_start(self) -> None:
        from airflow_provider_flowruns.metrics import ConnectionMetrics, Metric

        if metrics := ConnectionMetrics.create(self.service, self.conn_id):
            metrics.increment(Metric.RUNS_STARTED)


def _check_can_start(api: type[Service]) -> None:
    info = api.info
    if not hasattr(api, "run_flow"):
        raise InvalidArgumentError(
            f"service must not be {info.name!r}: the package for {info.title} has no run_flow that a notifier can call"
        )
    if info.takes_files:
        raise InvalidArgumentError(
            f"service must not be {info.name!r}: a start there needs files, which a notifier does not have; use a "
            f'{info.title}RunFlowOperator with trigger_rule="one_failed"'
        )


def _list_titles_with_payload() -> str:
    infos = [get_service(name).info for name in list_service_names()]
    return ", ".join(info.title for info in infos if info.takes_payload)
