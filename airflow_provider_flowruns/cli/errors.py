"""Errors of the commands themselves."""

from __future__ import annotations

from airflow_provider_flowruns.model.errors import FlowRunsError


class CommandError(FlowRunsError):
    """A command cannot do what it was asked for. The message says why and what to do."""

    #: It is the answer to a command that was typed, not a line to look up.
    code = ""
