"""No secret of a connection gets into what is read, in whatever form a server repeats it."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flowruns.client.masking import MASK, SecretMask, get_secret_headers, mask_url_credentials
from airflow_provider_flowruns.client.responses import build_connection_error, read_result
from airflow_provider_flowruns.client.settings import Settings, parse_settings
from airflow_provider_flowruns.model.calls import Call, Request, Response
from airflow_provider_flowruns.model.errors import ApiError
from airflow_provider_flowruns.services.portable import PortableApi

TOKEN = "made-up+token/0123456789=="
KEY = "made-up-key 0123"
PASSWORD = "made/up?pass#word"
MASKED = SecretMask([TOKEN])

examples = settings(deadline=None, derandomize=True, database=None, max_examples=100)


def made(**extra: object) -> Settings:
    return parse_settings("portable", "my_conn", host=None, schema=None, port=None, password=TOKEN, extra=extra)


def in_base64(text: str) -> list[str]:
    """Return the text in base64, in both alphabets, behind none to three other characters."""
    encoders = (base64.b64encode, base64.urlsafe_b64encode)
    return [encode(f"{'x' * before}{text}:y".encode()).decode() for encode in encoders for before in range(4)]


def escaped(text: str, every: int) -> str:
    """Return the text as a JSON string in which each character, or each second, stands as an escape."""
    plain = [json.dumps(one)[1:-1] for one in text]
    letters = [f"\\u{ord(one):04x}" if index % every == 0 else plain[index] for index, one in enumerate(text)]
    return f'"{"".join(letters)}"'


FORMS = [
    TOKEN,
    f"Authorization: Bearer {TOKEN}",
    quote(TOKEN),
    quote(TOKEN, safe=""),
    quote_plus(TOKEN, safe=""),
    quote(TOKEN, safe="").lower(),
    f"https://example.com/?token={quote(TOKEN, safe='')}&x=1",
    *in_base64(TOKEN),
    *in_base64(f"Bearer {TOKEN}"),
]


def decoded(text: str) -> str:
    """Return everything that can be read out of a text as base64, whatever place in a group it begins at."""
    runs = "".join(one if one.isascii() and (one.isalnum() or one in "+/-_") else " " for one in text).split()
    found = []
    for run in runs:
        standard = run.replace("-", "+").replace("_", "/")
        for start in range(4):
            part = standard[start:]
            part = part[: len(part) - len(part) % 4] if len(part) % 4 == 1 else part
            padded = part + "=" * (-len(part) % 4)
            found.append(base64.b64decode(padded.encode(), validate=False).decode("latin-1"))
    return " ".join(found)


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_masked_in_every_form_in_a_text(form) -> None:
    masked = MASKED.text(f"before {form} after")
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    assert MASK in masked
    for piece in (TOKEN[:8], TOKEN[-10:], quote(TOKEN, safe="")[-8:]):
        assert piece not in masked
        assert piece not in decoded(masked)


def test_nothing_of_a_secret_in_base64_is_left_at_its_ends() -> None:
    assert MASKED.text(base64.b64encode(TOKEN.encode()).decode()) == MASK


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", [lambda form: form, lambda form: {"a": [form]}, lambda form: [{form: [{}]}]])
def test_a_secret_is_masked_anywhere_in_a_body(form, place) -> None:
    read = MASKED.response(Response(200, {}, json.dumps(place(form)).encode())).json()
    assert MASK in json.dumps(read)
    assert TOKEN[:8] not in json.dumps(read)
    assert len(json.dumps(read)) < len(json.dumps(place(form)))


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_secret_is_masked_behind_escapes_of_json_within_json(every, depth) -> None:
    text = escaped(TOKEN, every)
    for _ in range(depth - 1):
        text = json.dumps(f"message {text}")
    value = MASKED.response(Response(200, {}, f'{{"message": {text}}}'.encode())).json()["message"]
    for _ in range(depth - 1):
        assert TOKEN[:8] not in value
        # What is unmasked at the next level cannot be there, whatever is left of the envelope.
        value = value.encode().decode("unicode_escape")
    assert TOKEN not in value


def test_a_secret_is_masked_behind_escaped_slashes() -> None:
    body = json.dumps({"message": TOKEN}).replace("/", "\\/").encode()
    assert MASKED.response(Response(200, {}, body)).json() == {"message": MASK}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32-be"])
def test_a_secret_is_masked_in_another_encoding(encoding) -> None:
    body = json.dumps({"message": TOKEN}).encode(encoding)
    assert MASKED.response(Response(200, {}, body)).json() == {"message": MASK}


def test_a_secret_of_digits_is_masked_as_a_number_too() -> None:
    response = SecretMask(["123456789012"]).response(Response(200, {}, b'{"id": 123456789012, "a": [true, null, 7]}'))
    assert response.json() == {"id": MASK, "a": [True, None, 7]}


def test_masking_makes_no_json_of_a_body_that_is_none() -> None:
    token = escaped(TOKEN, every=1)
    for body in (rf"tru\u0065 {token}", rf'{{"a": \u0022b", "token": {token}}}', rf"[\u0031, {token}]"):
        masked = MASKED.response(Response(200, {}, body.encode())).body
        assert MASK.encode() in masked
        assert TOKEN.encode() not in masked
        with pytest.raises(ValueError, match=r"JSON|Expecting|Extra|char"):
            json.loads(masked)


def test_a_secret_is_masked_in_what_is_no_json_and_in_headers() -> None:
    response = MASKED.response(Response(502, {"Location": f"https://h/?t={TOKEN}", "X": "y"}, f"<{TOKEN}>".encode()))
    assert response.body == b"<***>"
    assert response.headers == {"location": "https://h/?t=***", "x": "y"}


def test_a_secret_is_masked_in_a_body_that_is_nested_too_deep_to_be_read() -> None:
    response = MASKED.response(Response(200, {}, b"[" * 100_000 + json.dumps(TOKEN).encode()))
    assert TOKEN.encode() not in response.body


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"a": "\\u00e9 \\u003c \\/"}', json.dumps({"text": "x" * 10_000}).encode(), b"\xff"]
)
def test_a_response_without_secrets_stays_the_very_same(body) -> None:
    response = Response(200, {"content-type": "application/json"}, body)
    assert MASKED.response(response) is response


@examples
@given(
    secret=st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=40),
    before=st.text(max_size=5),
    after=st.text(max_size=5),
    every=st.integers(1, 3),
)
def test_any_secret_is_masked_in_whatever_surrounds_it(secret, before, after, every) -> None:
    mask = SecretMask([secret])
    for said in (secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)):
        assert secret not in mask.text(f"{before}{said}{after}") or secret in MASK
    body = f'{{"message": {escaped(secret, every)}}}'.encode()
    assert mask.response(Response(200, {}, body)).json() == {"message": MASK}
    assert json.loads(mask.response(Response(200, {}, json.dumps([before + secret, secret]).encode())).body)[1] == MASK


@pytest.mark.parametrize("secret", ["", "a", "12345"])
def test_what_is_too_short_for_a_secret_is_left_alone(secret) -> None:
    assert SecretMask([secret]).text("a 12345") == "a 12345"


def test_the_longer_of_two_secrets_is_masked_first() -> None:
    assert SecretMask(["secret-1", "secret-1-and-more"]).text("secret-1-and-more") == MASK


def test_a_text_without_secrets_is_clean() -> None:
    assert MASKED.text("cut \ud83d \0") == "cut \ufffd \ufffd"


# -- which texts of a connection are secret


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("X-Api-Key", "wordsonly", True),
        ("X-Auth-Token", "made-up words", True),
        ("Proxy-Authorization", "Basic bWFkZS11cA==", True),
        ("Cookie2", "session", True),
        ("X-Team", "4f7a-made-up", True),
        ("X-Team", "many made up words of twenty letters and more", True),
        ("X-Team", "data-team", False),
        ("X-Source", "Airflow", False),
        ("X-Team", "true", False),
        ("X-Project-Id", "a1b2c3d4e5f6g7h8i9j0k", False),
        ("Accept-Language", "en-US,en;q=0.9", False),
        ("Content-Type", "application/json; charset=utf-8", False),
        ("User-Agent", "made-up/1.0", False),
    ],
)
def test_which_of_the_connections_own_headers_are_secret(name, value, secret) -> None:
    assert (value in get_secret_headers({name: value})) is secret


def test_what_comes_behind_the_scheme_of_a_header_is_a_secret_too() -> None:
    assert "bWFkZS11cA==" in get_secret_headers({"X-Auth": "Basic bWFkZS11cA=="})


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Failed to parse: http://u:p@[bad", "Failed to parse: http://***@[bad"),
        ("'http://u:p@proxy:3128' and https://t@h/", "'http://***@proxy:3128' and https://***@h/"),
        ("https://h/path?mail=a@b", "https://h/path?mail=a@b"),
        ("mail a@b, http://h:1", "mail a@b, http://h:1"),
    ],
)
def test_credentials_are_masked_in_any_url_however_short(text, masked) -> None:
    assert mask_url_credentials(text) == masked
    assert MASKED.text(text) == masked


def test_every_secret_of_a_connection_is_known_to_its_settings() -> None:
    found = made(headers={"X-Api-Key": KEY}, proxies={"https": f"http://user:{quote(PASSWORD, safe='')}@proxy"})
    assert {TOKEN, KEY, PASSWORD, f"user:{PASSWORD}"} <= set(found.secrets)
    assert not any(secret in repr(found) for secret in (TOKEN, KEY, PASSWORD))
    for secret in (TOKEN, KEY, PASSWORD):
        assert found.mask.text(f"<{secret}>") == "<***>"


# -- as clients use it


BASIC = base64.b64encode(f"Bearer {TOKEN}".encode()).decode()


def test_a_good_response_that_repeats_secrets_is_read_without_them() -> None:
    body = {
        "id": 5,
        "lifecycle": "NOT_RUNNING",
        "disposition": "FAILED",
        "errors": [f"Authorization: Bearer {TOKEN}", quote(TOKEN, safe=""), BASIC],
        "resources": [{"name": KEY, "errors": [f"via http://user:{PASSWORD}@proxy"]}],
        TOKEN: TOKEN,
    }
    found = made(headers={"X-Api-Key": KEY}, proxies={"https": f"http://user:{quote(PASSWORD, safe='')}@proxy"})
    run = read_result(found, PortableApi().get_flow_status(5), Response(200, {}, json.dumps(body).encode()))
    shown = f"{run.summary()} {run.raw}"
    assert run.errors == (f"Authorization: Bearer {MASK}", MASK, f"QmVhcmVyI{MASK}")
    assert not any(piece in shown for piece in (TOKEN[:8], KEY, PASSWORD, BASIC[12:20]))


@pytest.mark.parametrize("status", [200, 302, 401, 500])
@pytest.mark.parametrize("secret", [TOKEN, KEY, PASSWORD, f"http://user:{PASSWORD}@[bad"])
def test_no_error_repeats_a_secret_also_not_where_a_long_text_is_cut(status, secret) -> None:
    found = made(headers={"X-Api-Key": KEY}, proxies={"https": f"http://user:{quote(PASSWORD, safe='')}@proxy"})
    for room in range(960, 1_001, 4):
        body = json.dumps({"message": "x" * room + secret}).encode()
        response = Response(status, {"location": f"https://h/?{secret}", "content-type": f"text/{secret}"}, body)
        with pytest.raises(ApiError) as raised:
            read_result(found, PortableApi().list_flows(), response)
        shown = f"{raised.value} {raised.value.to_record()}"
        assert not any(piece in shown for piece in (secret, secret[:8], PASSWORD[:8]))


def test_what_another_library_says_is_masked_before_it_is_cut() -> None:
    found = made()
    request = Request("GET", "/v2/flows")
    error = build_connection_error(found, request, f"LocationParseError: Failed to parse: http://user:pw@[bad {TOKEN}")
    assert error.message == "LocationParseError: Failed to parse: http://***@[bad ***"
    for room in range(960, 1_001, 4):
        assert "made-" not in str(build_connection_error(found, request, f"{'x' * room}{TOKEN}"))


def test_a_reader_never_sees_a_secret() -> None:
    seen: list[object] = []
    read_result(
        made(), Call("portable", Request("GET", "/"), seen.append), Response(200, {}, json.dumps([TOKEN]).encode())
    )
    assert seen == [[MASK]]
