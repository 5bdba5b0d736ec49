"""How an unexpected exception is described to users."""

from __future__ import annotations

import traceback


def describe_fault(error: Exception) -> str:
    """Describe a bug of this package by its class and place only, because its text may contain a token.

    :param error: the exception.
    """
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        "this is a bug in airflow-provider-flowruns, please report it: "
        f"{type(error).__name__} in {place.filename}, line {place.lineno}"
    )
