"""Write DAG files with bare classes in place of those of this package, to measure what Airflow itself costs."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from typing import Any

from airflow.sdk import BaseHook, BaseNotifier, BaseOperator, BaseSensorOperator
from airflow.triggers.base import BaseEventTrigger

_PACKAGE = "airflow_provider_flowruns."
#: By base class: the module that it is imported from, and the methods that a subclass has to have.
_BASES: dict[type[Any], tuple[str, str]] = {
    BaseSensorOperator: ("airflow.sdk", "def poke(self, context): return True"),
    BaseOperator: ("airflow.sdk", "def execute(self, context): return None"),
    BaseNotifier: ("airflow.sdk", "def notify(self, context): return None"),
    BaseEventTrigger: (
        "airflow.triggers.base",
        "def serialize(self): return f'{__name__}.{type(self).__name__}', vars(self)\n    async def run(self): yield",
    ),
    BaseHook: ("airflow.sdk", ""),
}


def build_bare_dag(source: str) -> str:
    """Return the source of a DAG file after replacing what it imports of this package by bare classes.

    A bare class has the arguments of the one that it replaces, stores them as attributes and has the same templated
    fields, and does nothing else: it is what a DAG author would write to get along without this package.

    :param source: the source of the DAG file.
    """
    lines = source.splitlines()
    for node in reversed(ast.parse(source).body):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_PACKAGE):
            module = import_module(str(node.module))
            classes = [_build_bare_class(getattr(module, name.name)) for name in node.names]
            lines[node.lineno - 1 : node.end_lineno] = classes
    return "\n".join(lines)


def _build_bare_class(cls: type[Any]) -> str:
    """Return the source of the bare class in place of a class, with the import of its base class."""
    base = next(base for base in _BASES if issubclass(cls, base))
    module, method = _BASES[base]
    arguments = _list_own_arguments(cls, base)
    fields = [field for field in getattr(cls, "template_fields", ()) if field in arguments]
    body = [
        f"from {module} import {base.__name__}",
        f"class {cls.__name__}({base.__name__}):",
        f"    template_fields = {tuple(fields)!r}",
        f"    def __init__(self, *, {''.join(f'{argument}=None, ' for argument in arguments)}**kwargs):",
        # A notifier reads its templated fields when it is constructed.
        *(f"        self.{argument} = {argument}" for argument in arguments if base is BaseNotifier),
        f"        super().__init__({'**kwargs' if issubclass(base, BaseOperator) else ''})",
        *(f"        self.{argument} = {argument}" for argument in arguments if base is not BaseNotifier),
    ]
    return "\n".join([*body, f"    {method}"] if method else body)


def _list_own_arguments(cls: type[Any], base: type[Any]) -> list[str]:
    """Return the arguments that a class takes and its base class in Airflow does not."""
    names: dict[str, None] = {}
    for one in cls.mro():
        if one is base:
            break
        names |= dict.fromkeys(_list_named_arguments(one))
    airflows = {name for one in base.mro() for name in _list_named_arguments(one)}
    return [name for name in names if name not in airflows]


def _list_named_arguments(cls: type[Any]) -> list[str]:
    if "__init__" not in vars(cls):
        return []
    parameters = inspect.signature(cls.__init__).parameters.values()
    return [
        one.name for one in parameters if one.kind not in {one.VAR_KEYWORD, one.VAR_POSITIONAL} and one.name != "self"
    ]
