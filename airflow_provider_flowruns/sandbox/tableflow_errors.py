"""Errors of the TableFlow API: each has a short name and a message."""

from __future__ import annotations

from typing import NoReturn

from airflow_provider_flowruns.sandbox.responses import ApiError


def raise_unauthorized() -> NoReturn:
    """Reject a request whose token is missing or wrong."""
    raise ApiError(401, {"error": "Unauthorized", "message": "The API key is missing or not valid"})


def raise_not_found(message: str) -> NoReturn:
    """Reject a request for something that does not exist."""
    raise ApiError(404, {"error": "Not Found", "message": message})


def raise_bad_request(message: str) -> NoReturn:
    """Reject a request with an invalid parameter or form."""
    raise ApiError(400, {"error": "Bad Request", "message": message})
