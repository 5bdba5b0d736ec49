"""A headless browser that is installed on this machine, and screenshots of its pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path

from playwright.sync_api import FloatRect, Locator, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATH_VARIABLE = "CHROMIUM"

# It connects only to Airflow on 127.0.0.1.
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
MARGIN = 20


class BrowserMissing(Exception):
    """No browser is installed."""


def find_browser() -> str:
    """Return the path of the browser: the one that ``CHROMIUM`` names, or the first Chromium or Chrome on PATH."""
    named = os.environ.get(PATH_VARIABLE)
    if named and not shutil.which(named):
        raise BrowserMissing(f"{PATH_VARIABLE}={named} is not an executable.")
    for name in [named] if named else NAMES:
        if found := shutil.which(name):
            return found
    raise BrowserMissing(
        f"The browser tests need Chromium or Chrome: none of {', '.join(NAMES)} is on PATH. Install one (on Debian: "
        f"apt-get install chromium), or set its path: {PATH_VARIABLE}=/path/to/chromium make test-browser"
    )


def take_screenshot(page: Page, name: str, elements: Collection[Locator], secrets: Collection[str]) -> None:
    """Write a screenshot of some elements of a page to the images of the docs.

    :param name: file name without suffix.
    :param elements: the elements to show; the screenshot contains all of them with a small margin.
    :param secrets: texts that must not be visible.
    """
    visible_text = page.locator("body").inner_text()
    assert not [secret for secret in secrets if secret in visible_text]
    boxes = [box for element in elements if (box := element.bounding_box())]
    assert len(boxes) == len(elements)
    left, top = min(box["x"] for box in boxes), min(box["y"] for box in boxes)
    right, bottom = max(box["x"] + box["width"] for box in boxes), max(box["y"] + box["height"] for box in boxes)
    left, top = max(left - MARGIN, 0), max(top - MARGIN, 0)
    clip: FloatRect = {"x": left, "y": top, "width": right + MARGIN - left, "height": bottom + MARGIN - top}
    page.screenshot(path=IMAGES / f"{name}.png", clip=clip, animations="disabled")
