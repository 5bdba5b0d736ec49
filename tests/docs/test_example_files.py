"""The example DAGs write temporary files where the machine wants them, so that whoever runs them can remove them."""

from __future__ import annotations

from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "example_dags").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_no_example_names_a_temporary_folder(path: Path) -> None:
    assert "/tmp" not in path.read_text("utf-8")
