"""The services this package knows. A fourth one is a module beside the others and an entry here."""

from __future__ import annotations

from airflow_provider_flowruns.services.activepieces import ActivepiecesApi
from airflow_provider_flowruns.services.base import Service
from airflow_provider_flowruns.services.portable import PortableApi
from airflow_provider_flowruns.services.tableflow import TableFlowApi

SERVICES: dict[str, type[Service]] = {cls.info.name: cls for cls in (PortableApi, ActivepiecesApi, TableFlowApi)}
