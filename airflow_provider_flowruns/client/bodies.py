"""Collect and decompress the body of a response within a size limit; both clients do it this way."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

#: Encodings that both clients accept and that are decompressed here.
ACCEPT_ENCODING = "gzip, deflate"
#: A compressed body above this many bytes may take too long to decompress in an event loop.
MAX_INLINE_COMPRESSED_BYTES = 16 * 1024
#: The same for parsing a decompressed body.
MAX_INLINE_BODY_BYTES = 256 * 1024

#: Values for ``zlib`` by encoding, in the order in which they are tried: servers disagree on what ``deflate`` is.
_WINDOW_BITS = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}
_GZIP_MAGIC = b"\x1f\x8b"


class UnreadableBodyError(Exception):
    """A body cannot be read; the text says why."""


class BodyTooLargeError(UnreadableBodyError):
    """A body is larger than allowed."""


def normalize_headers(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by their names in lower case, with "?" for what is not printable ASCII.

    :param items: names and values; the values of a repeated name are joined.
    """
    headers: dict[str, str] = {}
    for name, value in items:
        key, text = name.lower(), value
        if not (text.isascii() and text.isprintable()):
            text = "".join(char if char.isascii() and char.isprintable() else "?" for char in text)
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


class SentHeaders(Mapping[str, str]):
    """Headers as :func:`normalize_headers` returns them. Most are never looked at, so this costs nothing until then.

    :param sent: the headers as they arrived.
    """

    def __init__(self, sent: Mapping[str, str]) -> None:
        self._sent = sent

    @cached_property
    def _by_name(self) -> dict[str, str]:
        return normalize_headers(self._sent.items())

    def __getitem__(self, name: str) -> str:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)


class BodyBuffer:
    """Collects the chunks of a body as they arrive.

    :param headers: the response's headers, found by their names in lower case.
    :param max_bytes: largest body that is accepted, compressed or not.
    :raises BodyTooLargeError: the headers say that it is larger.
    """

    __slots__ = ("_chunks", "_encoding", "_left", "_max_bytes")

    def __init__(self, headers: Mapping[str, str], max_bytes: int) -> None:
        self._encoding = headers.get("content-encoding", "").strip().lower()
        self._max_bytes = self._left = max_bytes
        self._chunks: list[bytes] = []
        length = headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > max_bytes):
            raise BodyTooLargeError

    def add(self, chunk: bytes) -> None:
        """Add the next chunk.

        :param chunk: bytes as they arrived.
        :raises BodyTooLargeError: all chunks together are larger than allowed.
        """
        self._left -= len(chunk)
        if self._left < 0:
            self._chunks.clear()
            raise BodyTooLargeError
        self._chunks.append(chunk)

    @property
    def is_expensive(self) -> bool:
        """Whether decompressing may block an event loop for too long."""
        return bool(self._encoding) and self._max_bytes - self._left > MAX_INLINE_COMPRESSED_BYTES

    def decompress(self) -> bytes:
        """Return the body without its content encoding.

        :raises BodyTooLargeError: it is larger than allowed.
        :raises UnreadableBodyError: its encoding is unknown, or it is not in that encoding.
        """
        body = b"".join(self._chunks)
        if not body or self._encoding in {"", "identity"}:
            return body
        window_bits = _WINDOW_BITS.get(self._encoding)
        if window_bits is None:
            raise UnreadableBodyError(
                f"the body comes in the encoding {self._encoding[:50]!r}, which was not requested"
            )
        for bits in window_bits:
            try:
                return _inflate(body, bits, self._max_bytes)
            except zlib.error:
                continue
        raise UnreadableBodyError(f"the body is not valid {self._encoding}")


def _inflate(body: bytes, window_bits: int, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    left = max_bytes
    while body:
        stream = zlib.decompressobj(window_bits)
        # One byte more than allowed tells a body that is too large from one that just fits.
        piece = stream.decompress(body, left + 1)
        left -= len(piece)
        if left < 0:
            raise BodyTooLargeError
        if not stream.eof:
            raise UnreadableBodyError("the compressed body is truncated")
        pieces.append(piece)
        # gzip may have several members; anything else after the end is ignored, as browsers do.
        body = stream.unused_data if stream.unused_data.startswith(_GZIP_MAGIC) else b""
    return b"".join(pieces)
