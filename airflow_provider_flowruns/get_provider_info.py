"""What Airflow reads to know this package. Imported in every Airflow process, so it imports nothing."""

_TITLES = {"portable": "Portable", "activepieces": "Activepieces", "tableflow": "TableFlow"}

_HOOKS = {"portable": "PortableHook", "activepieces": "ActivepiecesHook", "tableflow": "TableFlowHook"}

_SITES = {
    "portable": "https://developer.portable.io/",
    "activepieces": "https://www.activepieces.com/docs/endpoints/overview",
    "tableflow": "https://docs.tableflow.com/",
}

_DEFAULT_HOSTS = {
    "portable": "https://api.portable.io",
    "activepieces": "https://cloud.activepieces.com",
    "tableflow": "https://api.tableflow.com",
}

_TOKEN_HINTS = {
    "portable": "API token, made in the Portable web app",
    "activepieces": "API key (sk-...), or a user's token",
    "tableflow": "TableFlow API key",
}

_COMMON_FIELDS = {
    "timeout": {
        "label": "Timeout",
        "description": "Seconds for one whole request and its answer, at most 600; 30 if empty.",
        # The form reads minimum only, not exclusiveMinimum; less than a second still works when set elsewhere.
        "schema": {"type": ["number", "null"], "minimum": 1, "maximum": 600},
    },
    "verify": {
        "label": "Verify TLS",
        "description": "true, false or the path of a CA file or folder; true if empty.",
        "schema": {"type": ["string", "null"]},
    },
    "proxies": {
        "label": "Proxies",
        "description": 'JSON object of scheme to proxy URL, such as {"https": "http://proxy:3128"}; '
        "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY if empty.",
        "schema": {"type": ["object", "null"]},
    },
    "headers": {
        "label": "Headers",
        "description": 'JSON object of headers to send wherever the token is sent, such as {"X-Team": "data"}.',
        "schema": {"type": ["object", "null"]},
    },
    "max_response_mb": {
        "label": "Largest response (MiB)",
        "description": "An answer that is larger is refused, at most 1024; 32 if empty.",
        "schema": {"type": ["number", "null"], "minimum": 1, "maximum": 1024},
    },
}

_OWN_FIELDS = {
    "activepieces": {
        "project_id": {
            "label": "Project ID",
            "description": "21 letters and digits after /projects/ in the web app's address; needed to list and to "
            "start runs.",
            "schema": {"type": ["string", "null"]},
        },
        "webhook_username": {
            "label": "Webhook user name",
            "description": "For flows whose webhook trigger asks for Basic authentication.",
            "schema": {"type": ["string", "null"]},
        },
        "webhook_password": {
            "label": "Webhook password",
            "description": "Belongs to the webhook user name.",
            "schema": {"type": ["string", "null"], "format": "password"},
        },
        "webhook_header_name": {
            "label": "Webhook header name",
            "description": "For flows whose webhook trigger asks for Header authentication.",
            "schema": {"type": ["string", "null"]},
        },
        "webhook_header_secret": {
            "label": "Webhook header value",
            "description": "Belongs to the webhook header name; never the API token.",
            "schema": {"type": ["string", "null"], "format": "password"},
        },
    }
}

_OPTIONS = {
    "max_xcom_bytes": {
        "description": "Bytes of JSON that an operator puts into XCom at most when it lists runs.",
        "version_added": "0.1.0",
        "type": "integer",
        "example": "4194304",
        "default": "1048576",
    }
}


def get_provider_info() -> dict[str, object]:
    """Return the provider's metadata for Airflow."""
    return {
        "package-name": "airflow-provider-flowruns",
        "name": "Flow Runs",
        "description": "Waits for flow runs on Portable, Activepieces and TableFlow and reads their history.",
        "integrations": [
            {"integration-name": title, "external-doc-url": _SITES[kind], "tags": ["service"]}
            for kind, title in _TITLES.items()
        ],
        "hooks": _modules("hooks"),
        "operators": _modules("operators"),
        "sensors": _modules("sensors"),
        "triggers": [
            {"integration-name": title, "python-modules": ["airflow_provider_flowruns.triggers.flow_run"]}
            for title in _TITLES.values()
        ],
        "extra-links": ["airflow_provider_flowruns.links.FlowRunLink"],
        "notifications": ["airflow_provider_flowruns.notifications.flow_run.FlowRunNotifier"],
        "connection-types": [_connection_type(kind) for kind in _TITLES],
        "config": {
            "flowruns": {"description": "Flow runs of Portable, Activepieces and TableFlow.", "options": _OPTIONS}
        },
    }


def _modules(folder: str) -> list[dict[str, object]]:
    return [
        {"integration-name": title, "python-modules": [f"airflow_provider_flowruns.{folder}.{kind}"]}
        for kind, title in _TITLES.items()
    ]


def _connection_type(kind: str) -> dict[str, object]:
    return {
        "connection-type": kind,
        "hook-name": _TITLES[kind],
        "hook-class-name": f"airflow_provider_flowruns.hooks.{kind}.{_HOOKS[kind]}",
        "conn-fields": {**_OWN_FIELDS.get(kind, {}), **_COMMON_FIELDS},
        "ui-field-behaviour": {
            # The base URL says the scheme. It may say the port, too, but Airflow 3.3.1 and 3.3.2 refuse to test a
            # stored connection whose port is empty.
            "hidden-fields": ["login", "schema", "extra"],
            "relabeling": {"host": "Base URL", "port": "Port", "password": "API token"},
            "placeholders": {
                "host": f"{_DEFAULT_HOSTS[kind]} if empty",
                "port": "443; Airflow 3.3.1 and 3.3.2 need it for Test",
                "password": _TOKEN_HINTS[kind],
            },
        },
    }
