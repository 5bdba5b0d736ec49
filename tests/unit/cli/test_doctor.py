"""``doctor`` names the cause in its first line, whatever is wrong."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from airflow_provider_flowruns.sandbox import Sandbox
from tests.unit.cli.conftest import TOKEN
from tests.unit.client.wire import RecordingProxy, answering, answering_once, ok, server, socks_proxy

NOT_HTTP = b"220 mail.example.com ESMTP\r\n"
FLOWS = ok(b'{"data": []}')


@pytest.fixture
def diagnose(run, define_connection) -> Callable[..., Any]:
    """Return a function that runs the doctor on a connection with the given fields."""

    def diagnose_connection(**fields: Any) -> Any:
        result = run("doctor", "--conn-id", define_connection(**fields))
        assert result.err == ""
        assert TOKEN not in result.out
        return result

    return diagnose_connection


@pytest.fixture
def tls_sandbox() -> Iterator[Sandbox]:
    with Sandbox(tls=True) as running:
        yield running


def get_fields(sandbox: Sandbox, service: str = "portable", **others: Any) -> dict[str, Any]:
    """Return the fields of the connection to a sandbox, with some replaced."""
    return {**json.loads(sandbox.connection_json(service)), **others}


def has_row(result: Any, *cells: str) -> bool:
    return any(all(cell in line for cell in cells) for line in result.out.splitlines())


def assert_cause(result: Any, subject: str, *words: str) -> None:
    assert result.code == 1
    assert result.first_line.startswith(f"mine does not work: {subject}: ")
    assert all(word in result.first_line for word in words), result.first_line
    assert has_row(result, "do:")


@pytest.mark.parametrize("service", ["portable", "activepieces", "tableflow"])
def test_a_connection_that_works(service, sandbox, diagnose) -> None:
    result = diagnose(**get_fields(sandbox, service))
    assert (result.code, result.first_line) == (0, "mine works")
    assert "PROBLEM" not in result.out
    assert has_row(result, "token", "ok", "accepted")
    assert has_row(result, "clock", "ok")
    assert has_row(result, "project", "ok") == (service == "activepieces")
    assert {record.method for record in sandbox.ledger.requests} == {"GET"}


# -- the way to the service


def test_a_name_without_an_address(diagnose) -> None:
    result = diagnose(host="https://no-such-host.invalid")
    assert_cause(result, "DNS", "no-such-host.invalid", "has no address here")
    assert has_row(result, "do:", "the connection's host")
    assert has_row(result, "address, token, plan, clock", "not checked")


def test_the_name_of_a_proxy_without_an_address(diagnose) -> None:
    result = diagnose(extra={"proxies": {"https": "http://no-such-proxy.invalid:3128"}})
    assert_cause(result, "DNS", "the proxy's host no-such-proxy.invalid has no address here")
    assert has_row(result, "do:", "extra 'proxies'")


def find_closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def test_a_port_where_nothing_listens(diagnose) -> None:
    result = diagnose(host=f"http://127.0.0.1:{find_closed_port()}")
    assert_cause(result, "connection", "127.0.0.1", "refused the connection")


def test_a_certificate_of_an_unknown_authority(tls_sandbox, diagnose) -> None:
    result = diagnose(**get_fields(tls_sandbox, extra={}))
    assert_cause(result, "TLS", "the certificate of 127.0.0.1 is not accepted", "certifi")
    assert has_row(result, "do:", "extra 'verify'", "REQUESTS_CA_BUNDLE")
    assert tls_sandbox.ledger.requests == []


def make_self_signed(folder: Path) -> ssl.SSLContext:
    """Return the settings of a server that shows the certificate of its own authority."""
    authority = trustme.CA()
    path = folder / "self-signed.pem"
    authority.private_key_pem.write_to_path(path)
    path.write_bytes(path.read_bytes() + authority.cert_pem.bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_a_certificate_that_is_self_signed(diagnose, tmp_path) -> None:
    with server(answering(FLOWS), make_self_signed(tmp_path)) as address:
        result = diagnose(host=f"https://{address}")
    assert_cause(result, "TLS", "self-signed certificate")


@pytest.fixture
def authority(tmp_path) -> tuple[trustme.CA, str]:
    """Return a certificate authority and the path of its certificate."""
    made, path = trustme.CA(), tmp_path / "ca.pem"
    made.cert_pem.write_to_path(path)
    return made, str(path)


def make_context(authority: trustme.CA, *names: str, **options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(context)
    return context


def test_a_certificate_for_another_host(authority, diagnose) -> None:
    made, path = authority
    with server(answering(FLOWS), make_context(made, "other.example.com")) as address:
        result = diagnose(host=f"https://{address}", extra={"verify": path})
    assert_cause(result, "TLS", "the certificate of 127.0.0.1 is not accepted")
    assert has_row(result, "do:", "another name")


def test_a_certificate_that_has_expired(authority, diagnose) -> None:
    made, path = authority
    expired = make_context(made, "127.0.0.1", not_after=datetime.now(UTC) - timedelta(days=1))
    with server(answering(FLOWS), expired) as address:
        result = diagnose(host=f"https://{address}", extra={"verify": path})
    assert_cause(result, "TLS", "certificate has expired")
    assert has_row(result, "do:", "this machine's clock")


def test_a_server_without_tls(sandbox, diagnose) -> None:
    fields = get_fields(sandbox)
    result = diagnose(**{**fields, "host": fields["host"].replace("http://", "https://")})
    assert_cause(result, "TLS", "does not speak TLS")
    assert has_row(result, "do:", "http://")


def test_a_ca_file_that_is_not_there(diagnose) -> None:
    result = diagnose(host="https://127.0.0.1:1", extra={"verify": "/no/such/ca.pem"})
    assert_cause(result, "TLS", "'/no/such/ca.pem', which does not exist here")


def test_tls_that_works_says_who_is_trusted(tls_sandbox, diagnose) -> None:
    result = diagnose(**get_fields(tls_sandbox))
    assert result.code == 0
    assert has_row(result, "TLS", "ok", "TLSv1.3", "valid until", str(tls_sandbox.ca_file), "extra 'verify'")


def test_a_certificate_that_is_not_verified_is_worth_a_note(tls_sandbox, diagnose) -> None:
    result = diagnose(**get_fields(tls_sandbox, extra={"verify": False}))
    assert result.code == 0
    assert has_row(result, "TLS", "note", "not verified")


# -- proxies


def test_a_proxy_that_is_not_there(sandbox, diagnose) -> None:
    proxy = f"http://user:made-up-proxy-password@127.0.0.1:{find_closed_port()}"
    result = diagnose(**get_fields(sandbox, extra={"proxies": {"http": proxy}}))
    assert_cause(result, "proxy", "the proxy http://127.0.0.1:", "refused the connection")
    assert has_row(result, "do:", "extra 'proxies'")
    assert "made-up-proxy-password" not in result.out


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("user", ["", "someone:made-up-wrong-password@"], ids=["no user", "wrong password"])
def test_a_proxy_that_asks_for_credentials(scheme, user, sandbox, tls_sandbox, diagnose) -> None:
    running = tls_sandbox if scheme == "https" else sandbox
    with RecordingProxy("someone:made-up-right-password") as proxy:
        extra = {"verify": tls_sandbox.ca_file, "proxies": {scheme: f"http://{user}{proxy.address}"}}
        result = diagnose(**get_fields(running, extra=extra))
    assert_cause(result, "proxy", "407")
    assert "made-up-wrong-password" not in result.out
    assert has_row(result, "do:", "user:password@")


def test_a_proxy_that_refuses_the_host(tls_sandbox, diagnose) -> None:
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    with server(answering_once(refusal)) as proxy:
        extra = {"verify": tls_sandbox.ca_file, "proxies": {"https": f"http://{proxy}"}}
        result = diagnose(**get_fields(tls_sandbox, extra=extra))
    assert_cause(result, "proxy", "refused to connect to 127.0.0.1:", "with HTTP 403")
    assert has_row(result, "do:", "NO_PROXY")


def test_a_proxy_that_is_none(tls_sandbox, diagnose) -> None:
    with server(answering_once(NOT_HTTP)) as proxy:
        extra = {"verify": tls_sandbox.ca_file, "proxies": {"https": f"http://{proxy}"}}
        result = diagnose(**get_fields(tls_sandbox, extra=extra))
    assert_cause(result, "proxy", "without a response of HTTP")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_lets_through(scheme, sandbox, tls_sandbox, diagnose, monkeypatch) -> None:
    running = tls_sandbox if scheme == "https" else sandbox
    with RecordingProxy() as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://{proxy.address}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        result = diagnose(**get_fields(running))
    assert result.code == 0, result.out
    assert has_row(result, "proxy", "ok", proxy.address, f"environment variable {scheme.upper()}_PROXY")
    assert proxy.seen


# The proxy of the test reads from a connection that is closed at once.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_socks_proxy_that_lets_through(tls_sandbox, diagnose) -> None:
    with socks_proxy() as (address, seen):
        extra = {"verify": tls_sandbox.ca_file, "proxies": {"https": f"socks5h://{address}"}}
        result = diagnose(**get_fields(tls_sandbox, extra=extra))
    assert result.code == 0, result.out
    assert len(seen) == 1


# -- what the service says


@pytest.mark.parametrize("service", ["portable", "activepieces", "tableflow"])
def test_a_wrong_token(service, sandbox, diagnose) -> None:
    result = diagnose(**get_fields(sandbox, service, password="a-wrong-token"))
    assert_cause(result, "token", "responded with 401")
    assert has_row(result, "do:", "password")
    assert has_row(result, "address", "ok")


@pytest.mark.parametrize("status", [402, 403])
def test_a_plan_without_the_api(status, sandbox, diagnose) -> None:
    sandbox.faults.add("status", status=status, body={"message": "Upgrade to use the API"})
    result = diagnose(**get_fields(sandbox))
    assert_cause(result, "plan", f"responded with {status}", "Upgrade to use the API")
    assert has_row(result, "token", "ok")
    assert has_row(result, "do:", "plan of this account does not include the API")


def test_a_redirect(sandbox, diagnose) -> None:
    sandbox.faults.add("redirect", location="https://login.example.com/")
    result = diagnose(**get_fields(sandbox))
    assert_cause(result, "address", "redirected to https://login.example.com/", "not followed")
    assert has_row(result, "do:", "put the address to which it redirects into the connection's host")


@pytest.mark.parametrize("status", [200, 403, 404])
def test_a_base_url_that_leads_to_a_web_page(status, sandbox, diagnose) -> None:
    headers = {"Content-Type": "text/html"}
    sandbox.faults.add("status", status=status, body=b"<html>Welcome</html>", headers=headers)
    result = diagnose(**get_fields(sandbox))
    assert_cause(result, "address", "an HTML page instead of JSON")
    assert has_row(result, "do:", "base URL", "https://api.portable.io")


def test_a_base_url_without_such_a_route(sandbox, diagnose) -> None:
    result = diagnose(**get_fields(sandbox, host=f"{sandbox.url}/nothing"))
    assert_cause(result, "address", "404")


@pytest.mark.parametrize(("hours", "word"), [(-1, "behind"), (1, "ahead of")])
def test_a_clock_that_is_an_hour_off(hours, word, diagnose) -> None:
    with Sandbox(clock=lambda: time.time() + 3_600 * hours) as running:
        result = diagnose(**get_fields(running))
    assert_cause(result, "clock", word, "this machine's")
    assert has_row(result, "token", "ok")
    assert has_row(result, "do:", "synchronize the clock")


def test_a_service_that_is_down(sandbox, diagnose) -> None:
    sandbox.faults.add("status", status=503)
    result = diagnose(**get_fields(sandbox))
    assert_cause(result, "request", "responded with 503")
    assert len(sandbox.ledger.requests) == 1


def test_a_service_that_does_not_answer(sandbox, diagnose) -> None:
    sandbox.faults.add("reset")
    result = diagnose(**get_fields(sandbox))
    assert_cause(result, "request", "no response")


# -- project and webhooks


def test_a_connection_without_the_project_that_lists_need(sandbox, diagnose) -> None:
    result = diagnose(**get_fields(sandbox, "activepieces", extra={}))
    assert_cause(result, "project", "set project_id")
    assert has_row(result, "token", "ok")


@pytest.mark.parametrize("project", ["A" * 21, "no project at all"])
def test_a_project_that_is_not_there(project, sandbox, diagnose) -> None:
    result = diagnose(**get_fields(sandbox, "activepieces", extra={"project_id": project}))
    assert_cause(result, "project", "project")


def test_it_says_which_credentials_webhooks_get(sandbox, diagnose) -> None:
    fields = get_fields(sandbox, "activepieces")
    none = diagnose(**fields)
    assert has_row(none, "webhooks", "note", "none")
    secret = {"webhook_header_name": "X-Key", "webhook_header_secret": "made-up-webhook-secret"}
    some = diagnose(**{**fields, "extra": {**fields["extra"], **secret}})
    assert has_row(some, "webhooks", "ok", "X-Key")
    assert "made-up-webhook-secret" not in some.out


def test_webhook_credentials_that_are_incomplete(sandbox, diagnose) -> None:
    fields = get_fields(sandbox, "activepieces")
    result = diagnose(**{**fields, "extra": {**fields["extra"], "webhook_username": "someone"}})
    assert_cause(result, "fields", "'webhook_username' and 'webhook_password' must both be texts")


def test_a_field_that_is_wrong(diagnose) -> None:
    assert_cause(diagnose(host="ftp://example.com"), "fields", "host", "http or https")
