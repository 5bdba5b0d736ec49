"""The package must be installed, and so must the one that it extends: ``make test-prefect`` does both."""

from __future__ import annotations

from airflow_provider_flowruns.services.registry import get_service

get_service("prefect")
