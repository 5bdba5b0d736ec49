"""A headless browser that is installed on this machine, and pictures of what it shows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path

from playwright.sync_api import Locator, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATH_VARIABLE = "CHROMIUM"

# It talks to Airflow on 127.0.0.1 and to nobody else.
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
    """There is no browser to test with."""


def find_browser() -> str:
    """Return the path of the browser: the one that ``CHROMIUM`` names, or the first Chromium or Chrome on PATH."""
    named = os.environ.get(PATH_VARIABLE)
    if named and not shutil.which(named):
        raise BrowserMissing(f"{PATH_VARIABLE}={named} is no program.")
    for name in [named] if named else NAMES:
        if found := shutil.which(name):
            return found
    raise BrowserMissing(
        f"The browser tests need Chromium or Chrome: none of {', '.join(NAMES)} is on PATH. Install one (on Debian: "
        f"apt-get install chromium), or say where it is: {PATH_VARIABLE}=/path/to/chromium make test-browser"
    )


def take_picture(page: Page, name: str, parts: Collection[Locator], secrets: Collection[str]) -> None:
    """
    Write what some parts of a page show to the images of the docs.

    :param name: file name without suffix.
    :param parts: what must be in it; the picture is as large as they are together, with a small margin.
    :param secrets: what may not be read in it.
    """
    seen = page.locator("body").inner_text()
    assert not [secret for secret in secrets if secret in seen]
    boxes = [box for part in parts if (box := part.bounding_box())]
    assert len(boxes) == len(parts)
    left, top = min(box["x"] for box in boxes), min(box["y"] for box in boxes)
    right, bottom = max(box["x"] + box["width"] for box in boxes), max(box["y"] + box["height"] for box in boxes)
    left, top = max(left - MARGIN, 0), max(top - MARGIN, 0)
    clip = {"x": left, "y": top, "width": right + MARGIN - left, "height": bottom + MARGIN - top}
    page.screenshot(path=IMAGES / f"{name}.png", clip=clip, animations="disabled")
