"""The site of the docs from a reader's point of view, with the versions that releases add."""

from __future__ import annotations

import shutil
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest
from playwright.sync_api import Page

from airflow_provider_flowruns import __version__

CHECKOUT = Path(__file__).resolve().parents[2]
ENVIRONMENT = CHECKOUT / ".venv-docs"
#: What the site is built from.
SOURCES = ("airflow_provider_flowruns", "docs", "example_dags", "examples", "tools")
FILES = ("CHANGELOG.md", "Makefile", "README.md", "mkdocs.yml", "pyproject.toml")


def call(*command: str, cwd: Path) -> bytes:
    """Run a command, and return its output; fails if it does."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout.decode()}\n{done.stderr.decode()}"
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish this version in a repository of its own, and return what the branch then holds."""
    repository, site = tmp_path_factory.mktemp("repository"), tmp_path_factory.mktemp("site")
    for name in SOURCES:
        shutil.copytree(CHECKOUT / name, repository / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy2(CHECKOUT / name, repository / name)
    call("git", "init", "--quiet", cwd=repository)
    call("git", "config", "user.name", "Test", cwd=repository)
    call("git", "config", "user.email", "test@example.org", cwd=repository)
    call("git", "commit", "--quiet", "--allow-empty", "--message=Start", cwd=repository)
    call("make", "docs-version", f"DOCS_VENV={ENVIRONMENT}", cwd=repository)
    with tarfile.open(fileobj=BytesIO(call("git", "archive", "gh-pages", cwd=repository))) as archive:
        archive.extractall(site, filter="data")
    return site


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files, and logs nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def url(site: Path) -> Iterator[str]:
    """Serve the site on the loopback interface, and return its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def requested(page: Page) -> list[str]:
    """Return the addresses that the browser requests."""
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    return addresses


def test_a_search_finds_the_page_and_loads_nothing_from_other_hosts(page: Page, url: str, requested) -> None:
    page.goto(f"{url}/{__version__}/index.html")
    page.get_by_placeholder("Search").click()
    page.get_by_placeholder("Search").press_sequentially("completed_after")
    found = page.locator("a.md-search-result__link[href*='/waiting.html']").first
    found.wait_for()
    found.click()
    page.wait_for_url("**/waiting.html*")
    assert page.locator("article").get_by_text("completed_after").first.is_visible()
    assert len(requested) > 5
    assert [address for address in requested if not address.startswith((url, "blob:", "data:"))] == []


def test_a_reader_without_a_version_gets_the_latest_and_can_choose(page: Page, url: str) -> None:
    page.goto(url)
    page.wait_for_url(f"{url}/{__version__}/**")
    selector = page.locator(".md-version__current")
    selector.wait_for()
    assert selector.inner_text() == __version__


def test_a_reader_chooses_dark_pages(page: Page, url: str) -> None:
    page.goto(f"{url}/{__version__}/index.html")
    body = page.locator("body")
    assert body.get_attribute("data-md-color-scheme") == "default"
    page.locator("label[title='Light pages']").click()
    page.locator("label[title='Dark pages']").click()
    assert body.get_attribute("data-md-color-scheme") == "slate"
    page.goto(f"{url}/{__version__}/waiting.html")
    assert body.get_attribute("data-md-color-scheme") == "slate"
