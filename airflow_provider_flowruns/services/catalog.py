"""The entries of the services that come with this package. Airflow reads them when it starts."""

from __future__ import annotations

from airflow_provider_flowruns.model.errors import AuthenticationError, NotFoundError, PermissionDeniedError
from airflow_provider_flowruns.services.auth import BearerAuth
from airflow_provider_flowruns.services.info import ConnectionField, ServiceInfo

PORTABLE = ServiceInfo(
    name="portable",
    title="Portable",
    docs_url="https://developer.portable.io/",
    default_url="https://api.portable.io",
    url_suffixes=("/v2",),
    auth=BearerAuth("API token, made in the Portable web app"),
    hook_class="airflow_provider_flowruns.hooks.portable.PortableHook",
    operators_module="airflow_provider_flowruns.operators.portable",
    sensors_module="airflow_provider_flowruns.sensors.portable",
    hints={
        AuthenticationError: "put a valid Portable API token in the connection's password",
        PermissionDeniedError: "the Portable plan of this account does not include the API, or not this object",
        NotFoundError: "the id is printed under its name in Portable; it must belong to this account",
    },
    appear_within=180.0,
    no_run_hint="Portable may have ignored the start because the flow was running by then",
    # A single run, too, is found in the list of its flow's attempts.
    min_batch_size=1,
    can_cancel=True,
)

ACTIVEPIECES = ServiceInfo(
    name="activepieces",
    title="Activepieces",
    docs_url="https://www.activepieces.com/docs/endpoints/overview",
    default_url="https://cloud.activepieces.com",
    url_suffixes=("/api/v1", "/api"),
    auth=BearerAuth("API key (sk-...), or a user's token"),
    hook_class="airflow_provider_flowruns.hooks.activepieces.ActivepiecesHook",
    operators_module="airflow_provider_flowruns.operators.activepieces",
    sensors_module="airflow_provider_flowruns.sensors.activepieces",
    own_fields=(
        ConnectionField(
            name="project_id",
            label="Project ID",
            description="21 letters and digits after /projects/ in the web app's address; needed to list and to "
            "start runs.",
        ),
    ),
    hints={
        AuthenticationError: "put a valid API key (sk-...) in the password; a user's token lasts 7 days",
        PermissionDeniedError: "the token has expired or may not see this project; check password and project_id",
        NotFoundError: "the id must belong to the project, and the connection's host an Activepieces server",
    },
    # A new run is saved by a queue: its id may be unknown for a while after the server has returned it.
    not_found_grace=120.0,
    appear_within=180.0,
    no_run_hint=(
        "the flow's webhook trigger may ask for authentication (put it into the connection's extra fields: "
        "webhook_username and webhook_password, or webhook_header_name and webhook_header_secret), its queue may "
        "be busy, or the flow may have been disabled"
    ),
    can_cancel=True,
    can_pause=True,
    takes_payload=True,
    has_webhooks=True,
    batches_by_id=True,
)

TABLEFLOW = ServiceInfo(
    name="tableflow",
    title="TableFlow",
    docs_url="https://docs.tableflow.com/",
    default_url="https://api.tableflow.com",
    url_suffixes=("/v2",),
    auth=BearerAuth("TableFlow API key"),
    hook_class="airflow_provider_flowruns.hooks.tableflow.TableFlowHook",
    operators_module="airflow_provider_flowruns.operators.tableflow",
    sensors_module="airflow_provider_flowruns.sensors.tableflow",
    hints={
        AuthenticationError: "put an API key from TableFlow's workspace settings in the connection's password",
        PermissionDeniedError: "the API key may not do this; check which workspace it belongs to",
        NotFoundError: "the id must belong to the workspace of this API key",
    },
    # The list has the runs of all flows: for a few runs it contains mostly others.
    min_batch_size=5,
    can_pause=True,
    names_its_runs=True,
    takes_files=True,
    key_of_single_read="flow_name",
)

#: In the order in which Airflow and the docs list them.
CATALOG = (PORTABLE, ACTIVEPIECES, TABLEFLOW)
