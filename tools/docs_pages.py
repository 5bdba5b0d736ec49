"""Generate the API reference, and add the page of the benchmarks if they have been run."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "airflow_provider_flowruns"
BENCHMARKS = "benchmarks.md"
SECTION = "Reference"

#: The pages of the reference, each with its modules, or packages with all their modules.
REFERENCE = {
    "Hooks": ["hooks"],
    "Sensors": ["sensors"],
    "Operators": ["operators"],
    "Triggers": ["triggers"],
    "Links and notifications": ["links", "notifications"],
    "Exceptions": ["exceptions"],
    "Runs and other records": [
        "model.runs",
        "model.extractions",
        "model.targets",
        "model.calls",
        "model.quality",
        "model.quality_limits",
    ],
    "Waiting": ["polling"],
    "Services": ["services.info", "services.base", "services.portable", "services.activepieces", "services.tableflow"],
    "Sandbox": ["sandbox", "pytest_plugin"],
}


def on_config(config: Any) -> Any:
    """Add the pages to the section *Reference* of the navigation."""
    (pages,) = [section[SECTION] for section in config.nav if SECTION in section]
    pages += [{title: _get_path(title)} for title in REFERENCE if _list_page_modules(title)]
    if Path(config.docs_dir, BENCHMARKS).exists():
        pages.append({"Benchmarks": BENCHMARKS})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Write the pages of the reference."""
    for title in REFERENCE:
        if modules := _list_page_modules(title):
            entries = "\n\n".join(_build_entry(module) for module in modules)
            files.append(File.generated(config, _get_path(title), content=f"# {title}\n\n{entries}\n"))
    return files


def _get_path(title: str) -> str:
    return f"reference/{title.lower().replace(' ', '-')}.md"


def _list_page_modules(title: str) -> list[str]:
    return [module for name in REFERENCE[title] for module in _list_modules(name)]


def _list_modules(name: str) -> list[str]:
    """Return a module, or the modules of a package that define a class. The sandbox exports its public names itself."""
    path = ROOT.joinpath(PACKAGE, *name.split("."))
    if path.with_suffix(".py").exists() or name == "sandbox":
        return [name]
    return [f"{name}.{one.stem}" for one in sorted(path.glob("[!_]*.py")) if _defines_class(one)]


def _defines_class(path: Path) -> bool:
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    return any(isinstance(node, ast.ClassDef) and not node.name.startswith("_") for node in nodes)


def _build_entry(module: str) -> str:
    return f"## {module}\n\n::: {PACKAGE}.{module}\n    options:\n      heading_level: 3"
