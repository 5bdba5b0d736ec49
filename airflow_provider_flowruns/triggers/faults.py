"""What is said of an exception that none of our own errors stands for."""

from __future__ import annotations

import traceback


def describe_fault(error: Exception) -> str:
    """Return a sentence about a fault of this package: its class and place only, since its words may hold a token.

    :param error: the exception.
    """
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        "this is a fault of airflow-provider-flowruns, please report it: "
        f"{type(error).__name__} in {place.filename}, line {place.lineno}"
    )
