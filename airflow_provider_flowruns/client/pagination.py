"""Walk the pages of a list, without I/O."""

from __future__ import annotations

from itertools import islice
from typing import Any

from airflow_provider_flowruns.model.calls import Call, CallSequence, Page, Pages
from airflow_provider_flowruns.model.errors import UnexpectedResponseError
from airflow_provider_flowruns.services.registry import get_service

#: Number of pages in a row without a new item after which the list counts as stuck.
MAX_STALE_PAGES = 10
#: Number of items that are recognized when they come again.
MAX_REMEMBERED_ITEMS = 20_000


class Paginator:
    """Walks the pages of a list without I/O: execute :meth:`fetch_page`, pass its page to :meth:`read_page`, repeat.

    There is a next page as long as :attr:`call` is not None.

    :param pages: the list.
    """

    def __init__(self, pages: Pages[Any]) -> None:
        self.call: Call[Page[Any]] | None = pages.first
        self._pages = pages
        #: In the order of their last appearance.
        self._seen: dict[Any, None] = {}
        self._stale = 0

    def fetch_page(self) -> CallSequence[Page[Any]]:
        """Return the steps that read the next page; there must be one."""
        if self.call is None or self.call is self._pages.first:
            return (yield from self._pages.read_first())
        page: Page[Any] = yield self.call
        return page

    def read_page(self, page: Page[Any]) -> list[Any]:
        """Return the page's new items, and move on to the next page.

        :param page: the page that was read.
        :raises UnexpectedResponseError: too many pages in a row contain no new item.
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
        if sent and self._stale > MAX_STALE_PAGES:
            what = f"{self._stale} pages in a row contained no new item; the server does not advance in this list"
            title = get_service(sent.service).info.title
            raise UnexpectedResponseError(title, sent.request.method, sent.request.path, 200, what)
        return fresh

    def _forget(self, needed: int) -> None:
        # New items push back those that came last, and windows overlap at their ends: what came long ago never returns.
        excess = len(self._seen) - max(needed, MAX_REMEMBERED_ITEMS)
        # All at once: to find the first one, a dictionary passes over all that were deleted before it.
        for identity in [*islice(self._seen, max(excess, 0))]:
            del self._seen[identity]
