"""Docstrings are written for Sphinx; the docs are Markdown: translate what Markdown spells in another way."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`~?(?P<path>[\w.]+)`")


class Roles(griffe.Extension):
    """Turns ``:class:`~a.b.C``` into code, and the ``::`` before a block of code into a colon."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Translate one docstring, before anything reads it."""
        if obj.docstring:
            text = _ROLE.sub(lambda role: f"`{role['path'].rpartition('.')[2]}`", obj.docstring.value)
            obj.docstring.value = re.sub(r"::$", ":", text, flags=re.MULTILINE)
