"""The package's metadata for Airflow. Every Airflow process imports it, so it imports next to nothing."""

from __future__ import annotations

from airflow_provider_flowruns.services.catalog import CATALOG
from airflow_provider_flowruns.services.info import ServiceInfo

#: Largest result in XCom, in bytes of JSON, unless ``[flowruns] max_xcom_bytes`` says otherwise.
DEFAULT_MAX_XCOM_BYTES = 2**20

#: Operators for the runs of every service.
_QUALITY_OPERATORS = "airflow_provider_flowruns.operators.quality"

_OPTIONS = {
    "max_xcom_bytes": {
        "description": "Maximum size of what an operator reads into XCom, in bytes of JSON.",
        "version_added": "0.1.0",
        "type": "integer",
        "example": "4194304",
        "default": str(DEFAULT_MAX_XCOM_BYTES),
    },
    "page": {
        "description": "Show the page Flow runs in the UI of Airflow 3.1 and newer.",
        "version_added": "0.1.0",
        "type": "boolean",
        "example": "False",
        "default": "True",
    },
}


def get_provider_info() -> dict[str, object]:
    """Return the provider's metadata for Airflow."""
    return {
        **build_provider_info(
            *CATALOG,
            package_name="airflow-provider-flowruns",
            name="Flow Runs",
            description="Waits for flow runs on Portable, Activepieces and TableFlow and reads their history.",
        ),
        "operators": [
            {"integration-name": info.title, "python-modules": [info.operators_module, _QUALITY_OPERATORS]}
            for info in CATALOG
        ],
        "triggers": [
            {"integration-name": info.title, "python-modules": ["airflow_provider_flowruns.triggers.flow_run"]}
            for info in CATALOG
        ],
        "extra-links": ["airflow_provider_flowruns.links.FlowRunLink"],
        "notifications": ["airflow_provider_flowruns.notifications.flow_run.FlowRunNotifier"],
        # Airflow 3.2 and newer add these to their command line, older ones skip the entry.
        "cli": ["airflow_provider_flowruns.cli.airflow_commands.get_commands"],
        "config": {
            "flowruns": {"description": "Flow runs of Portable, Activepieces and TableFlow.", "options": _OPTIONS}
        },
    }


def build_provider_info(*infos: ServiceInfo, package_name: str, name: str, description: str) -> dict[str, object]:
    """Return the metadata of a package that brings services, for its own ``get_provider_info``.

    The positional arguments are the entries of its services.

    :param package_name: name of its distribution.
    :param name: title of the package.
    :param description: its purpose in a sentence.
    """
    modules = {
        "hooks": {info.title: info.hook_class.rpartition(".")[0] for info in infos},
        "operators": {info.title: info.operators_module for info in infos if info.operators_module},
        "sensors": {info.title: info.sensors_module for info in infos if info.sensors_module},
    }
    return {
        "package-name": package_name,
        "name": name,
        "description": description,
        "integrations": [
            {"integration-name": info.title, "external-doc-url": info.docs_url, "tags": ["service"]} for info in infos
        ],
        **{
            kind: [{"integration-name": title, "python-modules": [module]} for title, module in by_title.items()]
            for kind, by_title in modules.items()
            if by_title
        },
        "connection-types": [build_connection_type(info) for info in infos],
    }


def build_connection_type(info: ServiceInfo) -> dict[str, object]:
    """Return the metadata of a service's connection type: its hook and its form.

    :param info: the service.
    """
    login, logins = ({"login": "User name"}, []) if info.auth.uses_login else ({}, ["login"])
    return {
        "connection-type": info.name,
        "hook-name": info.title,
        "hook-class-name": info.hook_class,
        "conn-fields": {
            field.name: {"label": field.label, "description": field.description, "schema": field.schema}
            for field in info.fields
        },
        "ui-field-behaviour": {
            # The base URL says the scheme. It may say the port, too, but Airflow 3.3.1 and 3.3.2 refuse to test a
            # stored connection whose port is empty.
            "hidden-fields": [*logins, "schema", "extra"],
            "relabeling": {
                "host": "Base URL",
                "port": "Port",
                **login,
                "password": "Password" if info.auth.uses_login else "API token",
            },
            "placeholders": {
                "host": f"{info.default_url} if empty" if info.default_url else "https://flows.example.com",
                "port": "443; Airflow 3.3.1 and 3.3.2 need it for Test",
                **dict.fromkeys(login, "user name of the service"),
                "password": info.auth.hint,
            },
        },
    }
