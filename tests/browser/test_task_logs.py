"""The logs of a waiting, a failed and a timed-out task: what matters is readable at 1400 pixels without scrolling."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, FloatRect, Page, ViewportSize

from airflow_provider_flowruns.sandbox import Sandbox
from tests.browser.chromium import IMAGES
from tests.browser.conftest import TIMEOUT_MILLISECONDS
from tools.real_airflow import RealAirflow

pytestmark = pytest.mark.airflow

WINDOW: ViewportSize = {"width": 1400, "height": 900}
VENDOR_ERROR = "orders: the source refused the login of user etl_reader, which was locked after five attempts"
#: By task: texts that have to be in the window.
IMPORTANT = {
    "waiting": ("Waiting for a run of Portable flow", "(completed_after)", "(timeout)", "is RUNNING", "usually"),
    "failed": ("FR101: run ", f"- {VENDOR_ERROR[:60]}", "Do: open the run", "More on FR101"),
    "timed_out": ("FR103: timed out after", "before completed_after", "Do: see in the service", "More on FR103"),
}


@pytest.fixture
def wide_page(browser: Browser) -> Iterator[Page]:
    """Return an empty page in a window of the width that the issue names."""
    with browser.new_context(viewport=WINDOW, locale="en-US", color_scheme="light", timezone_id="UTC") as context:
        context.set_default_timeout(TIMEOUT_MILLISECONDS)
        yield context.new_page()


@pytest.fixture
def logged(airflow: RealAirflow, sandbox: Sandbox) -> str:
    """Return a DAG run whose tasks are as far as their logs show."""
    flows = {name: sandbox.portable.add_flow() for name in IMPORTANT}
    for flow in flows.values():
        for number in range(4):
            flow.add_run(waiting=2.0, running=200.0 + 40 * number, ago=86_400.0 * (4 - number))
    flows["waiting"].add_run(waiting=1.0, running=3_600.0)
    flows["failed"].add_run(outcome="FAILED", waiting=1.0, running=60.0, errors=(VENDOR_ERROR,))
    dag_run = airflow.trigger("task_logs", {name: flow.id for name, flow in flows.items()})
    airflow.wait_for_task("task_logs", dag_run, "failed", {"failed"}, timeout=240)
    airflow.wait_for_task("task_logs", dag_run, "timed_out", {"failed"}, timeout=240)
    airflow.wait_for_log("task_logs", dag_run, "waiting", "is RUNNING")
    return dag_run


def test_what_matters_in_a_log_is_in_the_window(
    wide_page: Page, airflow: RealAirflow, logged: str, sandbox: Sandbox
) -> None:
    for task_id, texts in IMPORTANT.items():
        wide_page.goto(f"{airflow.url}/dags/task_logs/runs/{logged}/tasks/{task_id}")
        for text in texts:
            line = wide_page.get_by_text(text).first  # the exception, which comes later, repeats some
            line.wait_for()
            box = line.bounding_box()
            assert box
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= WINDOW["width"], text
            assert 0 <= box["y"] <= WINDOW["height"], text
        name = f"log-{task_id.replace('_', '-')}"
        assert sandbox.portable.token not in wide_page.locator("body").inner_text()
        stack = wide_page.get_by_text("Task failed with exception")
        box = stack.bounding_box() if stack.count() else None
        # Without the stack, which has the paths of this machine.
        clip: FloatRect = {
            "x": 0,
            "y": 0,
            "width": WINDOW["width"],
            "height": box["y"] if box else WINDOW["height"] * 0.6,
        }
        wide_page.screenshot(path=IMAGES / f"{name}.png", clip=clip, animations="disabled")
