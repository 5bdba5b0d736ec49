"""The services that are known by name: our own, and those of other packages.

Another package registers its service class by an entry point of the group ``airflow_provider_flowruns.services`` whose
name is the service's.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from airflow_provider_flowruns.model.errors import ConfigurationError, InvalidArgumentError
from airflow_provider_flowruns.services.parsing import describe_value

if TYPE_CHECKING:
    from airflow_provider_flowruns.services.base import Service

ENTRY_POINT_GROUP = "airflow_provider_flowruns.services"

#: Classes of our own services; the module of each has the service's name, and is imported when it is asked for.
_OWN = {"portable": "PortableApi", "activepieces": "ActivepiecesApi", "tableflow": "TableFlowApi"}
_loaded: dict[str, type[Service]] = {}


def get_service(name: str) -> type[Service]:
    """Return the service that is registered under a name.

    Only a name that is new to this process is looked up among the installed packages.

    :param name: connection type of the service.
    :raises InvalidArgumentError: no installed package registers it.
    :raises ConfigurationError: a package registers it, but not as it should.
    """
    service = _loaded.get(name) if isinstance(name, str) else None
    if service is None:
        service = _loaded[name] = _load_service(name)
    return service


def list_service_names() -> tuple[str, ...]:
    """Return the names of our own services and, after them, of those that other packages register."""
    others = {point.name for point in entry_points(group=ENTRY_POINT_GROUP)}
    return (*_OWN, *sorted(others - {*_OWN}))


def _load_service(name: str) -> type[Service]:
    if isinstance(name, str) and name in _OWN:
        return cast("type[Service]", getattr(import_module(f"airflow_provider_flowruns.services.{name}"), _OWN[name]))
    points = [point for point in entry_points(group=ENTRY_POINT_GROUP) if point.name == name]
    if not points:
        raise InvalidArgumentError(
            f"service must be one of {', '.join(list_service_names())}, got {describe_value(name)}; "
            "the package of any other service must be installed here"
        )
    point = points[0]
    service = point.load()
    found = getattr(getattr(service, "info", None), "name", None)
    if found != point.name:
        raise ConfigurationError(
            f"entry point {point.name!r} of group {ENTRY_POINT_GROUP!r} must name a service class whose info.name is "
            f"{point.name!r}; {point.value} has {found!r}"
        )
    return cast("type[Service]", service)
