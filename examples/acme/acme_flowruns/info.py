"""The service's entry. Airflow reads it when it starts, so this module imports nothing else."""

from airflow_provider_flowruns.get_provider_info import build_provider_info
from airflow_provider_flowruns.model.errors import AuthenticationError
from airflow_provider_flowruns.services.auth import HeaderAuth
from airflow_provider_flowruns.services.info import ConnectionField, ServiceInfo

ACME = ServiceInfo(
    name="acme",
    title="Acme",
    docs_url="https://acme.example.com/docs",
    default_url="https://api.acme.example.com",
    auth=HeaderAuth("API key from the settings page", header="X-Api-Key"),
    hook_class="acme_flowruns.hooks.AcmeHook",
    operators_module="acme_flowruns.operators",
    sensors_module="acme_flowruns.sensors",
    own_fields=(ConnectionField(name="team", label="Team", description="Name of the team that owns the flows."),),
    hints={AuthenticationError: "put an API key of Acme in the connection's password"},
    can_cancel=True,
    takes_payload=True,
)


def get_provider_info() -> dict[str, object]:
    """Return the package's metadata for Airflow."""
    return build_provider_info(
        ACME,
        package_name="acme-flowruns",
        name="Acme flow runs",
        description="Runs flows on Acme and waits for them.",
    )
