"""What the page about troubleshooting quotes from logs is what the package logs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import airflow_provider_flowruns

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs" / "troubleshooting.md").read_text("utf-8")
#: Of the first cells of tables with this header, and of paragraphs that begin with a text of an error.
CELLS = [
    row.split(" | ")[0]
    for table in re.findall(
        r"^\| (?:The log(?:, or `doctor`,)?|It) says \|.*\n\|---.*\n((?:\|.*\n)+)", PAGE, flags=re.MULTILINE
    )
    for row in table.splitlines()
] + re.findall(r"^`FR.*", PAGE, flags=re.MULTILINE)
#: What Airflow, Python or OpenSSL says, not this package.
OF_OTHERS = [
    "Hostname mismatch",
    "IP address mismatch",
    "Invalid arguments were passed to",
    "No module named",
    "TaskDeferralError: Trigger failure",
    "Trigger failed:",
    "certificate has expired",
    "unable to get local issuer certificate",
]
#: The dots stand for what the package puts in, and so do codes and states; arguments are no texts.
VARIABLE = re.compile(r"\.\.\.|FR\d{3}:?|\b(?:404|401|403|429)\b|text/plain|PAUSED")


def list_texts() -> str:
    """Return all texts in the source of the package, one a line; what is put into them is left out."""
    texts: list[str] = []
    for path in Path(airflow_provider_flowruns.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value.replace("%s", "\n"))
    return "\n".join(texts)


def list_quoted() -> list[str]:
    """Return the parts of the quoted texts that stand in the source."""
    quoted = [quote for cell in CELLS for quote in re.findall(r"`([^`]+)`", cell)]
    parts = [part.strip(" :;,()") for quote in quoted if quote not in OF_OTHERS for part in VARIABLE.split(quote)]
    return sorted({part for part in parts if len(part) > 1 and part not in OF_OTHERS})


@pytest.fixture(scope="module")
def texts() -> str:
    return list_texts()


@pytest.mark.parametrize("part", list_quoted())
def test_the_package_has_the_text(part: str, texts: str) -> None:
    assert part in texts


def test_many_texts_are_quoted() -> None:
    assert len(list_quoted()) > 40
