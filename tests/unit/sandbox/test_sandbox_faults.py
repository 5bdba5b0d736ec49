"""The faults of the sandbox."""

from __future__ import annotations

import http.client
import socket
import threading
import time

import pytest
import requests

STATUS = "/v2/flows/568971/status"


@pytest.fixture
def flow(sandbox):
    return sandbox.portable.add_flow(flow_id=568971)


@pytest.fixture
def start(call, flow):
    def send(**options):
        return call("portable", "POST", f"/v2/flows/{flow.id}/run", **options)

    return send


@pytest.fixture
def read(call, flow):
    def send(**options):
        return call("portable", "GET", STATUS, **options)

    return send


def stop_without_waiting(sandbox):
    """Stop a sandbox that has an unfinished request, without waiting for the end of the request."""
    stopping = threading.Thread(target=sandbox.stop, daemon=True)
    stopping.start()
    stopping.join(timeout=15)
    assert not stopping.is_alive()


def wait_until(condition):
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition()


# The response, and whether the request is processed


def test_status(sandbox, flow, start):
    sandbox.faults.add("status")
    assert start().status_code == 503
    sandbox.faults.add("status", status=429, body={"message": "Slow down"}, headers={"Retry-After": "2"})
    response = start()
    assert (response.status_code, response.json(), response.headers["Retry-After"]) == (
        429,
        {"message": "Slow down"},
        "2",
    )
    sandbox.faults.add("status", status=500, body="Oops")
    assert start().text == "Oops"
    sandbox.faults.add("status", status=200, body=b"\xff\0")
    assert start().content == b"\xff\0"
    assert flow.runs == []


@pytest.mark.parametrize(("kind", "runs"), [("reset", 0), ("accept_then_reset", 1)])
def test_resets(sandbox, flow, start, kind, runs):
    sandbox.faults.add(kind)
    with pytest.raises(requests.ConnectionError, match="reset"):
        start()
    assert len(flow.runs) == len(sandbox.ledger.started) == runs
    (request,) = sandbox.ledger.requests
    assert (request.status, request.fault) == (None, kind)


@pytest.mark.parametrize(
    ("kind", "options", "status", "body"),
    [
        ("html", {}, 200, None),
        ("html", {"body": "<p>Proxy</p>"}, 200, "<p>Proxy</p>"),
        ("empty", {}, 200, ""),
        ("json", {"body": ["not", "this"]}, 200, '["not","this"]'),
        ("json", {"body": None, "status": 201}, 201, "null"),
        ("redirect", {"location": "http://127.0.0.1:1/"}, 302, ""),
    ],
)
def test_responses_to_requests_that_are_not_processed(sandbox, flow, start, kind, options, status, body):
    sandbox.faults.add(kind, **options)
    response = start()
    assert response.status_code == status
    assert body is None or response.text == body
    assert response.headers.get("Location") == options.get("location")
    assert (kind == "html") == response.headers.get("Content-Type", "").startswith("text/html")
    assert flow.runs == []
    assert sandbox.ledger.requests[0].status == status


def test_accept_then_status(sandbox, flow, start):
    sandbox.faults.add("accept_then_status")
    assert start().status_code == 502
    assert len(flow.runs) == 1
    sandbox.faults.add("accept_then_status", status=504, body="<html>")
    assert (start().status_code, len(flow.runs)) == (504, 2)


def test_truncated(sandbox, flow, start):
    sandbox.faults.add("truncated")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        start()
    assert len(flow.runs) == 1
    assert start().status_code == 201


def test_truncated_without_a_body(sandbox, call):
    sandbox.faults.add("truncated")
    body = {"projectId": sandbox.activepieces.project_id}
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        call("activepieces", "POST", "/api/v1/flow-runs/cancel", json=body)


def test_slow_body(sandbox, flow, read):
    whole = read().content
    sandbox.faults.add("slow_body", seconds=0.1)
    connection = http.client.HTTPConnection(sandbox.url.removeprefix("http://"), timeout=5)
    connection.request("GET", f"/portable{STATUS}", headers={"Authorization": f"Bearer {sandbox.portable.token}"})
    response = connection.getresponse()
    assert response.headers["Content-Length"] == str(len(whole))
    first = response.read1()
    assert 0 < len(first) < len(whole)
    assert first + response.read() == whole
    connection.close()


def test_hang_responds_after_the_delay(sandbox, flow, start):
    sandbox.faults.add("hang", seconds=0.02)
    assert start().status_code == 201
    assert len(flow.runs) == 1


@pytest.mark.parametrize("processed", [False, True])
def test_hang_ends_when_the_client_disconnects(sandbox, flow, start, processed):
    sandbox.faults.add("hang", seconds=0.2, processed=processed)
    with pytest.raises(requests.ReadTimeout):
        start(timeout=0.05)
    # If the request were still pending, it would be processed by now.
    time.sleep(0.3)
    assert len(flow.runs) == int(processed)
    assert sandbox.ledger.requests[0].status is None


def test_a_delayed_request_is_in_the_ledger_and_ends_with_the_sandbox(sandbox, flow, read):
    sandbox.faults.add("hang")
    errors = []

    def hang():
        try:
            read(timeout=20)
        except requests.ConnectionError as error:
            errors.append(error)

    client = threading.Thread(target=hang)
    client.start()
    wait_until(lambda: sandbox.ledger.count() == 1)
    assert sandbox.ledger.requests[0].fault is None
    stop_without_waiting(sandbox)
    client.join()
    assert len(errors) == 1


def test_a_slow_body_ends_with_the_sandbox(sandbox, flow, read):
    sandbox.faults.add("slow_body", seconds=60)
    response = read(stream=True)
    stop_without_waiting(sandbox)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        response.content  # ruff: ignore[useless-expression]


def test_a_rejected_upload_does_not_delay_the_stop(sandbox):
    """The server responds before it has received the body, and is stopped before the client has sent it."""
    flow = sandbox.tableflow.add_flow()
    sandbox.faults.add("status")
    host, port = sandbox.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        head = f"POST /tableflow/v2/flows/{flow.id}/run HTTP/1.1\r\nHost: sandbox\r\nContent-Length: 1000\r\n"
        client.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n--b".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 503")
        stop_without_waiting(sandbox)


# Selection of requests


def test_times_and_after(sandbox, read, flow):
    fault = sandbox.faults.add("status", times=2, after=1)
    assert [read().status_code for _ in range(5)] == [200, 503, 503, 200, 200]
    assert fault.hits == 2
    always = sandbox.faults.add("status", status=500, times=None)
    assert {read().status_code for _ in range(4)} == {500}
    always.remove()
    always.remove()
    assert read().status_code == 200


def test_only_matching_requests_are_affected(sandbox, call, read, start, flow):
    fault = sandbox.faults.add("status", service="portable", method="get", path=r"/flows/\d+/status$", times=None)
    assert call("tableflow", "GET", "/v2/flows").status_code == 200
    assert call("portable", "GET", "/v2/flows").status_code == 200
    assert start().status_code == 201
    assert read().status_code == 503
    assert fault.hits == 1


def test_the_first_fault_added_is_applied_first(sandbox, read, flow):
    sandbox.faults.add("status", status=500)
    sandbox.faults.add("status", status=501)
    assert [read().status_code for _ in range(3)] == [500, 501, 200]


def test_clear(sandbox, read, flow):
    sandbox.faults.add("status", times=None)
    sandbox.faults.clear()
    assert read().status_code == 200


def test_the_health_check_has_no_faults(sandbox):
    sandbox.faults.add("status", times=None)
    assert requests.get(f"{sandbox.url}/_sandbox/health", timeout=5).json() == {}


def test_invalid_faults_are_rejected(sandbox):
    with pytest.raises(ValueError, match="explode"):
        sandbox.faults.add("explode")
    with pytest.raises(TypeError, match="colour"):
        sandbox.faults.add("status", colour="red")
    with pytest.raises(TypeError, match="location"):
        sandbox.faults.add("redirect")


def test_a_fault_for_a_share_of_the_requests(sandbox, read):
    fault = sandbox.faults.add("status", status=500, times=None, share=0.3)
    affected = [read().status_code == 500 for _ in range(100)]
    assert 0 < sum(affected) < 100
    assert sum(affected) == fault.hits
    fault.remove()
    sandbox.faults.add("status", status=500, times=None, share=0.3)
    assert [read().status_code == 500 for _ in range(100)] == affected
