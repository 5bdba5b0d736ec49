"""The fields of a connection become settings, or a message that says which one to mend."""

import base64
import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote_plus

import pytest

from airflow_provider_flowruns.client.settings import CONNECT_TIMEOUT_SECONDS, Settings, parse_settings
from airflow_provider_flowruns.model.errors import ConfigurationError
from airflow_provider_flowruns.services.auth import BearerAuth, encode_basic_auth
from airflow_provider_flowruns.services.info import TIMEOUT
from airflow_provider_flowruns.services.portable import PortableApi

TOKEN = "made-up-token"


def settings(service: str = "portable", **fields: Any) -> Settings:
    given: dict[str, Any] = {"host": None, "schema": None, "port": None, "password": TOKEN, "extra": {}, **fields}
    return parse_settings(service, "my_conn", **given)


def refusal(**fields: Any) -> str:
    with pytest.raises(ConfigurationError) as raised:
        settings(**fields)
    assert str(raised.value).startswith("FR302: connection 'my_conn'")
    return str(raised.value)


@pytest.mark.parametrize(
    ("service", "url"),
    [
        ("portable", "https://api.portable.io"),
        ("activepieces", "https://cloud.activepieces.com"),
        ("tableflow", "https://api.tableflow.com"),
    ],
)
@pytest.mark.parametrize("host", [None, "", "  "])
def test_without_a_host_it_is_the_vendors_cloud(service, url, host) -> None:
    assert settings(service, host=host).base_url == url


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("flows.example.com", "https://flows.example.com"),
        ("https://flows.example.com", "https://flows.example.com"),
        ("HTTPS://Flows.Example.com", "https://flows.example.com"),
        ("http://flows.example.com", "http://flows.example.com"),
        (" https://flows.example.com/ \n", "https://flows.example.com"),
        ("https://flows.example.com///", "https://flows.example.com"),
        ("https://flows.example.com:8443", "https://flows.example.com:8443"),
        ("localhost:8080", "https://localhost:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("https://example.com/flows", "https://example.com/flows"),
        ("https://example.com/flows/", "https://example.com/flows"),
        ("[::1]", "https://[::1]"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://[2001:db8::7]/flows", "https://[2001:db8::7]/flows"),
        ("::1", "https://[::1]"),
        ("2001:DB8::7", "https://[2001:db8::7]"),
        ("https://my_service.example.com.", "https://my_service.example.com."),
        ("https://größe.example.com", "https://xn--gre-6ka8i.example.com"),
        ("https://example.com/a%20b", "https://example.com/a%20b"),
    ],
)
@pytest.mark.parametrize("service", ["portable", "activepieces", "tableflow"])
def test_host_with_and_without_scheme_port_path_and_slash(service, host, url) -> None:
    assert settings(service, host=host).base_url == url


@pytest.mark.parametrize(
    ("service", "pasted"),
    [
        ("portable", "/v2"),
        ("portable", "/v2/"),
        ("tableflow", "/v2"),
        ("tableflow", "/v2/"),
        ("activepieces", "/api"),
        ("activepieces", "/api/"),
        ("activepieces", "/api/v1"),
        ("activepieces", "/api/v1/"),
    ],
)
@pytest.mark.parametrize("base", ["https://example.com", "https://example.com/flows", "http://[::1]:8080"])
def test_the_apis_own_path_may_be_pasted_behind_the_host(service, base, pasted) -> None:
    assert settings(service, host=base + pasted).base_url == base


@pytest.mark.parametrize(
    ("service", "url"),
    [
        ("activepieces", "https://example.com/v2"),
        ("activepieces", "https://example.com/myapi"),
        ("portable", "https://example.com/api"),
        ("portable", "https://example.com/xv2"),
        ("tableflow", "https://example.com/v1"),
    ],
)
def test_a_path_that_is_not_the_apis_own_is_kept(service, url) -> None:
    assert settings(service, host=url).base_url == url


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "flows.example.com", "port": 8080}, "https://flows.example.com:8080"),
        ({"host": "flows.example.com", "port": 8080, "schema": "http"}, "http://flows.example.com:8080"),
        ({"host": "flows.example.com", "schema": "http"}, "http://flows.example.com"),
        ({"host": "https://flows.example.com", "schema": "http"}, "https://flows.example.com"),
        ({"host": "https://flows.example.com/api", "port": 8080}, "https://flows.example.com:8080"),
        ({"host": "https://flows.example.com:8443", "port": 8080}, "https://flows.example.com:8443"),
        ({"host": "[::1]", "port": 8080}, "https://[::1]:8080"),
        ({"host": "::1", "port": 8080}, "https://[::1]:8080"),
        ({"host": "::1", "port": 8080, "schema": "http"}, "http://[::1]:8080"),
    ],
)
def test_port_and_schema_fields_fill_in_what_the_host_leaves_out(fields, url) -> None:
    assert settings("activepieces", **fields).base_url == url


@pytest.mark.parametrize(
    "host",
    [
        "ftp://example.com",
        "file:///etc/passwd",
        "https://",
        "https:///flows",
        "https://:8080",
        "https://example.com:port",
        "https://example.com:99999",
        "https://example.com:0",
        "https://[::1",
        "https://[fe80::1%25eth0]",
        "https://[1.2.3.4]",
        "https://example.com?x=1",
        "https://example.com/#top",
        "http://a..b",
        "http://.a",
        "http://-a.b",
        f"http://{'a' * 64}.example.com",
        f"http://{'a' * 300}",
        f"http://{'.'.join(['a' * 60] * 5)}",
        "http://exa mple.com",
        "http://exa\nmple.com",
        "http://exam\x00ple.com",
        "http://exam\u200bple.com",
        "http://\N{SNOWMAN}.example.com",
        "http://xn--\N{SNOWMAN}.example.com",
        "http://\udcff.example.com",
        "http://example.com%00",
        "http://exam<ple>.com",
        "http://example.com/a b",
        "http://example.com/../admin",
        "http://example.com/a/./b",
        "http://example.com/%zz",
        "http://example.com/größe",
    ],
)
def test_a_host_that_is_no_base_url_is_refused(host) -> None:
    assert "host" in refusal(host=host)


@pytest.mark.parametrize("port", [0, -1, 65_536, 10**9])
@pytest.mark.parametrize("host", ["example.com", "::1", None])
def test_a_port_out_of_range_is_refused(host, port) -> None:
    assert "port must be from 1 to 65535" in refusal(host=host, port=port)


@pytest.mark.parametrize("host", ["https://user@example.com", "https://user:hunter2@example.com", "https://:hunter2@h"])
def test_a_host_with_credentials_is_refused_and_says_where_they_go(host) -> None:
    assert "the token goes to password" in refusal(host=host)


@pytest.mark.parametrize("rest", ["example.com", "[bad", "a..b", "h:port", "h/a b", "h/../x", "exa mple"])
def test_credentials_in_a_host_are_never_shown(rest) -> None:
    assert "hunter2" not in refusal(host=f"https://user:hunter2@{rest}")


def test_a_schema_field_that_is_no_scheme_is_refused() -> None:
    assert "http or https" in refusal(host="example.com", schema="postgres")


@pytest.mark.parametrize("password", [None, "", "   ", "\n"])
def test_a_missing_token_is_named(password) -> None:
    assert refusal(password=password) == (
        "FR302: connection 'my_conn' has no password: put the Portable API token there"
    )


class OptionalToken(BearerAuth):
    """A strategy of another package: the server may be open."""

    needs_password = False


class LoginOrToken(OptionalToken):
    """One that has nothing in common with ours: Basic with a user name, else the token alone."""

    uses_login = True

    def build_header_value(self, login: str, password: str) -> str:
        return encode_basic_auth(login, password) if login else f"Token {password}"


@pytest.mark.parametrize(
    ("auth", "fields", "headers"),
    [
        (OptionalToken(""), {"password": None}, {}),
        (OptionalToken(""), {"password": " "}, {}),
        (OptionalToken(""), {}, {"Authorization": f"Bearer {TOKEN}"}),
        (LoginOrToken(""), {"password": ""}, {}),
        (LoginOrToken(""), {"login": "jo", "password": "a"}, {"Authorization": "Basic am86YQ=="}),
        (LoginOrToken(""), {"login": ""}, {"Authorization": f"Token {TOKEN}"}),
    ],
)
def test_a_service_may_bring_a_strategy_of_its_own(auth, fields, headers, monkeypatch) -> None:
    monkeypatch.setattr(PortableApi, "info", replace(PortableApi.info, auth=auth))
    made = settings(**fields)
    assert made.auth_headers == headers
    assert made.mask.text("run 7 of flow 8") == "run 7 of flow 8"


@pytest.mark.parametrize("password", ["a b", "a\tb", "a\nb", "schlüssel", "a\x00b", "a\u200bb"])
def test_a_token_that_cannot_be_one_is_refused_without_showing_it(password) -> None:
    message = refusal(password=password)
    assert "cannot be a Portable API token" in message
    assert password not in message


@pytest.mark.parametrize("prefix", ["Bearer ", "bearer ", " BEARER\t", "Authorization: Bearer ", "Bearer"])
def test_a_token_with_the_word_before_it_is_refused_with_words_of_its_own(prefix) -> None:
    message = refusal(password=f"{prefix}{TOKEN if prefix.strip() != prefix else ''}")
    assert "without 'Bearer'" in message
    assert TOKEN not in message


@pytest.mark.parametrize("password", ["Bearerish-token", "my-bearer-token"])
def test_a_token_may_hold_the_word(password) -> None:
    assert settings(password=password).token == password


@pytest.mark.parametrize("password", [TOKEN, f" {TOKEN}\n"])
def test_a_token_is_trimmed(password) -> None:
    assert settings(password=password).token == TOKEN


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, TIMEOUT.default),
        ("", TIMEOUT.default),
        (" ", TIMEOUT.default),
        (5, 5),
        ("2.5", 2.5),
        (600, 600),
        (0.1, 0.1),
    ],
)
def test_timeout(value, seconds) -> None:
    made = settings(extra={"timeout": value})
    assert made.timeout == pytest.approx(seconds)
    assert made.connect_timeout == pytest.approx(min(0.9 * seconds, CONNECT_TIMEOUT_SECONDS))


@pytest.mark.parametrize("value", [0, -1, 601, True, "soon", "nan", float("nan"), float("inf"), [], {}])
def test_a_timeout_out_of_bounds_is_refused(value) -> None:
    assert "'timeout'" in refusal(extra={"timeout": value})


@pytest.mark.parametrize(("value", "megabytes"), [(None, 32), ("", 32), (1, 1), ("0.5", 0.5), (1024, 1024), ("64", 64)])
def test_largest_response(value, megabytes) -> None:
    assert settings(extra={"max_response_mb": value}).max_response_bytes == megabytes * 2**20


@pytest.mark.parametrize("value", [0, -1, 1025, True, "much", "nan", float("inf"), 10**400, [], {}])
def test_a_largest_response_out_of_bounds_is_refused(value) -> None:
    assert "'max_response_mb'" in refusal(extra={"max_response_mb": value})


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, {}), ("", {}), (" \n", {}), ("{}", {}), ({}, {}), ({"a": "b"}, {"a": "b"}), ('{"a": "b"}', {"a": "b"})],
)
def test_headers_as_object_and_as_json_text(value, expected) -> None:
    assert settings(extra={"headers": value}).headers == expected


@pytest.mark.parametrize("name", ["proxies", "headers"])
@pytest.mark.parametrize("value", ["a: b", "[]", '{"a": 1}', {"a": 1}, {"a": None}, ["a"], 7, True])
def test_proxies_and_headers_of_another_shape_are_refused(name, value) -> None:
    assert f"'{name}' must be a JSON object of texts" in refusal(extra={name: value})


@pytest.mark.parametrize(
    "header",
    [
        "Authorization",
        "authorization",
        "Host",
        "Content-Length",
        "Cookie",
        "Accept-Encoding",
        "Expect",
        "Proxy-Authorization",
    ],
)
def test_a_header_that_is_the_clients_own_is_refused(header) -> None:
    assert header in refusal(extra={"headers": {header: "x"}})


@pytest.mark.parametrize(
    "headers",
    [{"X-Team": "a\r\nX-Other: b"}, {"X-Te\nam": "a"}, {"X Team": "a"}, {"": "a"}, {"X:": "a"}, {"X": "größe"}],
)
def test_a_header_that_cannot_be_sent_is_refused(headers) -> None:
    assert "printable ASCII" in refusal(extra={"headers": headers})


# -- credentials for webhooks

BASIC = {"webhook_username": "jo", "webhook_password": "hunter2"}
HEADER = {"webhook_header_name": "X-Key", "webhook_header_secret": "hunter3"}


@pytest.mark.parametrize(
    ("extra", "headers"),
    [
        ({}, {}),
        (dict.fromkeys([*BASIC, *HEADER]), {}),
        (dict.fromkeys([*BASIC, *HEADER], " "), {}),
        (BASIC, {"Authorization": "Basic am86aHVudGVyMg=="}),
        ({**BASIC, "webhook_password": "größe"}, {"Authorization": "Basic am86Z3LDtsOfZQ=="}),
        (HEADER, {"X-Key": "hunter3"}),
        ({**HEADER, "webhook_header_name": "Authorization"}, {"Authorization": "hunter3"}),
        (BASIC | HEADER, {"Authorization": "Basic am86aHVudGVyMg==", "X-Key": "hunter3"}),
    ],
)
def test_credentials_for_webhooks(extra, headers) -> None:
    made = settings("activepieces", extra=extra)
    assert made.webhook_headers == headers
    assert "hunter" not in repr(made)


def test_only_a_service_with_webhooks_reads_credentials_for_them() -> None:
    assert settings("portable", extra=BASIC | HEADER).webhook_headers == {}


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"webhook_username": "jo"}, "webhook_password"),
        ({"webhook_password": "hunter2"}, "webhook_username"),
        ({"webhook_header_name": "X-Key"}, "webhook_header_secret"),
        ({"webhook_header_secret": "hunter2", "webhook_header_name": " "}, "webhook_header_name"),
        ({**BASIC, "webhook_username": "j:o"}, "webhook_username"),
        ({**BASIC, "webhook_password": 7}, "webhook_password"),
        ({**BASIC, "webhook_password": TOKEN}, "API token must not be sent to a webhook"),
        ({**HEADER, "webhook_header_secret": f"Bearer {TOKEN}"}, "API token must not be sent to a webhook"),
        ({**HEADER, "webhook_header_name": "X Key"}, "webhook_header_name"),
        ({**HEADER, "webhook_header_name": "Host"}, "webhook_header_name"),
        ({**HEADER, "webhook_header_secret": "a\r\nb"}, "webhook_header_secret"),
        ({**BASIC, **HEADER, "webhook_header_name": "authorization"}, "webhook_header_name"),
    ],
)
def test_credentials_for_webhooks_that_cannot_be_sent_are_refused_without_showing_them(extra, named) -> None:
    with pytest.raises(ConfigurationError, match=named) as raised:
        settings("activepieces", extra=extra)
    assert "hunter" not in str(raised.value)
    assert TOKEN not in str(raised.value)


def test_project_id_goes_to_the_service_that_has_projects() -> None:
    project_id = "19NxIjX88XDYnuT9t5cwP"
    service: Any = settings("activepieces", extra={"project_id": project_id}).service
    assert dict(service.list_flows().first.request.query)["projectId"] == project_id


def test_a_self_hosted_server_is_where_links_to_its_runs_lead() -> None:
    service: Any = settings("activepieces", host="https://flows.example.com/api/v1").service
    run = service.get_flow_run("A" * 21).read({"id": "A" * 21, "projectId": "p", "status": "RUNNING"})
    assert run.url == f"https://flows.example.com/projects/p/runs/{'A' * 21}"


def test_no_secret_shows_when_settings_are_printed() -> None:
    extra = {"proxies": {"https": "http://user:hunter2@proxy:3128"}, "headers": {"X-Key": "hunter3"}}
    shown = repr(settings(extra=extra))
    assert "my_conn" in shown
    assert not re.search(rf"{TOKEN}|hunter", shown)


@pytest.mark.parametrize(
    ("extra", "secret"),
    [
        ({"proxies": {"all": "http://proxy-user:hunter2@proxy:3128"}}, "hunter2"),
        ({"proxies": {"all": "http://proxy-user:hunter2@proxy:3128"}}, "proxy-user:hunter2"),
        ({"headers": {"X-Api-Key": "hunter3-made-up"}}, "hunter3-made-up"),
        ({"webhook_username": "flows", "webhook_password": "hunter4"}, "hunter4"),
        ({"webhook_username": "flows", "webhook_password": "hunter4"}, "flows:hunter4"),
        ({"webhook_header_name": "X-Hook", "webhook_header_secret": "hunter5"}, "hunter5"),
    ],
)
def test_every_secret_of_a_connection_is_masked(extra, secret) -> None:
    connection = settings("activepieces", extra=extra)
    assert connection.token in connection.secrets
    for said in (secret, base64.b64encode(secret.encode()).decode(), quote_plus(secret)):
        assert secret not in connection.mask.text(f"refused: {said}.")
        assert "***" in connection.mask.text(f"refused: {said}.")
