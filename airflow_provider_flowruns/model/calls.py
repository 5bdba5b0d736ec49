"""Requests, responses and lists as data. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO, Generic, Self, TypeVar

from airflow_provider_flowruns.model.clean import parse_json

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart body: a text, or a file that is opened when it is sent and never read whole.

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


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request as data.

    :param method: HTTP method in upper case.
    :param path: relative to the connection's base URL and already safe.
    :param query: pairs of the query, in order.
    :param json: the body as a JSON value.
    :param parts: the parts of a multipart body.
    :param with_token: False keeps the token, and the connection's own headers, off this request.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    json: Any = None
    parts: tuple[Part, ...] = ()
    with_token: bool = True

    @property
    def is_idempotent(self) -> bool:
        """Whether sending it twice does no more than sending it once."""
        return self.method in {"GET", "HEAD"}


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer as data.

    :param status: HTTP status.
    :param headers: found by their names in lower case.
    :param body: the bytes as they arrived.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as a JSON value of clean texts; raises ValueError when it is none."""
        return parse_json(self.body)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request and the function that reads its answer's JSON body.

    :param service: registry name of the service.
    :param request: what is sent.
    :param read: makes the result of the answer's JSON body, None when the body is empty.
    :param may_be_empty: whether an answer without a body is a good one.
    :param meanings: HTTP status to words, for answers that do not say themselves what it means here.
    """

    service: str
    request: Request
    read: Callable[[Any], T]
    may_be_empty: bool = False
    meanings: Mapping[int, str] = field(default_factory=dict)


class Rows(tuple[T, ...]):
    """What could be read of a list's rows, as a tuple, and what is known of the others, which are left out."""

    #: Number of rows in the response, those left out included.
    total: int
    #: Number of rows that could not be read.
    unread: int
    #: Whether a row that could not be read stands before all that were.
    is_first_unread: bool
    #: Latest time of creation of a row that could not be read, None when none of them shows one.
    newest_unread_at: datetime | None
    #: Whether the response listed its runs oldest first, although newest first is documented.
    is_oldest_first: bool
    is_out_of_order: bool

    def __new__(
        cls,
        rows: Iterable[T] = (),
        *,
        total: int | None = None,
        unread: int = 0,
        is_first_unread: bool = False,
        newest_unread_at: datetime | None = None,
        is_oldest_first: bool = False,
        is_out_of_order: bool = False,
    ) -> Self:
        """Return the rows with what is known of their response; ``total`` is their own number when it is None."""
        self = super().__new__(cls, rows)
        self.total = len(self) if total is None else total
        self.unread = unread
        self.is_first_unread = is_first_unread
        self.newest_unread_at = newest_unread_at
        self.is_oldest_first = is_oldest_first
        self.is_out_of_order = is_out_of_order
        return self


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list and the call for the next one, None on the last.

    :param items: what is on it; as :class:`Rows`, they also say what could not be read.
    :param next: asks for the next page, None on the last.
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

    :param first: asks for the first page.
    :param identity: items for which this is equal are given out once.
    """

    first: Call[Page[T]]
    identity: Callable[[T], Hashable]

    def read_first(self) -> CallSequence[Page[T]]:
        """Return the steps that read the first page."""
        page: Page[T] = yield self.first
        return page


#: Several calls that together answer one question: yields calls, is sent their results, returns the answer.
#: Whoever drives it does the I/O, so the same steps serve the synchronous and the asynchronous client.
CallSequence = Generator[Call[Any], Any, T]
