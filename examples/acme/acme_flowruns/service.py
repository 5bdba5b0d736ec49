"""What Acme's API says: its calls as data, and the functions that read the responses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Self

from airflow_provider_flowruns.model.calls import Call, CallSequence, Page, Request
from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.targets import NewestRunsTarget, RunTarget, StartedRunTarget, Target
from airflow_provider_flowruns.services.base import Service, explain_ended, read_newest_runs
from airflow_provider_flowruns.services.parsing import (
    is_run_of_flow,
    parse_id,
    parse_status,
    parse_texts,
    parse_time,
    parse_word,
    read_rows,
    require_id,
    sort_newest_first,
    unwrap_object,
    unwrap_object_with_id,
)
from airflow_provider_flowruns.services.payload import parse_object
from airflow_provider_flowruns.services.validation import validate_id

from acme_flowruns.info import ACME

#: Acme has no further pages: so many of a flow's runs can be seen.
MAX_LIMIT = 1_000
_ID = re.compile(r"[0-9a-z]{1,32}", re.ASCII)
_STATES = {
    "QUEUED": (Lifecycle.PENDING, Disposition.NONE),
    "RUNNING": (Lifecycle.RUNNING, Disposition.NONE),
    "DONE": (Lifecycle.NOT_RUNNING, Disposition.SUCCEEDED),
    "ERROR": (Lifecycle.NOT_RUNNING, Disposition.FAILED),
    "STOPPED": (Lifecycle.NOT_RUNNING, Disposition.CANCELED),
}
_UNKNOWN = (Lifecycle.UNKNOWN, Disposition.NONE)


class AcmeApi(Service):
    """Acme's API; every method returns a call and sends nothing.

    :param team: the team that owns the flows, None for all teams.
    """

    info = ACME

    def __init__(self, team: str | None = None) -> None:
        self._team = team

    @classmethod
    def for_connection(cls, base_url: str, options: Mapping[str, Any]) -> Self:
        """Return the API as a connection means it."""
        return cls(options.get("team"))

    @staticmethod
    def validate_flow_id(value: Any) -> str:
        """Return a flow's id as text."""
        return validate_id(value, argument="flow_id", pattern=_ID, example="f7k2")

    @staticmethod
    def validate_run_id(value: Any) -> str:
        """Return a run's id as text."""
        return validate_id(value, argument="run_id", pattern=_ID, example="r81c")

    def get_run(self, run_id: str) -> Call[FlowRun]:
        """``GET /runs/{id}``: one run."""
        valid = self.validate_run_id(run_id)
        request = Request("GET", f"/runs/{valid}", self._query, names="run")
        return Call(self.info.name, request, lambda body: _read_run(unwrap_object_with_id(body, valid)))

    def list_runs(self, flow_id: str, *, limit: int = MAX_LIMIT, key: str | None = None) -> Call[Page[FlowRun]]:
        """``GET /flows/{id}/runs``: the newest runs of a flow, newest first; with a key, the one that it started."""
        valid = self.validate_flow_id(flow_id)
        query = [*self._query, ("limit", str(min(limit, MAX_LIMIT))), *([("key", key)] if key else [])]
        request = Request("GET", f"/flows/{valid}/runs", tuple(query), names="flow")
        return Call(self.info.name, request, lambda body: Page(_read_runs(body, valid)))

    def run_flow(self, flow_id: str, payload: Any = None, key: str | None = None) -> Call[FlowRun]:
        """``POST /flows/{id}/runs``: start a flow; the response is the new run, or the one of the same key."""
        path = f"/flows/{self.validate_flow_id(flow_id)}/runs"
        body = {"payload": parse_object(payload, argument="payload"), "key": key}
        request = Request("POST", path, self._query, json=body, names="flow")
        return Call(self.info.name, request, lambda body: _read_run(unwrap_object(body)))

    def stop_run(self, run_id: str) -> Call[FlowRun]:
        """``POST /runs/{id}/stop``: stop a run; the response is the run."""
        valid = self.validate_run_id(run_id)
        request = Request("POST", f"/runs/{valid}/stop", self._query, names="run")
        return Call(self.info.name, request, lambda body: _read_run(unwrap_object_with_id(body, valid)))

    def check(self) -> CallSequence[str]:
        """Return the steps that try a connection."""
        name: str = yield Call(self.info.name, Request("GET", "/me"), lambda body: str(body["name"]))
        return f"Connected to Acme; this API key belongs to {name}"

    def poll(self, target: Target) -> CallSequence[tuple[FlowRun, ...]]:
        """Return the steps that read a target."""
        match target:
            case RunTarget():
                return ((yield self.get_run(target.run_id)),)
            case NewestRunsTarget():
                call = self.list_runs(target.flow_id, limit=target.max_runs or 20)
                return read_newest_runs(self.info, call, (yield call))
            case StartedRunTarget():
                key = target.marker.correlation
                found: Page[FlowRun] = yield self.list_runs(target.flow_id, key=key)
                # A server that does not know the filter sends all runs, and the task may cancel what it takes for its.
                return tuple(run for run in found.items if run.raw.get("key") == key)
        raise InvalidArgumentError(f"Acme has no {target} to wait for: it shows runs, and the runs of a flow")

    def cancel(self, flow_id: str, run_id: str) -> CallSequence[str]:
        """Return the calls that stop a run, if it is active."""
        run: FlowRun = yield self.get_run(run_id)
        if ended := explain_ended(self.info, run):
            return ended
        yield self.stop_run(run_id)
        return f"stopped Acme run {run_id}"

    @property
    def _query(self) -> tuple[tuple[str, str], ...]:
        return (("team", self._team),) if self._team else ()


def _read_runs(body: Any, flow_id: str) -> tuple[FlowRun, ...]:
    def read(record: Mapping[str, Any]) -> FlowRun | None:
        run = _read_run(record)
        return run if is_run_of_flow(run, flow_id) else None

    return sort_newest_first(read_rows(body, read, "runs", created="created"))


def _read_run(record: Mapping[str, Any]) -> FlowRun:
    lifecycle, disposition = _STATES.get(parse_word(record.get("state")), _UNKNOWN)
    errors = parse_texts(record.get("error"))
    if disposition is Disposition.SUCCEEDED and errors:
        lifecycle, disposition = _UNKNOWN  # a record that says two things at a time decides nothing
    return FlowRun(
        service=ACME.name,
        kind=Kind.RUN,
        run_id=require_id(record, _ID),
        flow_id=parse_id(record.get("flow")),
        lifecycle=lifecycle,
        disposition=disposition,
        vendor_status=parse_status(record.get("state")),
        created_at=parse_time(record.get("created")),
        completed_at=parse_time(record.get("ended")),
        errors=errors,
        record=record,
    )
