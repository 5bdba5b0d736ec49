"""Prefect's entry. Airflow reads it when it starts, so this module imports nothing else."""

from __future__ import annotations

from airflow_provider_flowruns.get_provider_info import build_provider_info
from airflow_provider_flowruns.model.errors import AuthenticationError, NotFoundError, PermissionDeniedError
from airflow_provider_flowruns.services.auth import encode_basic_auth
from airflow_provider_flowruns.services.info import ServiceInfo


class PrefectAuth:
    """Prefect Cloud takes an API key; a server of one's own takes user name and password, or nothing."""

    hint = "API key of Prefect Cloud, or the password of a server; empty if the server has none"
    header = "Authorization"
    uses_login = True
    needs_login = needs_password = False

    def build_header_value(self, login: str, password: str) -> str:
        """Return the value of the header: Basic for a server's user, else Bearer for an API key."""
        return encode_basic_auth(login, password) if login else f"Bearer {password}"


PREFECT = ServiceInfo(
    name="prefect",
    title="Prefect",
    docs_url="https://docs.prefect.io/v3/api-ref/rest-api",
    # "/api" is where a server of one's own has it; the address of Prefect Cloud goes on with account and workspace.
    url_suffixes=("/api",),
    auth=PrefectAuth(),
    hook_class="airflow_provider_flowruns_prefect.hooks.PrefectHook",
    operators_module="airflow_provider_flowruns_prefect.operators",
    sensors_module="airflow_provider_flowruns_prefect.sensors",
    hints={
        AuthenticationError: "put an API key into the password or, for a server of your own, its user into the login",
        PermissionDeniedError: "the API key may not do this in the workspace that the connection's host names",
        NotFoundError: "the id must belong to the server, or workspace, that the connection's host names",
    },
    can_cancel=True,
    can_pause=True,
    takes_payload=True,
    batches_by_id=True,
)


def get_provider_info() -> dict[str, object]:
    """Return the package's metadata for Airflow."""
    return build_provider_info(
        PREFECT,
        package_name="airflow-provider-flowruns-prefect",
        name="Prefect flow runs",
        description="Runs Prefect deployments, waits for their flow runs and reads their history.",
    )
