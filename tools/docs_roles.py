"""Translate the Sphinx markup of docstrings to Markdown for the docs."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`~?(?P<path>[\w.]+)`")


class Roles(griffe.Extension):
    """Replaces ``:class:`~a.b.C``` with code, and the ``::`` before a code block with a colon."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Translate one docstring before it is parsed."""
        if obj.docstring:
            text = _ROLE.sub(lambda role: f"`{role['path'].rpartition('.')[2]}`", obj.docstring.value)
            obj.docstring.value = re.sub(r"::$", ":", text, flags=re.MULTILINE)
