"""The services this package knows by name."""

from __future__ import annotations

from airflow_provider_flowruns.services.activepieces import ActivepiecesApi
from airflow_provider_flowruns.services.base import Service
from airflow_provider_flowruns.services.portable import PortableApi
from airflow_provider_flowruns.services.tableflow import TableFlowApi

_SERVICES: dict[str, type[Service]] = {cls.info.name: cls for cls in (PortableApi, ActivepiecesApi, TableFlowApi)}


def get_service(name: str) -> type[Service]:
    """Return the service that is registered under a name.

    :param name: connection type of the service.
    """
    return _SERVICES[name]


def list_service_names() -> tuple[str, ...]:
    """Return the names of all registered services."""
    return tuple(_SERVICES)
