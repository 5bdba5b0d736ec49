"""A company's network, and fields that cannot be right, mean the same in every mode."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sensors.portable import PortableFlowSensor
from airflow_provider_flowruns.testing.task_modes import End, run_in_all
from tests.airflow_versions import HIDES_BAD_EXTRA
from tests.unit.client.wire import VARIABLES, RecordingProxy

NAME = "AIRFLOW_CONN_PORTABLE_DEFAULT"


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that speaks TLS, in an environment that says nothing of networks."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with Sandbox(tls=True) as running:
        yield running


@pytest.fixture
def flow_id(sandbox: Sandbox) -> Any:
    """A flow whose run lasts long enough to be waited for in the triggerer."""
    flow = sandbox.portable.add_flow()
    flow.add_run(waiting=0.1, running=1.5)
    return flow.id


def ends(flow_id: Any) -> dict[str, End]:
    def make(**mode: Any) -> PortableFlowSensor:
        return PortableFlowSensor(task_id="wait", flow_id=flow_id, poke_interval=0.1, timeout=20.0, **mode)

    return run_in_all(make)


def connect(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, **fields: Any) -> None:
    connection = json.loads(sandbox.connection_json("portable")) | {"extra": {}} | fields
    monkeypatch.setenv(NAME, json.dumps(connection))


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_environments_authorities_are_trusted_in_every_mode(monkeypatch, sandbox, flow_id, variable) -> None:
    connect(monkeypatch, sandbox)
    monkeypatch.setenv(variable, str(sandbox.ca_file))
    found = ends(flow_id)
    assert {end.state for end in found.values()} == {"success"}, found


def test_the_environments_proxy_is_used_in_every_mode(monkeypatch, sandbox, flow_id) -> None:
    connect(monkeypatch, sandbox, extra={"verify": sandbox.ca_file})
    with RecordingProxy("jo:secret") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://jo:secret@{proxy.address}")
        found = ends(flow_id)
        through_proxy = len(proxy.seen)
        monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
        past_it = ends(flow_id)
        assert len(proxy.seen) == through_proxy >= len(found)
    assert {end.state for end in (*found.values(), *past_it.values())} == {"success"}, found


BAD_EXTRA = "not in a form that Airflow can read" if HIDES_BAD_EXTRA else "extra must be a JSON object"
BAD: list[tuple[dict[str, Any], str]] = [
    ({"extra": {"verify": "/nowhere/ca.pem"}}, "extra 'verify'"),
    ({"extra": {"verify": "{text}"}}, "extra 'verify'"),
    ({"extra": {"verify": "{folder}"}}, "extra 'verify'"),
    ({"extra": {"verify": 7}}, "extra 'verify'"),
    ({"extra": {"proxies": {"https": "http://jo:hunter2@[bad"}}}, "extra 'proxies'"),
    ({"extra": {"max_response_mb": 0}}, "extra 'max_response_mb'"),
    ({"extra": "[1]"}, BAD_EXTRA),
    ({"extra": "{{"}, BAD_EXTRA),
    ({"host": "http://a..b"}, "host"),
    ({"host": f"https://{'a' * 300}"}, "host"),
    ({"host": "https://exa mple.com"}, "host"),
    ({"host": "https://example.com", "port": 70_000}, "port"),
    ({"password": "Bearer made-up"}, "without 'Bearer'"),
]


@pytest.mark.parametrize(("fields", "named"), BAD)
def test_a_field_that_cannot_be_right_is_named_in_every_mode(
    monkeypatch, sandbox, flow_id, tmp_path: Path, fields, named
) -> None:
    (tmp_path / "text.pem").write_text("no certificate")
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(str(sandbox.ca_file), folder)
    places = {"text": str(tmp_path / "text.pem"), "folder": str(folder)}
    extra = fields.get("extra")
    if isinstance(extra, dict) and isinstance(extra.get("verify"), str):
        fields = {"extra": {"verify": extra["verify"].format(**places)}}
    connect(monkeypatch, sandbox, **fields)

    found = ends(flow_id)

    assert {(end.state, end.error) for end in found.values()} == {("failed", "ConfigurationError")}, found
    for end in found.values():
        assert named in end.message
        assert "hunter2" not in end.message
    assert sandbox.ledger.count() == 0
