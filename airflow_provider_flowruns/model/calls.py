"""Requests, responses and lists as data. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Generic, TypeVar

from msgspec import Struct

from airflow_provider_flowruns.model.clean import parse_json
from airflow_provider_flowruns.model.rows import Rows

T = TypeVar("T")
#: Returns bytes of a response as a JSON value, clean and without the connection's secrets.
ParseJson = Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart body: a text, or a file that is opened when it is sent and is never read whole.

    :param name: the part's name.
    :param text: its text, when it is no file.
    :param filename: the file's name, None for a text.
    :param content_type: media type of the file.
    :param open: returns a binary file that can seek.
    """

    name: str
    text: str = ""
    filename: str | None = None
    content_type: str | None = None
    open: Callable[[], BinaryIO] | None = None


class Request(Struct, frozen=True):
    """An HTTP request as data.

    :param method: HTTP method in upper case.
    :param path: relative to the connection's base URL and already safe.
    :param query: pairs of the query, in order.
    :param json: the body as a JSON value.
    :param parts: the parts of a multipart body.
    :param with_token: False keeps the token, and the connection's own headers, off this request.
    :param accept: media type of the response that is wanted.
    :param names: what its id is the id of, such as ``flow``; empty for a request without an id. A response that there
        is no such thing is explained by it.
    :param is_read: whether it only reads, although its method is not one for that: some services take filters as the
        body of a ``POST``.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    json: Any = None
    parts: tuple[Part, ...] = ()
    with_token: bool = True
    accept: str = "application/json"
    names: str | None = None
    is_read: bool = False

    @property
    def is_idempotent(self) -> bool:
        """Whether sending it twice has the same effect as sending it once."""
        return self.is_read or self.method in {"GET", "HEAD"}


class Response(Struct, frozen=True):
    """An HTTP response as data.

    :param status: HTTP status.
    :param headers: by their names in lower case.
    :param body: the bytes as received.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as a JSON value of clean texts.

        :raises ValueError: it is not JSON.
        """
        return parse_json(self.body)


class Call(Struct, Generic[T], frozen=True):
    """A request and the functions that read the body of its response.

    :param service: registry name of the service.
    :param request: what is sent.
    :param read: returns the result, from the response's JSON body or from None when the body is empty.
    :param decode: returns the body as ``read`` takes it: as JSON, or with records that have been read already.
    :param may_be_empty: whether a response without a body is usable.
    :param meanings: by HTTP status, what it means here; for responses that do not say it themselves.
    :param read_bytes: returns the same from the body as it arrived, without parsing what is not needed. It parses what
        it shows with the function that it gets. It may raise any error, and then ``read`` decides.
    """

    service: str
    request: Request
    read: Callable[[Any], T]
    decode: Callable[[bytes], Any] = parse_json
    may_be_empty: bool = False
    meanings: Mapping[int, str] = {}
    read_bytes: Callable[[bytes, ParseJson], T] | None = None


@dataclass(frozen=True, slots=True)
class Download:
    """A request for a file, whose body is passed on while it arrives.

    :param service: registry name of the service.
    :param request: what is sent.
    :param meanings: by HTTP status, what it means here; for responses that do not say it themselves.
    """

    service: str
    request: Request
    meanings: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list and the call for the next one, None on the last.

    :param items: its items; as :class:`Rows`, they also say what could not be read.
    :param next: requests the next page, None on the last.
    """

    items: tuple[T, ...]
    next: Call[Page[T]] | None = None

    @property
    def unread(self) -> int:
        """Number of rows of the page that could not be read."""
        return self.items.unread if isinstance(self.items, Rows) else 0


@dataclass(frozen=True, slots=True)
class Pages(Generic[T]):
    """A list that comes in pages.

    :param first: requests the first page.
    :param identity: items for which this is equal are returned once.
    """

    first: Call[Page[T]]
    identity: Callable[[T], Hashable]

    def read_first(self) -> CallSequence[Page[T]]:
        """Return the steps that read the first page."""
        page: Page[T] = yield self.first
        return page


#: Several calls for one result: yields calls, is sent their results, and returns its own. Its driver does the I/O, so
#: that the synchronous and the asynchronous client can execute the same sequence.
CallSequence = Generator[Call[Any], Any, T]
