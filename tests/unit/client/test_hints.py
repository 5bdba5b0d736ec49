"""What an error advises fits the request that failed: walked over all requests of all services, and all errors."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_flowruns.client.responses import build_connection_error, build_status_error, read_result
from airflow_provider_flowruns.client.settings import Settings
from airflow_provider_flowruns.model.calls import Call, Download, Pages, Request, Response
from airflow_provider_flowruns.model.errors import FlowRunsError, UnexpectedResponseError
from airflow_provider_flowruns.services.catalog import CATALOG
from tests.unit.client import wire

PROJECT_ID = "19NxIjX88XDYnuT9t5cwP"
IDS = {"portable": "568971", "activepieces": "Zz9NxIjX88XDYnuT9t5cw", "tableflow": "dk4g1tUg1uHLs8YU"}
STATUSES = (301, 400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 422, 425, 429, 500, 503)
#: Arguments without a default that are no ids.
OTHERS: dict[str, Any] = {"parts": (), "table": "orders", "table_name": "orders", "run_ids": None}


def get_settings(service: str) -> Settings:
    extra = {"project_id": PROJECT_ID} if service == "activepieces" else {}
    return wire.settings("https://example.com", service, **extra)


def iterate_calls() -> Iterator[Any]:
    """Yield every request that a service's public methods describe."""
    for info in CATALOG:
        settings = get_settings(info.name)
        api: Any = settings.service
        for name, method in inspect.getmembers(api, inspect.ismethod):
            if name.startswith("_") or name in {"poll", "poll_batch", "check", "cancel", "error_message"}:
                continue
            needed = [one for one in inspect.signature(method).parameters.values() if one.default is one.empty]
            if any(one.name == "run" for one in needed):
                continue  # takes a run that was read, and makes no request
            arguments = {
                one.name: [IDS[info.name]] if one.name == "run_ids" else OTHERS.get(one.name, IDS[info.name])
                for one in needed
            }
            if name in {"for_connection", "batch_key"} or name.startswith("validate"):
                continue
            found = method(**arguments)
            call = found.first if isinstance(found, Pages) else found
            if isinstance(call, Call | Download):
                yield pytest.param(settings, call, id=f"{info.name}-{name}")
        found = api.check()
        yield pytest.param(settings, next(found), id=f"{info.name}-check")


CALLS = list(iterate_calls())
each_call = pytest.mark.parametrize(("settings", "call"), CALLS)


def hint_of(settings: Settings, call: Any, status: int) -> str:
    error = build_status_error(settings, call, Response(status, {}, b'{"message": "no"}'))
    return (error.hint or "").removeprefix("connection 'my_conn'").removeprefix(": ")


def test_the_walk_finds_the_requests() -> None:
    assert len(CALLS) >= 18


@each_call
def test_every_request_says_what_its_id_is_of(settings: Settings, call: Any) -> None:
    request = call.request
    assert request.names is not None, (
        f"{request.method} {request.path} does not say what its id is of: pass names= to Request, empty for no id, "
        "so that a 404 gets a hint that fits"
    )
    assert (IDS[settings.service.info.name] in request.path) == (request.names not in {"", "project"})


@each_call
def test_what_is_not_found_is_an_id_only_where_there_is_one(settings: Settings, call: Any) -> None:
    for status in (404, 410):
        hint = hint_of(settings, call, status)
        if call.request.names in {"", "project"}:
            assert "host" in hint
            assert "the id " not in hint
        assert ("project_id" in hint) <= (settings.service.info.name == "activepieces")


@each_call
def test_the_token_is_the_cause_only_where_it_is_sent(settings: Settings, call: Any) -> None:
    for status in STATUSES:
        hint = hint_of(settings, call, status)
        if not call.request.with_token:
            assert not any(word in hint for word in ("API key", "token", "password;", "project"))
        if status in {401, 403}:
            assert hint
            assert ("webhook" in hint) == (not call.request.with_token)


@each_call
def test_no_hint_speaks_of_what_the_caller_may_not_have(settings: Settings, call: Any) -> None:
    own = {field.name for field in settings.service.info.fields}
    for status in STATUSES:
        hint = hint_of(settings, call, status)
        assert "poll_interval" not in hint, "a hook, a start and a reading operator have none"
        assert "error_budget" not in hint, "only a wait has one"
        for field in ("project_id", "webhook_username", "webhook_header_name"):
            assert (field in hint) <= (field in own)


@each_call
def test_a_request_that_the_service_rejects_for_its_content_gets_no_hint(settings: Settings, call: Any) -> None:
    for status in (400, 405, 409, 413, 422, 500, 503):
        assert hint_of(settings, call, status) == ""


def test_other_json_than_expected_does_not_blame_the_host_alone() -> None:
    settings = get_settings("portable")
    call = Call("portable", Request("GET", "/v2/flows", names=""), lambda body: body["none"])
    with pytest.raises(UnexpectedResponseError) as of_json:
        read_result(settings, call, Response(200, {}, b"{}"))
    with pytest.raises(UnexpectedResponseError) as of_html:
        read_result(settings, call, Response(200, {"content-type": "text/html"}, b"<html>"))
    assert "please report this" in str(of_json.value)
    assert "it must be the API's base URL" in str(of_html.value)


def test_the_network_is_the_cause_only_if_a_connection_was_tried() -> None:
    settings, request = get_settings("portable"), Request("GET", "/v2/flows", names="")
    assert "check host, network" in str(build_connection_error(settings, request, "reset"))
    error: FlowRunsError = build_connection_error(settings, request, "this client is closed", has_begun=False)
    assert str(error).endswith("this client is closed (connection 'my_conn')")
