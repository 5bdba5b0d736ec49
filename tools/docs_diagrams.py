"""Render the Mermaid diagrams of the docs at build time, so that no page needs a script to show them."""

from __future__ import annotations

import hashlib
from typing import Any

import mermaidx

# The pages have a light and a dark scheme, but a diagram has only one.
STYLE = "background: #fff; border-radius: .2rem; margin: 1em 0; overflow-x: auto; padding: .8rem; text-align: center"


def on_config(config: Any) -> Any:
    """Render code blocks in the language ``mermaid``."""
    fence = {"name": "mermaid", "class": "mermaid", "format": render_diagram}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    return config


def render_diagram(source: str, *args: Any, **kwargs: Any) -> str:
    """Return a diagram as SVG. Its ids are unique, because a page may contain several diagrams."""
    name = f"diagram-{hashlib.sha256(source.encode()).hexdigest()[:8]}"
    svg = mermaidx.render(source, theme="neutral").svg()
    return f'<div style="{STYLE}">{svg.replace("my-svg", name)}</div>'
