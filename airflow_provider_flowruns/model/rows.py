"""The rows of a list, and what is known of those that cannot be read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Self, TypeVar

T = TypeVar("T")


class Rows(tuple[T, ...]):
    """The rows of a list that could be read, as a tuple, and what is known of the others, which are left out."""

    #: Number of rows in the response, including those left out.
    total: int
    #: Number of rows that could not be read.
    unread: int
    #: Whether the first row could not be read.
    is_first_unread: bool
    #: Latest time of creation of the rows that could not be read, None if they show none.
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
        """Return the rows with what is known of their response; without ``total``, it is their number."""
        self = super().__new__(cls, rows)
        self.total = len(self) if total is None else total
        self.unread = unread
        self.is_first_unread = is_first_unread
        self.newest_unread_at = newest_unread_at
        self.is_oldest_first = is_oldest_first
        self.is_out_of_order = is_out_of_order
        return self
