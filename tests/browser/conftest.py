"""A real Airflow, the sandbox, and a headless browser that looks at both."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sandbox.activepieces import ActivepiecesFlow
from tests.browser.chromium import FLAGS, BrowserMissing, find_browser, take_picture
from tools.real_airflow import RealAirflow

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "example_dags"
WRONG_TOKEN = "a-wrong-sandbox-token"

WINDOW = {"width": 1100, "height": 1250}
# Milliseconds for one step of the browser: the machine also runs all of Airflow.
PATIENCE = 30_000

Picture = Callable[..., None]


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser; without one there is nothing to test."""
    try:
        return find_browser()
    except BrowserMissing as missing:
        pytest.exit(str(missing), returncode=2)


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def watched(sandbox: Sandbox) -> ActivepiecesFlow:
    """The flow that a DAG's watcher looks at from the start."""
    return sandbox.activepieces.add_flow("Orders", flow_id="OrdersToWarehouse0001")


@pytest.fixture(scope="session")
def airflow(
    chromium: str, sandbox: Sandbox, watched: ActivepiecesFlow, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealAirflow]:
    """A real Airflow in which connections may be tested, with the sandbox as the default connections."""
    dags = tmp_path_factory.mktemp("dags")
    for source in [EXAMPLES / "activepieces_wait.py", *(HERE / "dags").glob("*.py")]:
        shutil.copy(source, dags)
    settings = sandbox.connections() | {"AIRFLOW__CORE__TEST_CONNECTION": "Enabled"}
    with RealAirflow(dags, env=settings, poke_interval=1) as airflow:
        stored = [f"stored_{service.name}" for service in sandbox.services]
        airflow.wait_ready(["activepieces_wait", "orders_arrived", *stored])
        yield airflow


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """The browser; it ends with the tests, failed ones too."""
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=chromium, args=FLAGS) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page that knows nothing of those before."""
    with browser.new_context(viewport=WINDOW, locale="en-US", color_scheme="light") as context:
        context.set_default_timeout(PATIENCE)
        yield context.new_page()


@pytest.fixture
def take(page: Page, sandbox: Sandbox) -> Picture:
    """Take a picture of parts of the page, in which no token may be read."""
    tokens = [WRONG_TOKEN, *(service.token for service in sandbox.services)]

    def take_without_tokens(name: str, *parts: Locator, hidden: Collection[str] = tokens) -> None:
        take_picture(page, name, parts, hidden)

    return take_without_tokens
