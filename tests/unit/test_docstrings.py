"""Everything public explains itself, arguments included. Public is what has no leading underscore on the way to it.

* A module, a class, a function, a method and a property each have a docstring.
* An argument is explained as ``:param name:`` in the docstring of its function; the arguments of a class, which are
  those of ``__init__`` or the fields of a dataclass or named tuple, in the docstring of the class.
* Nothing is explained that is not an argument, unless ``**kwargs`` passes it on.
* What a base class or a protocol of this package explains, a subclass need not explain again.
* The first sentence about a function of one argument is about that argument; for the methods that DAG authors call,
  this is not enough.
* ``context``, ``task_instance`` and ``ti_key`` are Airflow's own words. In the sandbox ``now`` is always the time as
  epoch seconds, and ``request`` the web server's request.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_flowruns

ROOT = Path(airflow_provider_flowruns.__file__).parent
BELOW = ("services/", "client/", "waiting/", "sandbox/")
ALWAYS_CLEAR = {"context", "task_instance", "ti_key"}
CLEAR_IN_SANDBOX = {"now", "request"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_public(name: str) -> bool:
    return not name.startswith("_")


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


MODULES = {
    path.relative_to(ROOT).as_posix(): parsed(path)
    for path in sorted(ROOT.rglob("*.py"))
    if path.stem.startswith("__") or all(map(is_public, path.relative_to(ROOT).parts))
}
CLASSES = {node.name: node for tree in MODULES.values() for node in tree.body if isinstance(node, ast.ClassDef)}


def base_names(cls: ast.ClassDef) -> list[str]:
    bases = [base.value if isinstance(base, ast.Subscript) else base for base in cls.bases]
    return [ast.unparse(base).rpartition(".")[2] for base in bases]


PROTOCOLS = [cls for cls in CLASSES.values() if "Protocol" in base_names(cls)]


def ancestry(cls: ast.ClassDef) -> Iterator[ast.ClassDef]:
    """Yield a class and, as far as they are in this package, all it inherits from."""
    yield cls
    for name in base_names(cls):
        if name in CLASSES:
            yield from ancestry(CLASSES[name])


def functions_of(node: ast.Module | ast.ClassDef) -> list[Function]:
    return [one for one in node.body if isinstance(one, Function) and is_public(one.name)]


def arguments_of(function: Function) -> list[str]:
    every = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    return [one.arg for one in every if one.arg not in {"self", "cls"} and is_public(one.arg)]


def class_arguments(cls: ast.ClassDef) -> list[str]:
    if any("dataclass" in ast.unparse(decorator) for decorator in cls.decorator_list) or "NamedTuple" in base_names(
        cls
    ):
        fields = [one for one in cls.body if isinstance(one, ast.AnnAssign) and "ClassVar" not in ast.unparse(one)]
        return [name for name in (ast.unparse(one.target) for one in fields) if is_public(name)]
    init = init_of(cls)
    return arguments_of(init) if init else []


def init_of(cls: ast.ClassDef) -> Function | None:
    return next((one for one in cls.body if isinstance(one, Function) and one.name == "__init__"), None)


def explained(*nodes: ast.ClassDef | Function) -> set[str]:
    return {name for node in nodes for name in re.findall(r":param (\w+):", ast.get_docstring(node) or "")}


def unexplained_in(path: str, tree: ast.Module) -> Iterator[str]:
    """Yield what is public in a module and has no docstring, or an argument without words."""
    if tree.body and not ast.get_docstring(tree):
        yield "the module itself"
    for function in functions_of(tree):
        yield from gaps(function.name, function, needing_words(path, function, 2) - explained(function))
        yield from strangers(function.name, function, function, arguments_of(function))
    for cls in (node for node in tree.body if isinstance(node, ast.ClassDef) and is_public(node.name)):
        yield from gaps(cls.name, cls, set(class_arguments(cls)) - explained(*ancestry(cls)))
        yield from strangers(cls.name, cls, init_of(cls), class_arguments(cls))
        for method in functions_of(cls):
            yield from strangers(f"{cls.name}.{method.name}", method, method, arguments_of(method))
            same = [
                other
                for known in (*ancestry(cls), *PROTOCOLS)
                for other in functions_of(known)
                if other.name == method.name
            ]
            fewest = 2 if path.startswith(BELOW) else 1
            missing = needing_words(path, method, fewest) - explained(*same)
            yield from gaps(f"{cls.name}.{method.name}", method, missing)


def needing_words(path: str, function: Function, fewest: int) -> set[str]:
    """Return the arguments of a function, none when they are fewer than so many."""
    names = set(arguments_of(function)) - ALWAYS_CLEAR
    if path.startswith("sandbox/"):
        names -= CLEAR_IN_SANDBOX
    return names if len(names) >= fewest else set()


def gaps(name: str, node: ast.ClassDef | Function, missing: set[str]) -> Iterator[str]:
    if not ast.get_docstring(node):
        yield f"{name} has no docstring"
    if missing:
        yield f"{name} does not explain {', '.join(sorted(missing))}"


def strangers(name: str, node: ast.ClassDef | Function, taker: Function | None, known: list[str]) -> Iterator[str]:
    """Yield what is explained without being an argument of the function that takes the arguments."""
    if taker and taker.args.kwarg:
        return
    rest = {taker.args.vararg.arg} if taker and taker.args.vararg else set()
    if unknown := explained(node) - {*known} - rest:
        yield f"{name} explains {', '.join(sorted(unknown))}, which it does not take"


@pytest.mark.parametrize("path", MODULES)
def test_everything_public_explains_itself(path) -> None:
    assert [*unexplained_in(path, MODULES[path])] == []


def test_the_check_sees_what_is_missing() -> None:
    source = '''
class A:
    """
    Text.

    :param said: words.
    """
    def __init__(self, said, unsaid, **rest): ...
    def silent(self, x): ...
    def _private(self, x): ...
class B(A):
    """Text."""
    def __init__(self, said): ...
    def said(self, context): "Text."
def function(y: int, z: int): "Text."
def short(y: int): "Text. :param z: a stranger."
'''
    assert [*unexplained_in("operators/some.py", ast.parse(source))] == [
        "the module itself",
        "function does not explain y, z",
        "short explains z, which it does not take",
        "A does not explain unsaid",
        "A.silent has no docstring",
        "A.silent does not explain x",
        "B does not explain said",
    ]
