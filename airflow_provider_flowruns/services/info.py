"""The entry of a service: its facts, from which forms, hook names, checks and tables are derived.

Airflow reads it when it starts, so this module imports next to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_flowruns.model.errors import (
    ApiError,
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    UnexpectedResponseError,
)
from airflow_provider_flowruns.services.auth import Auth

_CHECK_HOST = "check the connection's host: it must be the API's base URL"
#: Errors whose remedy is the same for every service and every request.
_COMMON_HINTS: Mapping[type[ApiError], str] = {
    RateLimitError: "raise the interval of the waits on this connection, or run fewer tasks at a time",
    UnexpectedResponseError: _CHECK_HOST,
}
_WEBHOOK_LOGIN = (
    "the flow's webhook trigger asks for authentication: set webhook_username and webhook_password, or "
    "webhook_header_name and webhook_header_secret, in the connection's extra fields"
)
#: Errors of a webhook, to which neither the token nor the project matters.
_WEBHOOK_HINTS: Mapping[type[ApiError], str] = {
    **_COMMON_HINTS,
    AuthenticationError: _WEBHOOK_LOGIN,
    PermissionDeniedError: _WEBHOOK_LOGIN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionField:
    """A field of a connection's form that is stored in its extra.

    :param name: key in the extra.
    :param label: name in the form.
    :param description: what to put there.
    :param json_type: ``string`` or ``object``, as in JSON Schema.
    :param is_secret: whether the form, logs and messages hide its value.
    """

    name: str
    label: str
    description: str
    json_type: str = "string"
    is_secret: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the field for Airflow's form; no field is mandatory."""
        schema: dict[str, Any] = {"type": [self.json_type, "null"]}
        return {**schema, "format": "password"} if self.is_secret else schema


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberField(ConnectionField):
    """A field that holds a number above 0.

    :param default: number that an empty field stands for.
    :param maximum: largest number that is accepted.
    """

    default: float
    maximum: float

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the field for Airflow's form."""
        # The form knows no exclusive minimum. Less than 1 works, but has to be set elsewhere.
        return {"type": ["number", "null"], "minimum": 1, "maximum": self.maximum}


def _build_number_field(name: str, label: str, text: str, *, default: float, maximum: float) -> NumberField:
    description = f"{text}, at most {maximum:g}; {default:g} if empty."
    return NumberField(name=name, label=label, description=description, default=default, maximum=maximum)


TIMEOUT = _build_number_field(
    "timeout", "Timeout", "Seconds for one request and its whole response", default=30.0, maximum=600.0
)
MAX_RESPONSE_MB = _build_number_field(
    "max_response_mb", "Largest response (MiB)", "A larger response is refused", default=32.0, maximum=1024.0
)
#: Fields that the connections of all services have, behind those of their own.
COMMON_FIELDS = (
    TIMEOUT,
    ConnectionField(
        name="verify",
        label="Verify TLS",
        description="true, false or the path of a CA file or folder; true if empty.",
    ),
    ConnectionField(
        name="proxies",
        label="Proxies",
        description='JSON object of scheme to proxy URL, such as {"https": "http://proxy:3128"}; '
        "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY if empty.",
        json_type="object",
    ),
    ConnectionField(
        name="headers",
        label="Headers",
        description='JSON object of headers to send wherever the token is sent, such as {"X-Team": "data"}.',
        json_type="object",
    ),
    MAX_RESPONSE_MB,
)
#: Fields of services whose flows are started by webhooks: credentials for these, never the API token.
WEBHOOK_FIELDS = (
    ConnectionField(
        name="webhook_username",
        label="Webhook user name",
        description="For flows whose webhook trigger asks for Basic authentication.",
    ),
    ConnectionField(
        name="webhook_password",
        label="Webhook password",
        description="Belongs to the webhook user name.",
        is_secret=True,
    ),
    ConnectionField(
        name="webhook_header_name",
        label="Webhook header name",
        description="For flows whose webhook trigger asks for Header authentication.",
    ),
    ConnectionField(
        name="webhook_header_secret",
        label="Webhook header value",
        description="Belongs to the webhook header name; never the API token.",
        is_secret=True,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceInfo:
    """The one entry of a service.

    :param name: connection type and registry key, e.g. ``portable``.
    :param title: the name people know, for messages and forms.
    :param docs_url: address of the API's documentation.
    :param default_url: base URL for a connection without a host; None when each installation has its own.
    :param url_suffixes: ends of a path that users paste behind the base URL, longest first; they are cut off.
    :param auth: how requests are authenticated.
    :param hook_class: dotted path of the hook's class.
    :param operators_module: dotted path of the module with the operators, empty when there is none.
    :param sensors_module: dotted path of the module with the sensors, empty when there is none.
    :param own_fields: fields of the connection that only this service has.
    :param hints: what to do about an error, by error class.
    :param not_found_grace: seconds for which a new run's 404 may still turn into a response (eventual consistency).
    :param appear_within: seconds for which a run that was started may be missing from lists.
    :param no_run_hint: why no run may result from a start that was accepted, and what to do.
    :param min_batch_size: minimum number of targets for which one batch request is cheaper than single requests.
    :param can_cancel: whether the API can cancel a run, if not in every state.
    :param can_pause: whether a run may pause until someone continues it.
    :param names_its_runs: whether the response to a start holds the run's id; for the documentation.
    :param takes_payload: whether a start takes JSON as its input.
    :param takes_files: whether a start takes files as its input, and needs them.
    :param has_webhooks: whether flows are started by webhooks, which may ask for credentials of their own.
    :param batches_by_id: whether one request can read several runs by id; else a batch reads a list.
    :param key_of_single_read: key of ``details`` that is empty in a run from a list, and filled if the run was read by
        its id; None where both show the same.
    """

    name: str
    title: str
    docs_url: str
    auth: Auth
    hook_class: str
    default_url: str | None = None
    url_suffixes: tuple[str, ...] = ()
    operators_module: str = ""
    sensors_module: str = ""
    own_fields: tuple[ConnectionField, ...] = ()
    hints: Mapping[type[ApiError], str] = field(default_factory=dict)
    not_found_grace: float = 0.0
    appear_within: float = 60.0
    no_run_hint: str = ""
    min_batch_size: int = 2
    can_cancel: bool = False
    can_pause: bool = False
    names_its_runs: bool = False
    takes_payload: bool = False
    takes_files: bool = False
    has_webhooks: bool = False
    batches_by_id: bool = False
    key_of_single_read: str | None = None

    @property
    def fields(self) -> tuple[ConnectionField, ...]:
        """All fields in the extra of a connection, in the order of the form."""
        return (*self.own_fields, *(WEBHOOK_FIELDS if self.has_webhooks else ()), *COMMON_FIELDS)

    @property
    def conn_id_argument(self) -> str:
        """Name of the argument of hook, sensors and operators that takes the connection's id."""
        return f"{self.name}_conn_id"

    @property
    def default_conn_id(self) -> str:
        """Id of the connection that is used when none is named."""
        return f"{self.name}_default"

    def get_hint(self, error: type[ApiError], *, with_token: bool = True, names: str | None = None) -> str | None:
        """Return what to do about an error of a request, None when there is nothing to say.

        :param error: class of the error.
        :param with_token: whether the token was sent.
        :param names: what the request's id is the id of, see :class:`model.calls.Request`.
        """
        if not with_token:
            return _WEBHOOK_HINTS.get(error)
        if error is NotFoundError and names == "":
            return _CHECK_HOST
        if error is NotFoundError and names == "project":
            return "check the connection's project_id and host"
        return self.hints.get(error) or _COMMON_HINTS.get(error)
