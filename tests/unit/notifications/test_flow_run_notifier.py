"""The notifier: one start, without the token where it must not go, and its errors for the log only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_flowruns.exceptions import ApiError, AuthenticationError, InvalidArgumentError, NotFoundError
from airflow_provider_flowruns.notifications.flow_run import FlowRunNotifier
from airflow_provider_flowruns.sandbox import Sandbox
from tests.airflow_versions import KEEPS_EMPTY_TEMPLATES

FLOW_ID = "ojdVhFCCcrZ2X1rqJL2Mu"
CONTEXT: Any = {"dag": None, "error": "no such column", "rows": [{"id": 1}]}

# What Airflow does with a notifier: below 3 it also swallows what a start raises, and below 3.1 it awaits none.


def call(notifier: FlowRunNotifier) -> None:
    """Render and notify, as a task's callback does."""
    notifier.render_template_fields(CONTEXT)
    notifier.notify(CONTEXT)


def wait_for(notifier: FlowRunNotifier) -> None:
    """Render and notify in an event loop, as a deadline's callback does."""
    notifier.render_template_fields(CONTEXT)
    asyncio.run(notifier.async_notify(CONTEXT))


both_ways = pytest.mark.parametrize("run", [call, wait_for], ids=["sync", "async"])


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox() as running:
        for name, value in running.connections().items():
            monkeypatch.setenv(name, value)
            bad = {**json.loads(value), "password": "made-up-wrong-token"}
            monkeypatch.setenv(name.replace("_DEFAULT", "_BAD"), json.dumps(bad))
        yield running


@both_ways
def test_it_starts_a_portable_flow_once(run, sandbox) -> None:
    flow = sandbox.portable.add_flow()
    run(FlowRunNotifier(service="portable", flow_id=flow.id))
    assert [(event.service, event.flow_id) for event in sandbox.ledger.started] == [("portable", flow.id)]
    assert sandbox.ledger.count() == 1


@both_ways
def test_it_starts_an_activepieces_flow_once_with_a_rendered_payload_and_no_token(run, sandbox) -> None:
    flow = sandbox.activepieces.add_flow()
    notifier = FlowRunNotifier(service="activepieces", flow_id=flow.id, payload={"said": "{{ error }}", "level": 3})
    run(notifier)
    assert [event.flow_id for event in sandbox.ledger.started] == [flow.id]
    (request,) = sandbox.ledger.requests
    assert json.loads(request.body) == {"said": "no such column", "level": 3}
    assert "authorization" not in request.headers
    assert json.loads(sandbox.connections()["AIRFLOW_CONN_ACTIVEPIECES_DEFAULT"])["password"] not in str(request)


@both_ways
@pytest.mark.parametrize(
    ("payload", "sent"),
    [
        ("{{ rows | tojson }}", [{"id": 1}]),
        ([{"said": "{{ error }}"}], [{"said": "no such column"}]),
        ({"at": datetime(2026, 1, 31, 12, tzinfo=UTC)}, {"at": "2026-01-31T12:00:00+00:00"}),
    ],
)
def test_a_payload_may_be_json_text_or_a_list_and_hold_datetimes(run, payload, sent, sandbox) -> None:
    flow = sandbox.activepieces.add_flow()
    run(FlowRunNotifier(service="activepieces", flow_id=flow.id, payload=payload))
    (request,) = sandbox.ledger.requests
    assert json.loads(request.body) == sent


def test_a_payload_that_rendered_to_nothing_starts_nothing(sandbox) -> None:
    flow = sandbox.activepieces.add_flow()
    said = "is text that is not JSON" if KEEPS_EMPTY_TEMPLATES else "rendered to nothing"
    with pytest.raises(InvalidArgumentError, match=rf"^FR301: payload {said}"):
        call(FlowRunNotifier(service="activepieces", flow_id=flow.id, payload="{{ missing | default('', true) }}"))
    assert sandbox.ledger.count() == 0


def test_a_notifier_that_tasks_share_renders_anew_for_each_of_them(sandbox) -> None:
    flow = sandbox.activepieces.add_flow()
    shared = FlowRunNotifier(service="activepieces", flow_id=flow.id, payload={"task": "{{ name }}"})
    for name in ("first", "second"):
        context: Any = {"dag": None, "name": name}
        shared(context)
    assert [json.loads(request.body) for request in sandbox.ledger.requests] == [{"task": "first"}, {"task": "second"}]


@both_ways
def test_the_connection_is_a_template_too(run, sandbox) -> None:
    flow = sandbox.portable.add_flow()
    with pytest.raises(AuthenticationError, match="portable_bad"):
        run(
            FlowRunNotifier(service="portable", flow_id=flow.id, conn_id="portable_{{ 'bad' if error else 'default' }}")
        )
    assert sandbox.ledger.started == []


@both_ways
def test_a_start_that_was_refused_is_told_to_airflow(run, sandbox) -> None:
    with pytest.raises(NotFoundError):
        run(FlowRunNotifier(service="activepieces", flow_id=FLOW_ID))
    assert sandbox.ledger.count() == 1


@both_ways
def test_a_start_whose_response_is_lost_is_not_repeated(run, sandbox) -> None:
    flow = sandbox.portable.add_flow()
    sandbox.faults.add("accept_then_reset", service="portable", method="POST")
    with pytest.raises(ApiError):
        run(FlowRunNotifier(service="portable", flow_id=flow.id))
    assert len(sandbox.ledger.started) == 1
    assert sandbox.ledger.count() == 1


@both_ways
def test_a_start_that_was_turned_away_is_repeated(run, sandbox) -> None:
    flow = sandbox.portable.add_flow()
    sandbox.faults.add("status", status=429, service="portable", method="POST", times=1)
    run(FlowRunNotifier(service="portable", flow_id=flow.id))
    assert len(sandbox.ledger.started) == 1
    assert sandbox.ledger.count() == 2


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"service": "tableflow", "flow_id": "Wp7kRnT2mX4vQ9bL"}, "service .* files.* TableFlowRunFlowOperator"),
    ({"service": "airbyte", "flow_id": "1"}, "service must be one of portable, activepieces"),
    ({"service": "portable", "flow_id": 5, "payload": {}}, "payload .* Activepieces only.* leave it out"),
    ({"service": "portable", "flow_id": "../x"}, "flow_id"),
    ({"service": "activepieces", "flow_id": "short"}, "flow_id"),
    ({"service": "activepieces", "flow_id": FLOW_ID, "payload": 5}, "payload must be a JSON object or list"),
    ({"service": "activepieces", "flow_id": FLOW_ID, "payload": "no JSON"}, "payload is text that is not JSON"),
    ({"service": "activepieces", "flow_id": FLOW_ID, "payload": {"a": object()}}, r"payload\['a'\] is of type object"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_what_cannot_be_right_is_said_at_dag_parse(arguments, said) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        FlowRunNotifier(**arguments)


def test_an_id_that_is_wrong_once_rendered_is_not_sent(sandbox) -> None:
    with pytest.raises(InvalidArgumentError, match="flow_id"):
        call(FlowRunNotifier(service="portable", flow_id="{{ error }}"))
    assert sandbox.ledger.count() == 0
