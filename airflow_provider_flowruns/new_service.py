"""Write the skeleton of a package for another service: ``python -m airflow_provider_flowruns.new_service NAME``.

The skeleton is ``examples/acme`` of the repository under another name, a complete package for an invented API: what is
tested and documented of one holds for the other.
"""

from __future__ import annotations

import re
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import airflow_provider_flowruns
from airflow_provider_flowruns.services.registry import list_service_names

_TEMPLATE_NAME = "acme"
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
#: A longer name would make lines of the skeleton too long.
_MAX_NAME_CHARS = 16


class SkeletonError(Exception):
    """The skeleton cannot be written. The message says what to do."""


def write_skeleton(name: str, folder: Path) -> list[Path]:
    """Write the skeleton of a package for a service, and return its files.

    :param name: name of the service and of its connection type, such as ``acme``.
    :param folder: folder to create; it must not exist.
    :raises SkeletonError: the name cannot be one or is in use, or the folder exists or cannot be written.
    """
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME_CHARS:
        raise SkeletonError(
            f"the name must be words of lower-case letters and digits with _ between them, at most {_MAX_NAME_CHARS} "
            f"characters, such as my_service; got {name!r}"
        )
    if name in list_service_names():
        raise SkeletonError(f"there is a service {name!r} already; choose another name")
    template = _find_template()
    written: list[Path] = []
    try:
        folder.mkdir(parents=True)
        for part in _list_parts(template):
            path = folder / _rename(str(part), name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_rename((template / part).read_text(), name))
            written.append(path)
    except FileExistsError:
        raise SkeletonError(f"{folder} exists; name another folder with --folder") from None
    except OSError as error:
        raise SkeletonError(f"cannot write to {folder}: {error.strerror}; name another folder with --folder") from None
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a skeleton as the command line says, and return the exit code.

    :param arguments: the arguments, by default those of the process.
    """
    parser = ArgumentParser(
        prog="python -m airflow_provider_flowruns.new_service",
        description="Write the skeleton of a package that adds a service, with its tests.",
    )
    parser.add_argument("name", metavar="NAME", help="name of the service and of its connection type, such as acme")
    parser.add_argument("--folder", help="folder to create; NAME-flowruns if not given")
    options = parser.parse_args(arguments)
    folder = Path(options.folder or f"{options.name.replace('_', '-')}-flowruns")
    try:
        files = write_skeleton(options.name, folder)
    except SkeletonError as error:
        parser.exit(2, f"{error}\n")
    sys.stdout.write("".join(f"{path}\n" for path in files))
    sys.stdout.write(f"Next: read {folder / 'README.md'}\n")
    return 0


def _find_template() -> Path:
    """Return the template: a wheel has it within the package, a checkout beside it."""
    package = Path(airflow_provider_flowruns.__file__).parent
    within = package / "service_template"
    return within if within.is_dir() else package.parent / "examples" / _TEMPLATE_NAME


def _list_parts(template: Path) -> list[Path]:
    """Return the files of the template, relative to it; without what tools have left there."""
    files = [path.relative_to(template) for suffix in ("py", "toml", "md") for path in template.rglob(f"*.{suffix}")]
    return sorted(path for path in files if not any(part.startswith(".") for part in path.parts))


def _rename(text: str, name: str) -> str:
    words = name.split("_")
    replacements = {
        f"{_TEMPLATE_NAME}.example.com": f"{'-'.join(words)}.example.com",
        f"{_TEMPLATE_NAME}-flowruns": f"{'-'.join(words)}-flowruns",
        _TEMPLATE_NAME.upper(): name.upper(),
        _TEMPLATE_NAME.title(): "".join(word.title() for word in words),
        _TEMPLATE_NAME: name,
    }
    for old, new in replacements.items():
        text = text.replace(old, new)
    return text


if __name__ == "__main__":
    sys.exit(main())
