"""Where what is said about Activepieces contradicts itself (A1 to A8), both forms read the same."""

import json
from datetime import UTC, datetime

import pytest

from airflow_provider_flowruns.client.responses import read_result
from airflow_provider_flowruns.client.retry import RetryPolicy
from airflow_provider_flowruns.client.settings import parse_settings
from airflow_provider_flowruns.model.calls import Call, Request, Response
from airflow_provider_flowruns.model.errors import (
    InvalidArgumentError,
    InvalidRequestError,
    ServerError,
    UnexpectedResponseError,
)
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Lifecycle
from airflow_provider_flowruns.services.activepieces import ActivepiecesApi
from airflow_provider_flowruns.services.activepieces_arguments import STATUSES

RUN_ID, FLOW_ID, PROJECT_ID = "cPi5kjLQnJv89Z7KBGg7G", "ojdVhFCCcrZ2X1rqJL2Mu", "19NxIjX88XDYnuT9t5cwP"
MISSING = object()
RUN = {
    "id": RUN_ID,
    "created": "2026-11-22T05:51:13.616Z",
    "updated": "2026-11-22T05:51:14.521Z",
    "projectId": PROJECT_ID,
    "flowId": FLOW_ID,
    "status": "SUCCEEDED",
    "environment": "PRODUCTION",
    "failParentOnFailure": False,
    "startTime": "2026-11-22T05:51:14.387Z",
    "finishTime": "2026-11-22T05:51:14.507Z",
    "failedStep": None,
}
WEBHOOK = Request("POST", f"/api/v1/webhooks/{FLOW_ID}/sync", json={}, with_token=False)

SEED_STATUSES = {
    "FAILED": (Lifecycle.NOT_RUNNING, Disposition.FAILED),
    "QUOTA_EXCEEDED": (Lifecycle.NOT_RUNNING, Disposition.FAILED),
    "INTERNAL_ERROR": (Lifecycle.NOT_RUNNING, Disposition.FAILED),
    "PAUSED": (Lifecycle.PAUSED, Disposition.NONE),
    "QUEUED": (Lifecycle.PENDING, Disposition.NONE),
    "RUNNING": (Lifecycle.RUNNING, Disposition.NONE),
    "SUCCEEDED": (Lifecycle.NOT_RUNNING, Disposition.SUCCEEDED),
    "MEMORY_LIMIT_EXCEEDED": (Lifecycle.NOT_RUNNING, Disposition.FAILED),
    "TIMEOUT": (Lifecycle.NOT_RUNNING, Disposition.FAILED),
}
LATER_STATUSES = {
    "CANCELED": (Lifecycle.NOT_RUNNING, Disposition.CANCELED),
    "LOG_SIZE_EXCEEDED": (Lifecycle.NOT_RUNNING, Disposition.FAILED),
}
EARLIER_STATUSES = {"STOPPED": (Lifecycle.NOT_RUNNING, Disposition.SUCCEEDED)}


def read(**fields: object) -> FlowRun:
    record = {name: value for name, value in {**RUN, **fields}.items() if value is not MISSING}
    return ActivepiecesApi().get_flow_run(RUN_ID).read(record)


def answer_to_webhook(status: int, body: bytes) -> object:
    settings = parse_settings(
        "activepieces", "activepieces_default", host=None, schema=None, port=None, password="sk-made-up", extra={}
    )
    headers = {"content-type": "application/json"} if body else {}
    return read_result(settings, Call("activepieces", WEBHOOK, lambda body: body), Response(status, headers, body))


@pytest.mark.parametrize(
    ("filters", "sent"),
    [
        ({}, ()),
        ({"flow_id": FLOW_ID}, (("flowId", FLOW_ID),)),
        ({"status": "FAILED"}, (("status", "FAILED"),)),
        (
            {"flow_id": FLOW_ID, "status": ["failed", "TIMEOUT"], "created_after": "2026-11-01"},
            (
                ("flowId", FLOW_ID),
                ("status", "FAILED"),
                ("status", "TIMEOUT"),
                ("createdAfter", "2026-11-01T00:00:00Z"),
            ),
        ),
    ],
)
def test_a1_list_with_and_without_filters(filters, sent) -> None:
    """Rule: all filters are optional; only the project is required. A list is sent as a repeated key."""
    request = ActivepiecesApi(PROJECT_ID).list_flow_runs(**filters, limit=50).first.request
    assert request.path == "/api/v1/flow-runs"
    assert request.query == (("projectId", PROJECT_ID), *sent, ("limit", "50"))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(204, b"", UnexpectedResponseError), (408, b"{}", ServerError), (504, b"{}", ServerError)],
)
def test_a2_no_form_of_a_sync_webhook_timeout_reads_as_a_result_or_is_sent_again(status, body, error) -> None:
    """Rule: 204, 408 and 504 all say that nobody answered in time; a started flow is not started twice."""
    with pytest.raises(error) as raised:
        answer_to_webhook(status, body)
    assert raised.value.transient
    assert RetryPolicy().arguments(WEBHOOK)["retry"].predicate(raised.value) is False


@pytest.mark.parametrize("prefix", ["x-", "ap-"])
def test_a3_run_started_with_either_name_of_the_parent_header(prefix) -> None:
    """Rule: the server takes ``ap-parent-run-id``; a run that kept either header reads the same."""
    headers = {f"{prefix}parent-run-id": RUN_ID, f"{prefix}fail-parent-on-failure": "true"}
    steps = {"trigger": {"output": {"headers": headers, "body": {}}}}
    assert read(steps=steps, parentRunId=RUN_ID) == read(parentRunId=None)


@pytest.mark.parametrize(("status", "meaning"), {**SEED_STATUSES, **LATER_STATUSES, **EARLIER_STATUSES}.items())
def test_a4_status_of_every_release(status, meaning) -> None:
    """Rule: nine in the published page, eleven in the source, one of old: all are known."""
    run = read(status=status)
    assert (run.lifecycle, run.disposition) == meaning
    assert (read(status=status.lower()).lifecycle, run.vendor_status) == (meaning[0], status)


def test_a4_filters_take_every_status_of_every_release() -> None:
    """Rule: what can be read can be asked for."""
    assert {*SEED_STATUSES, *LATER_STATUSES, *EARLIER_STATUSES} == STATUSES


@pytest.mark.parametrize("status", ["WAITING_FOR_MOON", "", None, 12])
def test_a4_a_twelfth_status_is_neither_success_nor_failure_nor_active(status) -> None:
    """Rule: an unknown status decides nothing."""
    run = read(status=status)
    assert (run.lifecycle, run.disposition, run.is_active) == (Lifecycle.UNKNOWN, Disposition.NONE, False)


@pytest.mark.parametrize("status", sorted(STATUSES))
def test_a4_only_an_internal_error_may_mend_itself(status) -> None:
    """Rule: INTERNAL_ERROR is soft."""
    assert read(status=status).may_recover is (status == "INTERNAL_ERROR")


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("2026-11-22T05:51:14.387Z", datetime(2026, 11, 22, 5, 51, 14, 387_000, tzinfo=UTC)),
        (None, None),
        ("", None),
        (MISSING, None),
    ],
)
def test_a5_start_time_given_null_empty_or_missing(start, expected) -> None:
    """Rule: ``startTime`` is required in the published page and nullable in the source: optional."""
    run = read(startTime=start)
    assert run.started_at == expected
    assert run.disposition is Disposition.SUCCEEDED


@pytest.mark.parametrize("size", [5, 25])
def test_a6_a_payload_above_either_limit_is_refused_in_the_servers_words(size) -> None:
    """Rule: 5 MB or 25 MB, the server decides; its 413 is told and not repeated."""
    body = json.dumps({"message": f"Payload too large (limit {size} MB)"}).encode()
    with pytest.raises(InvalidRequestError, match=f"limit {size} MB") as raised:
        answer_to_webhook(413, body)
    assert (raised.value.transient, raised.value.status) == (False, 413)


def test_a7_ids_of_21_characters_pass() -> None:
    """Rule: ids are 21 letters and digits."""
    assert ActivepiecesApi().get_flow_run(RUN_ID).request.path == f"/api/v1/flow-runs/{RUN_ID}"


@pytest.mark.parametrize("example", ["run_abc123", "flow_abc123", "run_abc123run_abc123xy"])
def test_a7_the_ids_of_the_documentations_examples_are_refused_before_any_request(example) -> None:
    """Rule: ids are 21 letters and digits."""
    api = ActivepiecesApi(PROJECT_ID)
    with pytest.raises(InvalidArgumentError, match="run_id"):
        api.get_flow_run(example)
    with pytest.raises(InvalidArgumentError, match="flow_id"):
        api.list_flow_runs(flow_id=example)


@pytest.mark.parametrize("retried_id", [RUN_ID, "NEWrunNEWrunNEWrun123"])
def test_a8_retried_run_with_the_same_and_with_a_new_id(retried_id) -> None:
    """Rule: FROM_FAILED_STEP keeps the id and the old failedStep, ON_LATEST_VERSION makes a new id; both wait."""
    answer = {
        **RUN,
        "id": retried_id,
        "status": "QUEUED",
        "finishTime": "2026-11-22T05:51:14.507Z",
        "failedStep": {"name": "step_1", "displayName": "Fetch orders", "message": "old"},
    }
    run = ActivepiecesApi(project_id="P" * 21).retry_flow_run(RUN_ID).read(answer)
    assert (run.run_id, run.lifecycle, run.disposition) == (retried_id, Lifecycle.PENDING, Disposition.NONE)
    assert (run.errors, run.completed_at) == ((), None)


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        (
            {"failedStep": {"name": "step_1", "displayName": "Fetch orders", "message": "HTTP 500"}},
            ("step 'Fetch orders': HTTP 500",),
        ),
        ({"failedStep": {"name": "step_1"}}, ("step 'step_1' failed",)),
        ({"failedStep": {"message": "HTTP 500"}}, ("HTTP 500",)),
        ({"failedStep": {}, "failedStepName": "step_1"}, ("step 'step_1' failed",)),
        ({"failedStep": MISSING, "failedStepName": "step_1"}, ("step 'step_1' failed",)),
        ({"failedStep": None}, ()),
        ({"failedStep": None, "status": "TIMEOUT"}, ("the run ended as TIMEOUT",)),
    ],
)
def test_error_text_of_every_generation_of_the_record(fields, errors) -> None:
    assert read(**{"status": "FAILED", **fields}).errors == errors


def enveloped(message: object, **fields: object) -> str:
    return json.dumps({"__apErrorVersion": 1, "message": message, **fields})


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (enveloped("HTTP 500"), "HTTP 500"),
        (enveloped("HTTP 500", stack="at step_1", code=7), "HTTP 500"),
        (f" {enveloped('HTTP 500')}\n", "HTTP 500"),
        ({"__apErrorVersion": 1, "message": "HTTP 500"}, "HTTP 500"),
        (enveloped(enveloped("HTTP 500")), "HTTP 500"),
        (enveloped(enveloped(enveloped("HTTP 500"))), "HTTP 500"),
        (enveloped({"__apErrorVersion": 2, "message": "HTTP 500"}), "HTTP 500"),
        (enveloped('said "no"\nand \\ left'), 'said "no"\nand \\ left'),
        (r'{"__apErrorVersion":1,"message":"cut \ud83d"}', "cut \ufffd"),
        # The server cuts long messages, the envelope with them.
        ('{"__apErrorVersion":1,"message":"The long sto', "The long sto"),
        ('{"__apErrorVersion":1,"message":"The long sto\\', "The long sto"),
        (r'{"__apErrorVersion":1,"message":"The long sto\u00e', "The long sto"),
        (r'{"__apErrorVersion":1,"message":"The \"long\" sto', 'The "long" sto'),
        # Envelopes of another make are shown as they are.
        ('{"message": "HTTP 500"}', '{"message": "HTTP 500"}'),
        ('{"__apErrorVersion": 1}', '{"__apErrorVersion": 1}'),
        ('{"__apErrorVersion": 1, "message": ""}', '{"__apErrorVersion": 1, "message": ""}'),
        ("{ not JSON", "{ not JSON"),
        ("[1, 2]", "[1, 2]"),
        ("HTTP 500", "HTTP 500"),
        ({"text": "HTTP 500"}, "{'text': 'HTTP 500'}"),
    ],
)
def test_the_message_of_a_failed_step_is_taken_out_of_its_envelope(message, said) -> None:
    run = read(status="FAILED", failedStep={"name": "step_1", "message": message})
    assert run.errors == (f"step 'step_1': {said}",)


def test_an_envelope_that_cannot_be_opened_is_shortened() -> None:
    for message in (json.dumps({"text": "x" * 10_000}), {"text": "x" * 10_000}):
        (error,) = read(status="FAILED", failedStep={"message": message}).errors
        assert len(error) == 500
        assert error.endswith("...")


def test_envelopes_within_envelopes_end() -> None:
    message = "HTTP 500"
    for _ in range(20):
        message = enveloped(message)
    (error,) = read(status="FAILED", failedStep={"message": message}).errors
    assert len(error) <= 500


def test_a_secret_in_an_envelope_is_masked() -> None:
    token = "sk-made-up-token"
    settings = parse_settings(
        "activepieces", "activepieces_default", host=None, schema=None, port=None, password=token, extra={}
    )
    hidden = "".join(f"\\u{ord(one):04x}" for one in token)
    for inner in (token, hidden):
        message = f'{{"__apErrorVersion":1,"message":"Bearer {inner}"}}'
        body = json.dumps({**RUN, "status": "FAILED", "failedStep": {"message": message}}).encode()
        run = read_result(settings, ActivepiecesApi().get_flow_run(RUN_ID), Response(200, {}, body))
        assert run.errors == ("Bearer ***",)


@pytest.mark.parametrize("finish", [None, "", MISSING])
def test_a_cancelled_run_without_finish_time_ended_when_it_was_last_changed(finish) -> None:
    run = read(status="CANCELED", finishTime=finish)
    assert run.completed_at == datetime(2026, 11, 22, 5, 51, 14, 521_000, tzinfo=UTC)
