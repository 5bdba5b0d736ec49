"""Checks of a service by one read-only request: address, token, plan, clock and project."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_provider_flowruns.cli.findings import Finding, Status
from airflow_provider_flowruns.cli.network_checks import PROXY
from airflow_provider_flowruns.cli.output import format_duration
from airflow_provider_flowruns.client.retry import ONCE
from airflow_provider_flowruns.client.vendor_clock import WARN_OFFSET_SECONDS, VendorClock
from airflow_provider_flowruns.hooks.base import FlowRunsHook
from airflow_provider_flowruns.model.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    FlowRunsError,
    NotFoundError,
    PermissionDeniedError,
    ServiceConnectionError,
    UnexpectedResponseError,
)

#: Subjects of the checks; those of every service in their order.
REQUEST, PROJECT, WEBHOOKS = "request", "project", "webhooks"
ADDRESS, TOKEN, PLAN, CLOCK = SUBJECTS = ("address", "token", "plan", "clock")
_PROJECT_FIELD = "project_id"


def check_service(hook: FlowRunsHook[Any]) -> list[Finding]:
    """Check what a service says to one read-only request, and what its response shows of its clock.

    :param hook: the hook for the connection.
    """
    try:
        said = hook.client.execute(hook.api.check(), ONCE)
    except FlowRunsError as error:
        return [*_explain_error(hook, error), _check_clock(hook.client.vendor_clock)]
    return [
        Finding(ADDRESS, Status.OK, f"{hook.settings.base_url} responds as {hook.info.title}"),
        Finding(TOKEN, Status.OK, "accepted"),
        Finding(PLAN, Status.OK, said),
        *_check_project(hook),
        _check_clock(hook.client.vendor_clock),
    ]


def check_webhooks(hook: FlowRunsHook[Any]) -> list[Finding]:
    """Say which credentials are sent to webhooks. Only a start would show whether a flow accepts them.

    :param hook: the hook for the connection.
    """
    if not hook.info.has_webhooks:
        return []
    names = ", ".join(hook.settings.webhook_headers)
    text = f"sent to webhooks: the header {names}" if names else "none: right for flows that ask for none"
    return [Finding(WEBHOOKS, Status.OK if names else Status.NOTE, text)]


def _explain_error(hook: FlowRunsHook[Any], error: FlowRunsError) -> Iterator[Finding]:
    """Yield what an error says about address, token and plan."""
    if not isinstance(error, ApiError):
        has_project = isinstance(error, ConfigurationError) and _has_project(hook)
        yield Finding(PROJECT if has_project else REQUEST, Status.PROBLEM, str(error), _advise(hook, error))
        return
    subject = _classify(hook, error)
    who = "the proxy" if subject == PROXY else hook.info.title
    text = f"{who} responded with {error.status}: {error.message}"
    if subject in {TOKEN, PLAN, PROJECT}:
        yield Finding(ADDRESS, Status.OK, f"{hook.settings.base_url} responds as {hook.info.title}")
    if subject in {PLAN, PROJECT}:
        yield Finding(TOKEN, Status.OK, "known to the service")
    if subject == REQUEST and isinstance(error, ServiceConnectionError):
        text = f"no response: {error.message}"
    yield Finding(subject, Status.PROBLEM, text, _advise(hook, error))


def _classify(hook: FlowRunsHook[Any], error: ApiError) -> str:
    """Return the subject that an error is about."""
    is_foreign = isinstance(error, UnexpectedResponseError) or "instead of JSON" in error.message
    if error.status == 407:
        return PROXY
    if is_foreign:
        return ADDRESS
    if isinstance(error, AuthenticationError):
        return TOKEN
    if isinstance(error, PermissionDeniedError):
        return PROJECT if _has_project(hook) and error.status == 403 else PLAN
    if isinstance(error, NotFoundError):
        return PROJECT if _has_project(hook) else ADDRESS
    return REQUEST


def _advise(hook: FlowRunsHook[Any], error: FlowRunsError) -> str:
    if not isinstance(error, ApiError):
        return f"correct connection {hook.conn_id!r}"
    if error.status == 407:
        return "put user and password into the address of the proxy: http://user:password@host:port"
    if isinstance(error, UnexpectedResponseError) and error.status is not None and 300 <= error.status < 400:
        return "put the address to which it redirects into the connection's host, if that is the API's"
    if _classify(hook, error) == ADDRESS:
        default = f", {hook.info.default_url} for the cloud" if hook.info.default_url else ""
        return f"correct the connection's host: it must be the base URL of the API{default}"
    if _classify(hook, error) == PROJECT:
        return f"correct extra '{_PROJECT_FIELD}' of the connection, or use a token of that project"
    return hook.info.get_hint(type(error)) or "try again later, or ask whoever runs the service"


def _has_project(hook: FlowRunsHook[Any]) -> bool:
    return any(field.name == _PROJECT_FIELD for field in hook.info.own_fields)


def _check_project(hook: FlowRunsHook[Any]) -> Iterator[Finding]:
    if not _has_project(hook):
        return
    try:
        hook.api.list_flows()  # only describes a request, and says if it needs a project
    except ConfigurationError as error:
        yield Finding(PROJECT, Status.PROBLEM, str(error), f"set extra '{_PROJECT_FIELD}' of the connection")
    else:
        yield Finding(PROJECT, Status.OK, "set, and the token may see it")


def _check_clock(clock: VendorClock) -> Finding:
    if clock.range_at(0.0) is None:
        return Finding(CLOCK, Status.SKIPPED, "not measured: no response showed the service's time")
    offset = clock.offset_seconds
    if abs(offset) <= WARN_OFFSET_SECONDS:
        return Finding(CLOCK, Status.OK, f"the service's clock agrees with this machine's to {WARN_OFFSET_SECONDS:g} s")
    direction = "ahead of" if offset > 0 else "behind"
    return Finding(
        CLOCK,
        Status.PROBLEM,
        f"the service's clock is {format_duration(round(abs(offset)))} {direction} this machine's",
        "synchronize the clock that is wrong; until then guards are compared on the service's clock, but deadlines and "
        "certificates depend on this machine's",
    )
