"""What Prefect's REST API says: its calls as data, and the functions that read the responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self

from airflow_provider_flowruns.model.calls import Call, CallSequence, Page, Pages, Request
from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.model.rows import Rows
from airflow_provider_flowruns.model.runs import Flow, FlowRun
from airflow_provider_flowruns.model.targets import BatchResult, NewestRunsTarget, RunTarget, StartedRunTarget, Target
from airflow_provider_flowruns.services import base
from airflow_provider_flowruns.services.parsing import (
    estimate_size,
    format_time,
    is_object,
    parse_text,
    read_rows,
    unwrap_object,
    unwrap_object_with_id,
)
from airflow_provider_flowruns.services.payload import parse_object
from airflow_provider_flowruns.services.validation import validate_id, validate_limit
from airflow_provider_flowruns_prefect.info import PREFECT
from airflow_provider_flowruns_prefect.records import ID_PATTERN, read_deployment, read_run, read_runs

#: The server's own bound for one page, and the number of a deployment's newest runs that a wait reads.
MAX_LIMIT, _MAX_NEWEST = 200, 20
_EXAMPLE_ID = "8f3c3a52-6a0e-4f0b-9c8e-2f6c0f6d7b11"
_CLOUD_API, _CLOUD_APP = "https://api.prefect.cloud/api/accounts/", "https://app.prefect.cloud/account/"


class PrefectApi(base.Service):
    """Prefect's API; every method returns a call and sends nothing.

    :param base_url: address of a server, without ``/api``, or of a workspace of Prefect Cloud.
    """

    info = PREFECT

    def __init__(self, base_url: str = "") -> None:
        is_cloud = base_url.startswith(_CLOUD_API)
        self._prefix = "" if is_cloud else "/api"
        workspace = base_url.removeprefix(_CLOUD_API).replace("/workspaces/", "/workspace/")
        self._app_url = f"{_CLOUD_APP}{workspace}" if is_cloud else base_url

    @classmethod
    def for_connection(cls, base_url: str, options: Mapping[str, Any]) -> Self:
        """Return the API as a connection means it."""
        return cls(base_url)

    @staticmethod
    def validate_flow_id(value: Any) -> str:
        """Return a deployment's id as text."""
        return validate_id(value, argument="deployment_id", pattern=ID_PATTERN, example=_EXAMPLE_ID).lower()

    @staticmethod
    def validate_run_id(value: Any) -> str:
        """Return a flow run's id as text."""
        return validate_id(value, argument="run_id", pattern=ID_PATTERN, example=_EXAMPLE_ID).lower()

    def get_flow_run(self, run_id: str) -> Call[FlowRun]:
        """``GET /flow_runs/{id}``: one flow run."""
        valid = self.validate_run_id(run_id)
        request = Request("GET", f"{self._prefix}/flow_runs/{valid}", names="run")
        return Call(self.info.name, request, lambda body: read_run(unwrap_object_with_id(body, valid), self._app_url))

    def get_deployment(self, deployment_id: str) -> Call[Flow]:
        """``GET /deployments/{id}``: one deployment."""
        valid = self.validate_flow_id(deployment_id)
        request = Request("GET", f"{self._prefix}/deployments/{valid}", names="flow")
        return Call(self.info.name, request, lambda body: read_deployment(unwrap_object_with_id(body, valid)))

    def list_flow_runs(self, deployment_id: str | None = None, *, limit: int | str = MAX_LIMIT) -> Pages[FlowRun]:
        """``POST /flow_runs/filter``: the flow runs that are due by now, newest first."""
        deployment = self.validate_flow_id(deployment_id) if deployment_id is not None else None
        filters: dict[str, Any] = {"expected_start_time": {"before_": format_time(datetime.now(UTC))}}
        filters |= {"deployment_id": {"any_": [deployment]}} if deployment else {}
        body = {"flow_runs": filters, "sort": "EXPECTED_START_TIME_DESC"}
        return self._list("flow_runs", body, limit, lambda rows: read_runs(rows, self._app_url, deployment))

    def list_flows(self, *, limit: int | str = MAX_LIMIT) -> Pages[Flow]:
        """``POST /deployments/filter``: the deployments, by name."""
        return self._list("deployments", {"sort": "NAME_ASC"}, limit, lambda rows: read_rows(rows, read_deployment))

    def run_flow(
        self, flow_id: str, payload: Any = None, *, tags: Sequence[str] = (), key: str | None = None
    ) -> Call[FlowRun]:
        """``POST /deployments/{id}/create_flow_run``: start a deployment; the response is the run, or the key's."""
        valid, parameters = self.validate_flow_id(flow_id), parse_object(payload, argument="parameters")
        labels = [str(tag) for tag in ([tags] if isinstance(tags, str) else tags or ()) if tag]
        body = {"parameters": parameters, "tags": labels, "idempotency_key": key}
        request = Request("POST", f"{self._prefix}/deployments/{valid}/create_flow_run", json=body, names="flow")

        def read(body: Any) -> FlowRun:
            run = read_run(unwrap_object(body), self._app_url)
            if run.flow_id != valid:  # the server's keys are those of a flow, which may have several deployments
                raise ValueError(f"run {run.run_id} of deployment {run.flow_id} has this idempotency key")
            return run

        return Call(self.info.name, request, read)

    def find_runs(self, deployment_id: str, keys: Sequence[str]) -> Call[Rows[FlowRun]]:
        """``POST /flow_runs/filter``: the runs of a deployment that were started with these idempotency keys."""
        filters = {"deployment_id": {"any_": [self.validate_flow_id(deployment_id)]}}
        return self._filter_runs({**filters, "idempotency_key": {"any_": list(keys)}})

    def cancel_flow_run(self, run_id: str) -> Call[str | None]:
        """``POST /flow_runs/{id}/set_state``: request the end of a run; returns why it was refused, or None."""
        path = f"{self._prefix}/flow_runs/{self.validate_run_id(run_id)}/set_state"
        request = Request("POST", path, json={"state": {"type": "CANCELLING"}}, names="run")
        return Call(self.info.name, request, _read_refusal)

    def check(self) -> CallSequence[str]:
        """Return the calls that try a connection: reading one deployment."""
        page: Page[Flow] = yield self.list_flows(limit=1).first
        seen = f"deployment {page.items[0].name!r} among others" if page.items else "no deployment"
        return f"Connected to Prefect; this connection sees {seen}"

    def poll(self, target: Target) -> CallSequence[tuple[FlowRun, ...]]:
        """Return the calls that read a target: a run by id, a deployment's newest runs, or the run of a start."""
        match target:
            case RunTarget():
                return ((yield self.get_flow_run(target.run_id)),)
            case NewestRunsTarget():
                return (yield from self._read_newest(target.flow_id, target.max_runs or _MAX_NEWEST))
            case StartedRunTarget():
                return (yield from self.poll_batch([target], 1, 1)).found[target]
        raise InvalidArgumentError(f"Prefect has no {target} to wait for: it shows runs, and the runs of a deployment")

    batch_key = staticmethod(base.get_run_batch_key)

    def poll_batch(self, targets: Sequence[Target], required_count: int, max_runs: int) -> CallSequence[BatchResult]:
        """Return the call that reads runs by their ids, or finds the runs of one deployment's starts by their keys."""
        if starts := [target for target in targets if isinstance(target, StartedRunTarget)]:
            call = self.find_runs(starts[0].flow_id, [start.marker.correlation for start in starts])
        else:
            ids = sorted({target.run_id for target in targets if isinstance(target, RunTarget)})
            call = self._filter_runs({"id": {"any_": ids}})
        runs: Rows[FlowRun] = yield call
        found = base.match_runs(targets, runs, lambda run, marker: run.raw.get("idempotency_key") == marker.correlation)
        return BatchResult(found, runs, estimate_size(runs[0].raw) if runs else 0)

    def cancel(self, flow_id: str, run_id: str) -> CallSequence[str]:
        """Return the calls that cancel a run, if it is active. A worker stops it, or the server if no worker has it."""
        run: FlowRun = yield self.get_flow_run(run_id)
        if ended := base.explain_ended(self.info, run):
            return ended
        refusal: str | None = yield self.cancel_flow_run(run_id)
        if refusal is not None:
            return f"Prefect run {run_id} may continue: the server did not cancel it ({refusal})"
        return f"requested the cancellation of Prefect run {run_id}"

    def error_message(self, body: Any) -> str | None:
        """Return the message: a text, or what an exception says with what is wrong in a body."""
        body = body if is_object(body) else {}
        sent = body.get("exception_detail")
        wrong = [str(item.get("msg")) for item in sent if is_object(item)] if isinstance(sent, list) else []
        return " ".join(filter(None, (parse_text(body.get("detail") or body.get("exception_message")), *wrong))) or None

    def _read_newest(self, deployment_id: str, count: int) -> CallSequence[tuple[FlowRun, ...]]:
        call = self.list_flow_runs(deployment_id, limit=min(count, MAX_LIMIT)).first
        page: Page[FlowRun] = yield call
        newest = base.read_newest_runs(self.info, call, page)
        if not newest:
            # An unknown deployment has an empty list, too; asking for the deployment itself tells the two apart.
            yield self.get_deployment(deployment_id)
        while page.next and len(newest) < count:
            page = yield from base.read_page(page.next, is_first=False)
            newest += page.items
        return newest[:count]

    def _list(self, what: str, body: dict[str, Any], limit: int | str, read: Callable[[Any], Any]) -> Pages[Any]:
        size = validate_limit(limit, maximum=MAX_LIMIT)

        def page(offset: int) -> Call[Page[Any]]:
            def read_page(sent: Any) -> Page[Any]:
                rows = read(sent)
                return Page(rows, page(offset + rows.total) if rows.total >= size else None)

            return self._filter(what, {**body, "limit": size, "offset": offset}, read_page)

        return Pages(page(0), identity=lambda one: one.raw["id"])

    def _filter_runs(self, filters: dict[str, Any]) -> Call[Rows[FlowRun]]:
        body = {"flow_runs": filters, "limit": MAX_LIMIT}
        return self._filter("flow_runs", body, lambda rows: read_runs(rows, self._app_url))

    def _filter(self, what: str, body: dict[str, Any], read: Callable[[Any], Any]) -> Call[Any]:
        path = f"{self._prefix}/{what}/filter"
        return Call(self.info.name, Request("POST", path, json=body, names="", is_read=True), read)


def _read_refusal(body: Any) -> str | None:
    answer = unwrap_object(body)
    state = answer.get("state")
    # A run that nothing runs is cancelled at once: the server rejects one state, and sets the other.
    if answer.get("status") == "ACCEPT" or (is_object(state) and state.get("type") in {"CANCELLING", "CANCELLED"}):
        return None
    return parse_text(unwrap_object(answer.get("details")).get("reason")) or str(answer.get("status"))
