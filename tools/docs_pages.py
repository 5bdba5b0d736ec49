"""Generate the API reference, and add the page of the benchmarks if they have been run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "airflow_provider_flowruns"
BENCHMARKS = {"Benchmarks": "benchmarks.md", "Benchmarks in a triggerer": "benchmarks-triggerer.md"}
#: Weight of a page in a search, by how its path begins: many pages name an argument, and few explain it.
RANKS = {"waiting": 3.0, "changelog": 0.3, "cookbook/": 0.3, "reference/": 0.3}


class Page(NamedTuple):
    """A page of the reference.

    :param section: where it stands in the navigation.
    :param introduction: what it says first.
    :param modules: what it shows.
    :param has_members: False to show only the arguments of the classes.
    """

    section: str
    introduction: str
    modules: tuple[str, ...]
    has_members: bool = True


#: The pages. What is on none of them is internal, and may change in any release.
PAGES = {
    "Hooks": Page(
        "Reference",
        "One method for each call. A hook is a context manager that closes its HTTP connections.",
        ("hooks.portable", "hooks.activepieces", "hooks.tableflow"),
    ),
    "Sensors": Page(
        "Reference",
        "The arguments that all sensors share are those of `FlowRunSensor` and `FlowSensor`, at the end.",
        ("sensors.portable", "sensors.activepieces", "sensors.tableflow", "sensors.base"),
        has_members=False,
    ),
    "Operators": Page(
        "Reference",
        "The arguments that several operators share are those of their base classes, most of them at the end.",
        (
            "operators.portable",
            "operators.activepieces",
            "operators.activepieces_outputs",
            "operators.tableflow",
            "operators.tableflow_extractions",
            "operators.quality",
            "operators.run",
            "operators.history",
            "operators.flows",
            "operators.base",
        ),
        has_members=False,
    ),
    "Triggers": Page(
        "Reference", "For [asset watchers](../assets.md).", ("triggers.flow_run_finished",), has_members=False
    ),
    "Links and notifications": Page(
        "Reference",
        "The button on a task, and a notifier for callbacks.",
        ("links", "notifications.flow_run"),
        has_members=False,
    ),
    "Exceptions": Page(
        "Reference", "What to do about each is on the page about [errors](../errors.md).", ("exceptions",)
    ),
    "Runs and other records": Page(
        "Reference",
        "What hooks return. Sensors and operators return the same as plain JSON, see "
        "[what a summary holds](../summary.md).",
        ("model.runs", "model.extractions", "model.steps", "model.quality", "model.quality_limits"),
    ),
    "Sandbox": Page(
        "Reference",
        "How to use it in tests is on the page about [testing your DAGs](../testing.md).",
        ("sandbox", "pytest_plugin"),
    ),
    "Classes for services": Page(
        "Contribute",
        "For authors of [a package for another service](../adding-a-service.md).",
        (
            "hooks.base",
            "services.info",
            "services.auth",
            "services.base",
            "services.parsing",
            "services.validation",
            "model.targets",
            "model.calls",
            "sandbox.plain_service",
            "testing.adapter",
            "testing.conformance",
        ),
    ),
}


def on_config(config: Any) -> Any:
    """Add the pages to the sections of the navigation, before the last page of a section."""
    sections = {title: pages for section in config.nav for title, pages in section.items()}
    for title, page in PAGES.items():
        sections[page.section].insert(-1, {title: _get_path(title)})
    for title, name in BENCHMARKS.items():
        if Path(config.docs_dir, name).exists():
            sections["Reference"].insert(-1, {title: name})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Write the pages of the reference."""
    for title, page in PAGES.items():
        content = "\n\n".join([f"# {title}", page.introduction, *_build_entries(page)])
        files.append(File.generated(config, _get_path(title), content=f"{content}\n"))
    return files


def on_page_markdown(markdown: str, page: Any, **kwargs: Any) -> None:
    """Set the weight of a page in a search."""
    for beginning, rank in RANKS.items():
        if page.file.src_uri.startswith(beginning):
            page.meta["search"] = {"boost": rank}


def _get_path(title: str) -> str:
    return f"reference/{title.lower().replace(' ', '-')}.md"


def _build_entries(page: Page) -> Iterator[str]:
    for module in page.modules:
        yield f"## {module}\n\nImport path: `{PACKAGE}.{module}`"
        classes, has_exports = _list_classes(module)
        if not classes or (has_exports and page.has_members):  # functions, or classes that are defined elsewhere
            yield _build_entry(module, {})
            continue
        options = {"show_root_heading": True, "show_root_toc_entry": True, "show_root_full_path": False}
        if not page.has_members:
            options["members"] = False
        yield from (_build_entry(f"{module}.{name}", options) for name in classes)


def _list_classes(module: str) -> tuple[list[str], bool]:
    """Return the public classes that a module defines, and whether it has an ``__all__``."""
    path = ROOT.joinpath(PACKAGE, *module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    classes = [node.name for node in nodes if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    return classes, any(isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__" for node in nodes)


def _build_entry(name: str, options: Mapping[str, bool]) -> str:
    """Return the entry of a module or a class."""
    lines = (f"      {option}: {str(value).lower()}" for option, value in options.items())
    return "\n".join([f"::: {PACKAGE}.{name}", "    options:", "      heading_level: 3", *lines])
