"""Walk the pages of a list, without I/O."""

from __future__ import annotations

from typing import Any

from airflow_provider_flowruns.model.calls import Call, Page, Pages
from airflow_provider_flowruns.model.errors import (
    InvalidRequestError,
    UnexpectedResponseError,
)
from airflow_provider_flowruns.services.registry import get_service

#: So many pages in a row may bring nothing new; then the list does not move.
_MOST_STALE_PAGES = 10
#: So many items are known again when they come twice.
_REMEMBERED = 20_000


class Paginator:
    """Walks the pages of a list without doing the I/O: send :attr:`call`, hand the page to :meth:`read_page`, repeat.

    :param pages: the list.
    """

    def __init__(self, pages: Pages[Any]) -> None:
        self.call: Call[Page[Any]] | None = pages.first
        self._pages = pages
        #: In the order of their last appearance.
        self._seen: dict[Any, None] = {}
        self._stale = 0

    def read_page(self, page: Page[Any]) -> list[Any]:
        """Return the page's items that have not come before, and move on to the next page.

        :param page: the page that was read.
        :raises UnexpectedResponseError: page after page holds only what has come before.
        """
        sent, self.call = self.call, page.next
        fresh = []
        for item in page.items:
            identity = self._pages.identity(item)
            if identity in self._seen:
                del self._seen[identity]
            else:
                fresh.append(item)
            self._seen[identity] = None
        self._forget(2 * len(page.items))
        self._stale = self._stale + 1 if page.items and not fresh else 0
        if sent and self._stale > _MOST_STALE_PAGES:
            what = f"{self._stale} pages in a row held nothing new; the server does not move on in this list"
            title = get_service(sent.service).info.title
            raise UnexpectedResponseError(title, sent.request.method, sent.request.path, 200, what)
        return fresh

    def _forget(self, needed: int) -> None:
        # New items push back those that came last, and windows overlap at their ends: what came long ago never returns.
        while len(self._seen) > max(needed, _REMEMBERED):
            del self._seen[next(iter(self._seen))]

    def try_fallback(self, error: InvalidRequestError) -> None:
        """Say the first call in its other words; raises the error when there are none left to try."""
        other = self._pages.fallback_first
        if self.call is not self._pages.first or other is None:
            raise error
        self.call = other
