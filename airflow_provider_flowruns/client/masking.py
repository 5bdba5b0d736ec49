"""Mask the secrets of a connection in responses and in messages about them."""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from msgspec.structs import replace

from airflow_provider_flowruns.model.calls import Response
from airflow_provider_flowruns.model.clean import clean_text, map_leaves, parse_json

MASK = "***"

#: Shorter texts are not masked: they occur in ordinary words and ids.
MIN_SECRET_CHARS = 6
#: Shorter base64 texts occur by chance.
_MIN_BASE64_CHARS = 8
#: Header values that look like words are not masked up to this length.
_MAX_WORDS_CHARS = 20

_WORDS = re.compile(r"[A-Za-z]+([-_./ ][A-Za-z]+)*")
#: Headers that say what the client is or wants, or name something.
_PUBLIC_HEADER = re.compile(r"accept.*|content-.*|user-agent|(.*[-_])?id", re.IGNORECASE)
_SECRET_HEADER = re.compile(r".*(auth|cookie|credential|key|pass|secret|session|signature|token).*", re.IGNORECASE)

#: Escapes that can hide ASCII characters in JSON, also where JSON stands as text in JSON: ``\u0061`` and ``\/``.
_ESCAPE = re.compile(r"\\{1,16}(?:u00([2-7][0-9a-fA-F])|/)")
#: One character on either side of a base64 text also holds some bits of the secret.
_BASE64_EDGE = "[A-Za-z0-9+/_-]?"
_URL_CREDENTIALS = re.compile(r"""://[^\s/?#'"<>@]*@""")


def get_secret_headers(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield the values of a connection's extra headers that are secret.

    All are but those of ``Accept...``, ``Content-...``, ``User-Agent`` and headers whose name ends in ``id``; and,
    unless the name speaks of a secret (``X-Api-Key``), values of under 20 characters that are words.

    :param headers: name to value.
    """
    for name, value in headers.items():
        if _PUBLIC_HEADER.fullmatch(name):
            continue
        looks_like_words = len(value) < _MAX_WORDS_CHARS and _WORDS.fullmatch(value)
        if _SECRET_HEADER.fullmatch(name) or not looks_like_words:
            yield value
            # "Basic ..." and the like: what comes behind the scheme is the secret.
            yield value.rpartition(" ")[2]


def mask_url_credentials(text: str) -> str:
    """Return a text with the credentials in its URLs replaced, for messages about URLs that cannot be used."""
    return _URL_CREDENTIALS.sub(f"://{MASK}@", text)


class SecretMask:
    """Replaces the secrets of a connection in responses and texts: plain, percent-encoded, in base64 and JSON-escaped.

    Its methods keep no state and can be called from any thread.

    :param secrets: the secrets; those of under 6 characters are left alone.
    """

    __slots__ = ("_base64", "_bytes", "_forms", "_has_slash", "_is_odd", "_texts")

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {clean_text(secret) for secret in secrets if len(secret) >= MIN_SECRET_CHARS}
        plain = {form for secret in known for form in _get_plain_forms(secret)}
        # Longest first: otherwise the rest of a longer one would remain.
        self._texts = sorted(plain, key=len, reverse=True)
        self._base64 = sorted({form for secret in known for form in _get_base64_forms(secret.encode())})
        forms = (*self._texts, *self._base64)
        self._forms = forms
        self._bytes = tuple(form.encode() for form in forms)
        self._has_slash = any("/" in form for form in forms)
        #: JSON cannot write these characters as they are, so that only what has been decoded can be compared.
        self._is_odd = any(odd in secret for secret in known for odd in '"\\')

    def text(self, text: str) -> str:
        """Return a text without secrets, half surrogate pairs and NUL. Shorten it only afterwards.

        :param text: any text.
        """
        masked = mask_url_credentials(self._mask(clean_text(text)))
        plain = _unescape(masked)
        masked_plain = self._mask(plain)
        return masked if masked_plain == plain else masked_plain

    def response(self, response: Response) -> Response:
        """Return a response without secrets in its body and headers; the same one when it holds none.

        :param response: the response as it arrived.
        """
        body, headers = self.body(response.body), response.headers
        if self._is_in("\n".join(headers.values())):
            headers = {name.lower(): self.text(value) for name, value in headers.items()}
        if body is response.body and headers is response.headers:
            return response
        return replace(response, body=body, headers=headers)

    def body(self, body: bytes) -> bytes:
        """Return a body, or a JSON value of it, without secrets; the same one when it holds none.

        :param body: the bytes as they arrived.
        """
        return self._mask_body(body) if self._may_be_in(body) else body

    def _may_be_in(self, data: bytes) -> bool:
        """Tell whether some form of a secret is in the data; cheap if there is none."""
        for form in self._bytes:  # takes half as long as any(), and every response takes this path
            if form in data:
                return True
        if b"\0" in data or (self._is_odd and b"\\" in data):  # NUL: UTF-16 or UTF-32
            return True
        if b"\\u00" in data or (self._has_slash and b"\\/" in data):
            return self._is_in(_unescape(data.decode("utf-8", "replace")))
        return False

    def _is_in(self, text: str) -> bool:
        return any(form in text for form in self._forms)

    def _mask_body(self, body: bytes) -> bytes:
        try:
            return json.dumps(map_leaves(parse_json(body), self._mask_leaf)).encode()
        except (ValueError, RecursionError):
            masked = self.text(body.decode("utf-8", "replace"))
            # Masking resolves escapes, which must not turn another body into JSON.
            return f"{'not JSON: ' if _is_json(masked) else ''}{masked}".encode()

    def _mask_leaf(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bool) or value is None:
            return value
        return MASK if self._is_in(str(value)) else value

    def _mask(self, text: str) -> str:
        for form in self._texts:
            text = text.replace(form, MASK)
        for form in self._base64:
            if form in text:
                text = re.sub(f"{_BASE64_EDGE}{re.escape(form)}{_BASE64_EDGE}={{0,2}}", MASK, text)
        return text


def _is_json(text: str) -> bool:
    try:
        parse_json(text.encode())
    except (ValueError, RecursionError):
        return False
    return True


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else "/", text)


def _get_plain_forms(secret: str) -> Iterator[str]:
    yield secret
    yield json.dumps(secret)[1:-1]
    for encode in (quote, quote_plus):
        for safe in ("", "/"):
            encoded = encode(secret, safe=safe)
            yield encoded
            yield re.sub(r"%..", lambda found: found[0].lower(), encoded)


def _get_base64_forms(secret: bytes) -> Iterator[str]:
    """Yield what is the same in the base64 text of everything that contains the secret, by its place in a group."""
    for offset in range(3):
        # The characters that also encode bits of what stands before and after are left out.
        first, last = (offset * 8 + 5) // 6, (offset + len(secret)) * 8 // 6
        for encode in (b64encode, urlsafe_b64encode):
            inner = encode(b"\0" * offset + secret)[first:last].decode()
            if len(inner) >= _MIN_BASE64_CHARS:
                yield inner
