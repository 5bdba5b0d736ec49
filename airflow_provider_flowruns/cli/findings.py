"""What a check of a connection found."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    #: Works, but the user should know something about it.
    NOTE = "note"
    PROBLEM = "PROBLEM"
    #: Not checked, because of an earlier problem or because it does not apply.
    SKIPPED = "-"


class Finding(NamedTuple):
    """The result of one check.

    :param subject: what was checked.
    :param status: how it ended.
    :param text: what was found, in one line.
    :param advice: what to do about it, empty if nothing.
    """

    subject: str
    status: Status
    text: str
    advice: str = ""


def find_problem(findings: list[Finding]) -> Finding | None:
    """Return the first problem, None if there is none.

    :param findings: the findings, in the order of the checks.
    """
    return next((finding for finding in findings if finding.status is Status.PROBLEM), None)
