"""Certificate authorities and the proxy: requests' rules, resolved once, and the same in both clients."""

from __future__ import annotations

import hashlib
import socket
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import certifi
import pytest
import requests
from cryptography import x509

from airflow_provider_flowruns.client.proxies import resolve_proxy
from airflow_provider_flowruns.client.trust import resolve_trust
from airflow_provider_flowruns.model.errors import ConfigurationError
from airflow_provider_flowruns.sandbox.tls import create_certificate, create_server_context
from tests.unit.client.wire import (
    TOKEN,
    VARIABLES,
    Outcome,
    RecordingProxy,
    answering,
    ok,
    outcomes,
    read_request,
    server,
    settings,
    socks_proxy,
)

STATUS = ok(b'{"id": 5, "lifecycle": "NOT_RUNNING", "disposition": "SUCCEEDED"}')


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def kinds(found: dict[str, Outcome]) -> set[str | None]:
    return {one.error for one in found.values()}


# -- which proxy


BASE = "https://flows.example.com:8443"
RULES: list[tuple[dict[str, str], dict[str, str], str]] = [
    ({}, {}, BASE),
    ({"HTTPS_PROXY": "http://proxy:1"}, {}, BASE),
    ({"https_proxy": "http://proxy:1"}, {}, BASE),
    ({"HTTPS_PROXY": "http://proxy:1", "https_proxy": "http://proxy:2"}, {}, BASE),
    ({"HTTPS_PROXY": "http://proxy:1", "https_proxy": ""}, {}, BASE),
    ({"HTTPS_PROXY": ""}, {}, BASE),
    ({"HTTP_PROXY": "http://proxy:1"}, {}, BASE),
    ({"HTTP_PROXY": "http://proxy:1"}, {}, "http://flows.example.com"),
    ({"ALL_PROXY": "http://proxy:1"}, {}, BASE),
    ({"all_proxy": "http://proxy:1", "HTTPS_PROXY": "http://proxy:2"}, {}, BASE),
    ({"HTTPS_PROXY": "proxy:3128"}, {}, BASE),
    ({}, {"https": "proxy:3128"}, BASE),
    ({}, {"https": "http://proxy:1"}, BASE),
    ({}, {"http": "http://proxy:1"}, BASE),
    ({}, {"all": "http://proxy:1"}, BASE),
    ({}, {"https://flows.example.com": "http://proxy:1", "https": "http://proxy:2"}, BASE),
    ({}, {"all://flows.example.com": "http://proxy:1", "all": "http://proxy:2"}, BASE),
    ({}, {"all://flows.example.com": "http://proxy:1", "https": "http://proxy:2"}, BASE),
    ({}, {"https://other.example.com": "http://proxy:1"}, BASE),
    ({"HTTPS_PROXY": "http://proxy:1"}, {"https": "http://proxy:2"}, BASE),
    ({"HTTPS_PROXY": "http://proxy:1"}, {"http": "http://proxy:2"}, BASE),
    ({"HTTPS_PROXY": "http://proxy:1"}, {"https": ""}, BASE),
    ({"NO_PROXY": "flows.example.com"}, {"https": "http://proxy:2"}, BASE),
    *(
        ({"ALL_PROXY": "http://proxy:1", "NO_PROXY": no_proxy}, {}, base)
        for base, entries in {
            BASE: [
                "flows.example.com",
                "FLOWS.example.com",
                "example.com",
                ".example.com",
                "com",
                "flows.example.com:8443",
                "flows.example.com:443",
                "example.com:8443",
                "a.org, .example.com ,b.org",
                "*",
                "*.example.com",
                "other.com",
                "10.0.0.0/8",
                "",
            ],
            "http://10.1.2.3:8080": ["10.1.2.3", "10.0.0.0/8", "10.1.2.0/24", "10.1.3.0/24", "11.0.0.0/8", "*"],
            "http://[::1]:8080": ["::1", "::1:8080", "::2"],
        }.items()
        for no_proxy in entries
    ),
]


@pytest.mark.parametrize(("environment", "proxies", "base"), RULES)
def test_the_proxy_is_the_one_that_requests_would_take(monkeypatch, environment, proxies, base) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    merged = requests.Session().merge_environment_settings(base, dict(proxies), None, None, None)
    expected = requests.utils.select_proxy(base, merged["proxies"])
    found = resolve_proxy("connection 'my_conn'", proxies, base)
    assert (found.url if found else None) == (f"http://{urlsplit(expected).netloc or expected}" if expected else None)


@pytest.mark.parametrize(
    ("environment", "proxies", "base", "expected"),
    [
        # Where requests' rules would let the environment win over the connection, the connection wins.
        ({"HTTPS_PROXY": "http://proxy:1"}, {"all": "http://proxy:2"}, BASE, "http://proxy:2"),
        # What requests overlooks, and its versions disagree on.
        ({"ALL_PROXY": "proxy:1", "NO_PROXY": "10.1.2.3:8080"}, {}, "http://10.1.2.3:8080", None),
        ({"ALL_PROXY": "proxy:1", "NO_PROXY": "10.1.2.3:8081"}, {}, "http://10.1.2.3:8080", "http://proxy:1"),
        ({"ALL_PROXY": "proxy:1", "NO_PROXY": "2001:db8::/32"}, {}, "http://[2001:db8::7]", None),
        ({"ALL_PROXY": "proxy:1", "NO_PROXY": "lows.example.com"}, {}, BASE, "http://proxy:1"),
        ({}, {"HTTPS": "proxy"}, BASE, "http://proxy:80"),
        ({}, {"all": "https://Proxy"}, BASE, "https://proxy:443"),
        ({}, {"all": "http://[::1]:3128/"}, BASE, "http://[::1]:3128"),
        ({}, {"all": "socks5h://proxy"}, BASE, "socks5h://proxy:1080"),
    ],
)
def test_the_proxy_beyond_the_rules_of_requests(monkeypatch, environment, proxies, base, expected) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = resolve_proxy("connection 'my_conn'", proxies, base)
    assert (found.url if found else None) == expected


def test_credentials_of_a_proxy_are_taken_out_of_its_address_and_not_shown() -> None:
    found = resolve_proxy("connection 'my_conn'", {"all": "http://jo:p%40ss%3Aw@proxy:3128"}, BASE)
    assert found is not None
    assert (found.url, found.user, found.password) == ("http://proxy:3128", "jo", "p@ss:w")
    assert found.headers == {"Proxy-Authorization": "Basic am86cEBzczp3"}
    assert "p@ss" not in repr(found)


BAD_PROXIES = [
    "http://user:hunter2@[bad",
    "http://user:hunter2@",
    "http://user:hunter2@a..b:1",
    "http://user:hunter2@proxy:hunter3",
    "http://user:hunter2@proxy:0",
    "http://user:hunter2@proxy:99999",
    "http://user:hunter2#x@proxy:1",
    "http://user:hunter2@proxy:1/path",
    "http://user:hunter2@proxy:1?query",
    "ftp://user:hunter2@proxy:1",
    "socks6://user:hunter2@proxy:1",
    "://hunter2",
    "http://",
    "hunter2 hunter3",
    f"http://user:hunter2@{'p' * 300}",
]


@pytest.mark.parametrize("address", BAD_PROXIES)
def test_a_proxy_that_cannot_be_used_is_named_without_its_address(address) -> None:
    found = outcomes(lambda: settings("https://flows.example.com", proxies={"all": address}))
    assert kinds(found) == {"ConfigurationError"}
    for one in found.values():
        assert one.said.startswith("FR302: connection 'my_conn': extra 'proxies'")
        assert "hunter" not in one.said


@pytest.mark.parametrize("address", BAD_PROXIES)
def test_a_proxy_of_the_environment_that_cannot_be_used_is_named_by_its_variable(address, monkeypatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)
    found = outcomes(lambda: settings("https://flows.example.com"))
    assert kinds(found) == {"ConfigurationError"}
    for one in found.values():
        assert one.said.startswith("FR302: connection 'my_conn': environment variable HTTPS_PROXY")
        assert "hunter" not in one.said


# -- the way that requests really take


@pytest.fixture
def web() -> Generator[str]:
    with server(answering(STATUS)) as address:
        yield address


@pytest.mark.parametrize(
    ("environment", "proxies", "is_proxied"),
    [
        ({}, {}, False),
        ({"HTTP_PROXY": "{proxy}"}, {}, True),
        ({"http_proxy": "http://{proxy}"}, {}, True),
        ({"ALL_PROXY": "http://{proxy}"}, {}, True),
        ({"HTTPS_PROXY": "http://{proxy}"}, {}, False),
        ({"HTTP_PROXY": "http://{proxy}", "NO_PROXY": "127.0.0.0/8"}, {}, False),
        ({"HTTP_PROXY": "http://{proxy}", "NO_PROXY": "127.0.0.1"}, {}, False),
        ({"HTTP_PROXY": "http://{proxy}", "NO_PROXY": "{address}"}, {}, False),
        ({"HTTP_PROXY": "http://{proxy}", "NO_PROXY": "*"}, {}, False),
        ({"HTTP_PROXY": "http://{proxy}", "no_proxy": "10.0.0.0/8,example.com"}, {}, True),
        ({"HTTP_PROXY": "http://127.0.0.1:9"}, {"http": "{proxy}"}, True),
        ({"NO_PROXY": "*"}, {"http": "{proxy}"}, True),
        ({"HTTP_PROXY": "http://127.0.0.1:9"}, {"http": ""}, False),
        ({}, {"all": "{proxy}"}, True),
        ({}, {"http://127.0.0.1": "{proxy}", "http": "http://127.0.0.1:9"}, True),
        ({}, {"all://127.0.0.1": "{proxy}", "all": "http://127.0.0.1:9"}, True),
        ({}, {"https": "{proxy}"}, False),
    ],
)
def test_both_clients_go_the_same_way(web, monkeypatch, environment, proxies, is_proxied) -> None:
    with RecordingProxy() as proxy:
        for name, value in environment.items():
            monkeypatch.setenv(name, value.format(proxy=proxy.address, address=web))
        named = {key: value.format(proxy=proxy.address) for key, value in proxies.items()}
        assert kinds(outcomes(lambda: settings(f"http://{web}", proxies=named), times=2)) == {None}
        assert proxy.seen == [("GET", web)] * (4 if is_proxied else 0)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA file; its folder holds the key of a server with its certificate."""
    return create_certificate(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def secure(authority: Path) -> Generator[str]:
    with server(answering(STATUS), create_server_context(authority)) as address:
        yield address


@pytest.mark.parametrize("user", [None, "jo:p@ss:wörd"])
@pytest.mark.parametrize("has_tls", [False, True])
def test_a_tunnel_through_a_proxy(secure, authority, user, has_tls) -> None:
    credentials = "jo:p%40ss%3Aw%C3%B6rd@" if user else ""
    with RecordingProxy(user, create_server_context(authority) if has_tls else None) as proxy:
        address = f"{'https' if has_tls else 'http'}://{credentials}{proxy.address}"
        found = outcomes(
            lambda: settings(f"https://{secure}", verify=str(authority), proxies={"https": address}), times=2
        )
        assert kinds(found) == {None}, found
        assert proxy.seen == [("CONNECT", secure)] * 2


@pytest.mark.parametrize("has_tls", [False, True])
def test_a_proxy_that_forwards_is_authorised_by_every_request(web, authority, has_tls) -> None:
    with RecordingProxy("jo:secret", create_server_context(authority) if has_tls else None) as proxy:
        address = f"{'https' if has_tls else 'http'}://jo:secret@{proxy.address}"
        found = outcomes(lambda: settings(f"http://{web}", verify=str(authority), proxies={"all": address}), times=3)
        assert kinds(found) == {None}, found
        assert proxy.seen == [("GET", web)] * 6


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_proves_that_a_tunnel_sent_nothing(secure, web, authority, scheme) -> None:
    host = f"http://{web}" if scheme == "http" else f"https://{secure}"
    with RecordingProxy("jo:secret") as proxy:
        address = f"http://jo:hunter2@{proxy.address}"
        found = outcomes(lambda: settings(host, verify=str(authority), proxies={"all": address}))
    # A proxy that forwards answers in the service's place.
    assert kinds(found) == {"InvalidRequestError" if scheme == "http" else "RequestNotSentError"}, found
    assert "hunter2" not in str(found)


@pytest.mark.parametrize("host", ["http://flows.example.com", "https://flows.example.com"])
def test_a_proxy_that_is_not_there_proves_that_nothing_was_sent(host) -> None:
    found = outcomes(lambda: settings(host, proxies={"all": "http://jo:hunter2@127.0.0.1:9"}))
    assert kinds(found) == {"RequestNotSentError"}
    assert all("the proxy could not be reached or rejected the request" in one.said for one in found.values())
    assert "hunter2" not in str(found)


# -- SOCKS


@pytest.mark.parametrize(("scheme", "is_named"), [("socks5", False), ("socks5h", True)])
@pytest.mark.parametrize("user", [None, "jo:secret"])
@pytest.mark.parametrize("has_tls", [False, True])
def test_a_socks_proxy(secure, web, authority, scheme, is_named, user, has_tls) -> None:
    port = (secure if has_tls else web).rpartition(":")[2]
    host = f"{'https' if has_tls else 'http'}://localhost:{port}"
    with socks_proxy(user) as (address, seen):
        named = {"all": f"{scheme}://{f'{user}@' if user else ''}{address}"}
        found = outcomes(lambda: settings(host, verify=str(authority), proxies=named))
        assert kinds(found) == {None}, found
        assert seen == [f"{'localhost' if is_named else '127.0.0.1'}:{port}"] * 2


# Without TLS an HTTP proxy forwards requests, and what it passes on is its own affair.
@pytest.mark.parametrize(("scheme", "has_tls"), [("http", True), ("socks5", False), ("socks5", True)])
def test_the_credentials_of_a_proxy_go_to_the_proxy_only(authority, scheme, has_tls) -> None:
    heads: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        heads.append(read_request(connection))
        connection.sendall(STATUS)

    with (
        server(serve, create_server_context(authority) if has_tls else None) as address,
        RecordingProxy("jo:secret") as http_proxy,
        socks_proxy("jo:secret") as (socks_address, _),
    ):
        base = f"{'https' if has_tls else 'http'}://{address}"
        proxies = {"all": f"{scheme}://jo:secret@{http_proxy.address if scheme == 'http' else socks_address}"}
        assert kinds(outcomes(lambda: settings(base, verify=str(authority), proxies=proxies))) == {None}
    assert len(heads) == 2
    assert not [head for head in heads if b"proxy-authorization" in head.lower()]


@pytest.mark.parametrize("address", ["jo:hunter2@{proxy}", "{proxy}", "jo:hunter2@127.0.0.1:9"])
def test_a_socks_proxy_that_refuses_proves_that_nothing_was_sent(web, address) -> None:
    with socks_proxy("jo:secret") as (proxy, _):
        named = {"all": f"socks5://{address.format(proxy=proxy)}"}
        found = outcomes(lambda: settings(f"http://{web}", proxies=named))
    assert kinds(found) == {"RequestNotSentError"}, found
    assert all("the proxy could not be reached or rejected the request" in one.said for one in found.values()), found
    assert "hunter2" not in str(found)


@pytest.mark.parametrize("module", ["python_socks", "aiohttp_socks"])
def test_a_socks_proxy_without_its_libraries_says_what_to_install(monkeypatch, module) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    found = outcomes(lambda: settings("https://flows.example.com", proxies={"all": "socks5://jo:hunter2@proxy"}))
    assert kinds(found) == {"ConfigurationError"}
    for one in found.values():
        assert one.said.startswith("FR302: connection 'my_conn': extra 'proxies' names a SOCKS proxy")
        assert "airflow-provider-flowruns[socks]" in one.said
        assert "hunter2" not in one.said


# -- which certificate authorities


@pytest.fixture
def places(authority: Path, tmp_path: Path) -> dict[str, str]:
    """Paths that a test may name: of the right authority, of another one, and of what is no authority."""
    hashed, plain, empty = tmp_path / "hashed", tmp_path / "plain", tmp_path / "empty.pem"
    for folder in (hashed, plain):
        folder.mkdir()
    (hashed / f"{subject_hash(authority)}.0").write_bytes(authority.read_bytes())
    (plain / "ca.pem").write_bytes(authority.read_bytes())
    empty.write_bytes(b"")
    (tmp_path / "text.pem").write_text("This is no certificate.")
    (tmp_path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    return {
        "ca": str(authority),
        "hashed": str(hashed),
        "plain": str(plain),
        "empty": str(empty),
        "text": str(tmp_path / "text.pem"),
        "broken": str(tmp_path / "broken.pem"),
        "other": certifi.where(),
        "missing": "/nowhere/ca.pem",
        "nul": "/nowhere/ca\0.pem",
    }


def subject_hash(ca_file: Path) -> str:
    """Return the file name by which OpenSSL finds a certificate in a folder: a hash of its lower-case subject."""
    subject = x509.load_pem_x509_certificate(ca_file.read_bytes()).subject
    name = x509.Name([x509.NameAttribute(part.oid, str(part.value).lower()) for part in subject]).public_bytes()
    return f"{int.from_bytes(hashlib.sha1(name[2:], usedforsecurity=False).digest()[:4], 'little'):08x}"


TRUSTED, DISTRUSTED, UNUSABLE = None, "RequestNotSentError", "ConfigurationError"


@pytest.mark.parametrize(
    ("environment", "verify", "expected", "named"),
    [
        ({}, None, DISTRUSTED, ""),
        ({"REQUESTS_CA_BUNDLE": "ca"}, None, TRUSTED, ""),
        ({"REQUESTS_CA_BUNDLE": "hashed"}, None, TRUSTED, ""),
        ({"REQUESTS_CA_BUNDLE": "ca"}, "", TRUSTED, ""),
        ({"REQUESTS_CA_BUNDLE": "ca"}, "true", TRUSTED, ""),
        ({"REQUESTS_CA_BUNDLE": "ca"}, True, TRUSTED, ""),
        ({"REQUESTS_CA_BUNDLE": "missing"}, None, UNUSABLE, "environment variable REQUESTS_CA_BUNDLE"),
        ({"REQUESTS_CA_BUNDLE": "text"}, None, UNUSABLE, "environment variable REQUESTS_CA_BUNDLE"),
        ({"CURL_CA_BUNDLE": "ca"}, None, TRUSTED, ""),
        ({"CURL_CA_BUNDLE": "missing"}, None, UNUSABLE, "environment variable CURL_CA_BUNDLE"),
        ({"REQUESTS_CA_BUNDLE": "other", "CURL_CA_BUNDLE": "ca"}, None, DISTRUSTED, ""),
        ({"REQUESTS_CA_BUNDLE": "ca", "CURL_CA_BUNDLE": "missing"}, None, TRUSTED, ""),
        ({"SSL_CERT_FILE": "ca"}, None, TRUSTED, ""),
        ({"SSL_CERT_FILE": "missing"}, None, UNUSABLE, "environment variable SSL_CERT_FILE"),
        ({"SSL_CERT_DIR": "hashed"}, None, TRUSTED, ""),
        ({"SSL_CERT_DIR": "missing"}, None, DISTRUSTED, ""),
        ({"SSL_CERT_FILE": "other", "SSL_CERT_DIR": "hashed"}, None, TRUSTED, ""),
        ({"CURL_CA_BUNDLE": "other", "SSL_CERT_FILE": "ca", "SSL_CERT_DIR": "hashed"}, None, DISTRUSTED, ""),
        ({"REQUESTS_CA_BUNDLE": "missing"}, "ca", TRUSTED, ""),
        ({"REQUESTS_CA_BUNDLE": "ca", "SSL_CERT_FILE": "ca"}, "other", DISTRUSTED, ""),
        ({"REQUESTS_CA_BUNDLE": "missing"}, False, TRUSTED, ""),
        ({}, "ca", TRUSTED, ""),
        ({}, "hashed", TRUSTED, ""),
        ({}, "other", DISTRUSTED, ""),
        *(({}, word, TRUSTED, "") for word in (False, "false", "False", " no ", "off", "0", 0)),
        *(({}, word, DISTRUSTED, "") for word in (True, "true", "YES", "on", "1", 1)),
        *(({}, place, UNUSABLE, "extra 'verify'") for place in ("missing", "plain", "empty", "text", "broken", "nul")),
    ],
)
def test_both_clients_trust_the_same_authorities(
    secure, places, monkeypatch, environment, verify, expected, named
) -> None:
    for name, place in environment.items():
        monkeypatch.setenv(name, places[place])
    given = places.get(verify, verify) if isinstance(verify, str) else verify
    found = outcomes(lambda: settings(f"https://{secure}", verify=given))
    assert kinds(found) == {expected}, found
    for one in found.values():
        assert named in one.said
        assert (expected is DISTRUSTED) == ("TLS failed" in one.said)


@pytest.mark.parametrize("value", [2, 1.0, [], {}, ["ca.pem"]])
def test_a_verify_that_is_neither_switch_nor_path_is_refused(value) -> None:
    with pytest.raises(ConfigurationError, match="extra 'verify' must be true, false, or the path"):
        resolve_trust("connection 'my_conn'", value)


@pytest.mark.parametrize("place", ["missing", "text"])
def test_a_bad_ca_file_is_found_where_nothing_is_encrypted_too(web, places, place) -> None:
    found = outcomes(lambda: settings(f"http://{web}", verify=places[place]))
    assert kinds(found) == {"ConfigurationError"}


def test_the_environments_ca_file_is_not_needed_where_nothing_is_encrypted(web, monkeypatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    assert kinds(outcomes(lambda: settings(f"http://{web}"))) == {None}


def test_a_certificate_for_another_host_is_not_accepted(secure, authority) -> None:
    host = f"https://localhost.example.com:{secure.rpartition(':')[2]}"
    with RecordingProxy() as proxy:
        found = outcomes(lambda: settings(host, verify=str(authority), proxies={"all": proxy.address}))
    assert kinds(found) == {"RequestNotSentError"}
    assert all("TLS failed" in one.said for one in found.values())


# -- the environment is read once


def test_what_the_environment_says_later_changes_nothing(web, authority, monkeypatch) -> None:
    made = settings(f"http://{web}", timeout=5)

    def changed() -> Any:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
        return made

    assert kinds(outcomes(changed)) == {None}


def test_a_netrc_entry_for_the_host_does_not_replace_the_token(tmp_path, monkeypatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    heads: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        heads.append(read_request(connection))
        connection.sendall(STATUS)

    with server(serve) as address:
        assert requests.utils.get_netrc_auth(f"http://{address}") == ("someone", "else")
        assert kinds(outcomes(lambda: settings(f"http://{address}"))) == {None}
    assert [f"Authorization: Bearer {TOKEN}\r\n".encode() in head for head in heads] == [True, True]


def test_both_clients_ask_in_the_same_words_and_keep_no_cookies() -> None:
    heads: list[list[str]] = []

    def serve(connection: socket.socket) -> None:
        while head := read_request(connection):
            heads.append(sorted(head.decode().lower().split("\r\n")))
            connection.sendall(STATUS.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b; Path=/\r\n\r\n", 1))

    with server(serve) as address:
        assert kinds(outcomes(lambda: settings(f"http://{address}", headers={"X-Team": "data"}), times=2)) == {None}
    spoken = [[line for line in head if not line.startswith("connection:")] for head in heads]
    assert len(spoken) == 4
    assert all(one == spoken[0] for one in spoken)
    assert "accept-encoding: gzip, deflate" in spoken[0]
