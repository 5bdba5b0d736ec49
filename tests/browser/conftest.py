"""A real Airflow, the sandbox, and a headless browser for both."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, sync_playwright

from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.sandbox.activepieces import ActivepiecesFlow
from tests.browser.chromium import FLAGS, BrowserMissing, find_browser, take_screenshot
from tools.real_airflow import RealAirflow

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "example_dags"
WRONG_TOKEN = "a-wrong-sandbox-token"

WINDOW: ViewportSize = {"width": 1100, "height": 1250}
# Timeout of one browser step: the machine runs all of Airflow at the same time.
TIMEOUT_MILLISECONDS = 30_000

TakeScreenshot = Callable[..., None]


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of the browser; exit if there is none."""
    try:
        return find_browser()
    except BrowserMissing as error:
        pytest.exit(str(error), returncode=2)


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def watched(sandbox: Sandbox) -> ActivepiecesFlow:
    """Return the flow that a DAG watches from the start."""
    return sandbox.activepieces.add_flow("Orders", flow_id="OrdersToWarehouse0001")


@pytest.fixture(scope="session")
def airflow(
    chromium: str, sandbox: Sandbox, watched: ActivepiecesFlow, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealAirflow]:
    """Return a real Airflow that can test connections, with the sandbox as its default connections."""
    dags = tmp_path_factory.mktemp("dags")
    for source in [EXAMPLES / "activepieces_wait.py", *(HERE / "dags").glob("*.py")]:
        shutil.copy(source, dags)
    settings = sandbox.connections() | {"AIRFLOW__CORE__TEST_CONNECTION": "Enabled"}
    with RealAirflow(dags, env=settings, poke_interval=1) as airflow:
        stored = [f"stored_{service.name}" for service in sandbox.services]
        airflow.wait_until_ready(["activepieces_wait", "orders_arrived", "task_logs", *stored])
        yield airflow


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """Return the browser, which is closed after the tests."""
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=chromium, args=FLAGS) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Return an empty page in a new browser context."""
    with browser.new_context(viewport=WINDOW, locale="en-US", color_scheme="light") as context:
        context.set_default_timeout(TIMEOUT_MILLISECONDS)
        yield context.new_page()


@pytest.fixture
def take(page: Page, sandbox: Sandbox) -> TakeScreenshot:
    """Return a function that takes a screenshot of elements and checks that no token is visible."""
    tokens = [WRONG_TOKEN, *(service.token for service in sandbox.services)]

    def take_without_tokens(name: str, *elements: Locator, secrets: Collection[str] = tokens) -> None:
        take_screenshot(page, name, elements, secrets)

    return take_without_tokens
