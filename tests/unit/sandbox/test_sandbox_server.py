"""The sandbox's server and its ledger."""

from __future__ import annotations

import ast
import json
import ssl
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

import airflow_provider_flowruns.sandbox
from airflow_provider_flowruns.sandbox import Sandbox

PACKAGE = "airflow_provider_flowruns"


# The server


def test_it_starts_on_a_free_local_port_and_stops():
    sandbox = Sandbox()
    with pytest.raises(RuntimeError, match="not running"):
        sandbox.url  # ruff: ignore[useless-expression]
    sandbox.start()
    url = sandbox.url
    assert url.startswith("http://127.0.0.1:")
    assert requests.get(f"{url}/_sandbox/health", timeout=5).json() == {}
    with pytest.raises(RuntimeError, match="already"):
        sandbox.start()
    sandbox.stop()
    sandbox.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)
    assert "flowruns-sandbox" not in {thread.name for thread in threading.enumerate()}


def test_it_can_be_restarted_with_its_state():
    sandbox = Sandbox()
    flow = sandbox.portable.add_flow()
    for _ in range(2):
        with sandbox:
            headers = {"Authorization": f"Bearer {sandbox.portable.token}"}
            rows = requests.get(f"{sandbox.portable.url}/v2/flows", headers=headers, timeout=5).json()["data"]
            assert [row["id"] for row in rows] == [flow.id]


def test_a_taken_port_is_an_error():
    with Sandbox() as first:
        second = Sandbox(port=int(first.url.rsplit(":", 1)[1]))
        with pytest.raises(OSError, match="in use"):
            second.start()
        assert requests.get(f"{first.url}/_sandbox/health", timeout=5).ok


def test_two_sandboxes_are_independent(call, sandbox):
    with Sandbox() as other:
        flow = other.portable.add_flow()
        other.faults.add("status", times=None)
        assert call("portable", "GET", "/v2/flows").json() == {"data": []}
        assert call("portable", "GET", f"/v2/flows/{flow.id}/status").status_code == 404
        assert requests.get(f"{other.portable.url}/v2/flows", timeout=5).status_code == 503
        assert (other.ledger.count(), sandbox.ledger.count()) == (1, 2)


def test_https_with_a_generated_certificate():
    with Sandbox(tls=True) as sandbox:
        url = f"{sandbox.url}/_sandbox/health"
        certificate = Path(str(sandbox.ca_file))
        assert url.startswith("https://127.0.0.1:")
        assert requests.get(url, verify=sandbox.ca_file, timeout=5).json() == {}
        assert requests.get(url.replace("127.0.0.1", "localhost"), verify=sandbox.ca_file, timeout=5).ok
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(url, timeout=5)
        strict = ssl.create_default_context(cafile=sandbox.ca_file)
        with urllib.request.urlopen(url, context=strict, timeout=5) as response:
            assert response.status == 200
        extra = json.loads(sandbox.connection_json("portable"))["extra"]
        assert extra == {"verify": sandbox.ca_file}
    assert sandbox.ca_file is None
    assert not certificate.parent.exists()


def test_connections_are_environment_variables(sandbox):
    connections = {name: json.loads(text) for name, text in sandbox.connections().items()}
    assert connections == {
        "AIRFLOW_CONN_PORTABLE_DEFAULT": {
            "conn_type": "portable",
            "host": f"{sandbox.url}/portable",
            "password": "sandbox-portable-token",
            "extra": {},
        },
        "AIRFLOW_CONN_ACTIVEPIECES_DEFAULT": {
            "conn_type": "activepieces",
            "host": f"{sandbox.url}/activepieces",
            "password": "sandbox-activepieces-token",
            "extra": {"project_id": sandbox.activepieces.project_id},
        },
        "AIRFLOW_CONN_TABLEFLOW_DEFAULT": {
            "conn_type": "tableflow",
            "host": f"{sandbox.url}/tableflow",
            "password": "sandbox-tableflow-token",
            "extra": {},
        },
    }
    with pytest.raises(KeyError):
        sandbox.connection_json("another")


def test_latency_delays_every_response():
    with Sandbox(latency=30.0) as sandbox, pytest.raises(requests.ReadTimeout):
        requests.get(f"{sandbox.portable.url}/v2/flows", timeout=0.3)


def test_many_clients_at_once(sandbox, call):
    flow = sandbox.activepieces.add_flow()

    def start(number):
        path = f"{sandbox.activepieces.url}/api/v1/webhooks/{flow.id}"
        return requests.post(path, json={"number": number}, timeout=10).status_code

    with ThreadPoolExecutor(16) as pool:
        responses = pool.map(start, range(100))
        for _ in range(100):
            flow.add_run()
    assert set(responses) == {200}
    assert len(sandbox.ledger.started) == 100
    assert len({run.id for run in flow.runs}) == 200
    numbers = {run.trigger_output["body"]["number"] for run in flow.runs if run.trigger_output}
    assert numbers == set(range(100))


def test_a_body_that_is_too_large_is_rejected(sandbox, monkeypatch):
    monkeypatch.setattr(f"{PACKAGE}.sandbox.request_recorder.MAX_BODY_BYTES", 1000)
    response = requests.post(f"{sandbox.portable.url}/v2/flows/1/run", data=b"x" * 2000, timeout=5)
    assert response.status_code == 413


# The ledger


def test_requests_are_recorded_as_sent(sandbox, call, clock):
    path = "/v2/flows/1%2F..%2Fadmin/run?limit=1&a=b%20c&limit=2&empty="
    call("portable", "POST", path, json={"x": 1}, headers={"X-Trace": "abc"})
    (request,) = sandbox.ledger.requests
    assert request.time == clock.now
    assert (request.service, request.method, request.status, request.fault) == ("portable", "POST", 400, None)
    assert request.path == "/portable/v2/flows/1%2F..%2Fadmin/run"
    assert request.query == (("limit", "1"), ("a", "b c"), ("limit", "2"), ("empty", ""))
    assert (request.headers["authorization"], request.headers["x-trace"]) == (
        "Bearer sandbox-portable-token",
        "abc",
    )
    assert (request.body, request.body_size) == (b'{"x": 1}', 8)


def test_only_the_start_of_a_large_body_is_recorded(sandbox, call):
    flow = sandbox.activepieces.add_flow()
    call("activepieces", "POST", f"/api/v1/webhooks/{flow.id}", data=b"x" * 100_000)
    upload = {"document": ("a", b"y" * 100_000)}
    call("tableflow", "POST", f"/v2/flows/{sandbox.tableflow.add_flow().id}/run", files=upload)
    small, form = sandbox.ledger.requests
    assert (len(small.body), small.body_size) == (65_536, 100_000)
    assert (len(form.body), form.body_size) == (65_536, int(form.headers["content-length"]))
    assert b'name="document"' in form.body


def test_counting(sandbox, call):
    call("portable", "GET", "/v2/flows")
    call("portable", "POST", "/v2/flows/1/run")
    call("tableflow", "GET", "/v2/flows")
    requests.get(f"{sandbox.url}/elsewhere", timeout=5)
    requests.get(f"{sandbox.url}/_sandbox/health", timeout=5)
    count = sandbox.ledger.count
    assert count() == 4
    assert count(service="portable") == 2
    assert count(method="post") == 1
    assert count(path=r"/flows$") == 2
    assert count(service="tableflow", method="GET", path="flows") == 1
    assert count(service="unknown") == 1
    assert sandbox.ledger.requests[-1].status == 404


def test_connections_are_numbered(sandbox):
    url = f"{sandbox.portable.url}/v2/flows"
    with requests.Session() as session:
        for _ in range(3):
            session.get(url, timeout=5)
    requests.get(url, timeout=5)
    numbers = [request.connection for request in sandbox.ledger.requests]
    assert numbers[0] == numbers[1] == numbers[2] != numbers[3]
    assert sandbox.ledger.connections_opened == 2


def test_clear_removes_all_records(sandbox, call):
    flow = sandbox.portable.add_flow()
    call("portable", "POST", f"/v2/flows/{flow.id}/run")
    call("portable", "POST", f"/v2/flows/{flow.id}/cancel")
    ledger = sandbox.ledger
    assert (len(ledger.requests), len(ledger.started), len(ledger.canceled)) == (2, 1, 1)
    ledger.clear()
    assert (ledger.requests, ledger.started, ledger.canceled, ledger.connections_opened) == ([], [], [], 0)


def test_the_ledger_has_a_limit():
    with Sandbox(ledger_capacity=3) as sandbox:
        for number in range(5):
            requests.get(f"{sandbox.portable.url}/{number}", timeout=5)
        assert [request.path[-1] for request in sandbox.ledger.requests] == ["2", "3", "4"]


# The package


def test_it_imports_neither_airflow_nor_the_rest_of_the_package():
    folder = Path(airflow_provider_flowruns.sandbox.__file__).parent
    imported = set()
    for module in folder.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module))
    assert not {name for name in imported if name.partition(".")[0] == "airflow"}
    assert all(name.startswith(f"{PACKAGE}.sandbox") for name in imported if name.startswith(PACKAGE))


def test_importing_it_does_not_load_trustme():
    check = f"import sys, {PACKAGE}.sandbox; sys.exit('trustme' in sys.modules or 'airflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], timeout=30, check=False).returncode == 0
