"""Render the Mermaid diagrams of the docs at build time, so that no page needs a script to show them."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import mermaidx
from pymdownx.superfences import SuperFencesException

#: Every diagram has styles for all looks, also for one that draws with a gradient, which is not in the SVG.
UNUSED_REFERENCE = re.compile(r"(?:fill|stroke):url\(#my-svg-gradient\);")


def on_config(config: Any) -> Any:
    """Render code blocks in the language ``mermaid``."""
    fence = {"name": "mermaid", "class": "mermaid", "format": render_diagram}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    return config


def render_diagram(source: str, *args: Any, **kwargs: Any) -> str:
    """Return a diagram as SVG. Its ids are unique, because a page may contain several diagrams."""
    name = f"diagram-{hashlib.sha256(source.encode()).hexdigest()[:8]}"
    try:
        svg = mermaidx.render(source, theme="neutral").svg()
    except Exception as error:
        # Any other exception would leave the diagram's source on the page.
        raise SuperFencesException(f"{error}\n{source}") from error
    svg = UNUSED_REFERENCE.sub("", svg).replace("my-svg", name)
    return f'<div class="diagram">{svg}</div>'
