"""Draw the Mermaid diagrams of the docs while the site is built, so that no page loads a script to show them."""

from __future__ import annotations

import hashlib
from typing import Any

import mermaidx

# The pages have a light and a dark scheme, a drawing has one.
STYLE = "background: #fff; border-radius: .2rem; margin: 1em 0; overflow-x: auto; padding: .8rem; text-align: center"


def on_config(config: Any) -> Any:
    """Let blocks of code in the language ``mermaid`` become drawings."""
    fence = {"name": "mermaid", "class": "mermaid", "format": draw}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    return config


def draw(source: str, *args: Any, **kwargs: Any) -> str:
    """Return a diagram as SVG. All ids in it are its own: several diagrams may stand on a page."""
    name = f"diagram-{hashlib.sha256(source.encode()).hexdigest()[:8]}"
    drawing = mermaidx.render(source, theme="neutral").svg()
    return f'<div style="{STYLE}">{drawing.replace("my-svg", name)}</div>'
