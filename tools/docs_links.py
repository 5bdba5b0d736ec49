"""Find dead links in the built docs: pages, anchors and files that are not there, and anything from another host.

Run it with ``make docs``. The status is 0 when there are none.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: Where a page names what a browser loads by itself.
LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("link", "href")}
#: Links between pages, which nothing is loaded for.
ONLY_NAMED = {"canonical", "prev", "next", "edit"}


class Page(HTMLParser):
    """What a page links to, what it loads, and the anchors it has.

    :param path: the page's file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = {"", "__skip"}
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of one element."""
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)
            elif tag == "a" and name == "href":
                self.links.append(value)
            elif (tag, name) in LOADED and dict(attrs).get("rel") not in ONLY_NAMED:
                self.loads.append(value)


@cache
def read(path: Path) -> Page:
    """Read a page once."""
    return Page(path)


def dead_links(site: Path) -> Iterator[str]:
    """Yield a line for every link that leads nowhere, and for everything that is loaded from another host."""
    for path in sorted(site.rglob("*.html")):
        page, where = read(path), path.relative_to(site)
        yield from (f"{where} loads {url}" for url in page.loads if urlsplit(url).netloc)
        for url in (*page.links, *page.loads):
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            below = site / parts.path.lstrip("/") if parts.path.startswith("/") else path.parent / unquote(parts.path)
            target = path if not parts.path else below.resolve()
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                yield f"{where} links to {url}, which is not there"
            elif target.suffix == ".html" and unquote(parts.fragment) not in read(target).anchors:
                yield f"{where} links to {url}, which has no such anchor"


def main() -> int:
    """Check the site named on the command line."""
    site = Path(sys.argv[1]).resolve()
    pages = len([*site.rglob("*.html")])
    dead = [*dead_links(site)]
    print(*dead, f"{pages} pages, {len(dead)} dead links", sep="\n")
    return 1 if dead or not pages else 0


if __name__ == "__main__":
    sys.exit(main())
