"""What a webhook is sent: its own credentials if there are any, and never the API token."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from airflow_provider_flowruns.model.calls import Call
from airflow_provider_flowruns.services.activepieces import ActivepiecesApi
from tests.unit.client.wire import TOKEN, Outcome, ok, outcomes, read_request, server, settings

PROJECT_ID, FLOW_ID = "19NxIjX88XDYnuT9t5cwP", "ojdVhFCCcrZ2X1rqJL2Mu"
API = ActivepiecesApi(PROJECT_ID)
BASIC = {"webhook_username": "jo", "webhook_password": "hunter2"}
HEADER = {"webhook_header_name": "X-Hook", "webhook_header_secret": "hunter3"}
SECRETS = ("authorization: ", "x-hook: ", "x-key: ")


def sent(call: Call[Any], **extra: object) -> list[list[str]]:
    """Send a call from each client and return the lines with secrets of each request's head."""
    heads: list[list[str]] = []

    def serve(connection: socket.socket) -> None:
        heads.append(read_request(connection).decode().split("\r\n"))
        connection.sendall(ok(b'{"data": []}'))

    with server(serve) as address:
        given = {"headers": {"X-Key": "hunter4"}, "project_id": PROJECT_ID, **extra}
        found = outcomes(lambda: settings(f"http://{address}", "activepieces", **given), call)
    assert {one.error for one in found.values()} == {None}, found
    assert isinstance(found["worker"], Outcome)
    return [sorted(line for line in head if line.lower().startswith(SECRETS)) for head in heads]


@pytest.mark.parametrize(
    ("extra", "lines"),
    [
        ({}, []),
        (BASIC, ["Authorization: Basic am86aHVudGVyMg=="]),
        (HEADER, ["X-Hook: hunter3"]),
        (BASIC | HEADER, ["Authorization: Basic am86aHVudGVyMg==", "X-Hook: hunter3"]),
    ],
)
def test_a_webhook_is_sent_its_own_credentials_only(extra, lines) -> None:
    assert sent(API.run_flow(FLOW_ID, {"a": 1}), **extra) == [lines, lines]


@pytest.mark.parametrize("extra", [{}, BASIC | HEADER])
def test_credentials_for_webhooks_are_sent_to_nothing_else(extra) -> None:
    lines = [f"Authorization: Bearer {TOKEN}", "X-Key: hunter4"]
    assert sent(API.list_flows().first, **extra) == [lines, lines]
