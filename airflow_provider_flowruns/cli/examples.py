"""The command ``examples``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import airflow_provider_flowruns
from airflow_provider_flowruns.cli.errors import CommandError
from airflow_provider_flowruns.cli.exit_codes import ExitCode
from airflow_provider_flowruns.cli.output import print_line

_FOLDER = "example_dags"


def copy_examples(args: Namespace) -> int:
    """Copy the example DAGs into a folder; a file that is there with another content is kept, and nothing is copied.

    :param args: the command's arguments.
    """
    sources, folder = find_examples(), Path(args.folder)
    changed = [path.name for path in sources if (folder / path.name).exists() and not _is_same(path, folder)]
    if changed:
        raise CommandError(
            f"nothing was copied: {folder} already has {', '.join(changed)} with another content; name another folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in sources:
            (folder / path.name).write_bytes(path.read_bytes())
    except OSError as error:
        raise CommandError(f"cannot write to {folder}: {error.strerror}; name a folder that can be written") from None
    for path in sources:
        print_line(str(folder / path.name))
    return ExitCode.OK


def find_examples() -> list[Path]:
    """Return the example DAGs: a wheel has them within the package, a checkout beside it."""
    package = Path(airflow_provider_flowruns.__file__).parent
    within = package / _FOLDER
    return sorted((within if within.is_dir() else package.parent / _FOLDER).glob("*.py"))


def _is_same(path: Path, folder: Path) -> bool:
    copy = folder / path.name
    return copy.is_file() and copy.read_bytes() == path.read_bytes()
