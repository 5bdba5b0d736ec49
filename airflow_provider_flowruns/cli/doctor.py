"""The command ``doctor``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator

from airflow_provider_flowruns.cli import network_checks, service_checks
from airflow_provider_flowruns.cli.connections import open_hook
from airflow_provider_flowruns.cli.exit_codes import ExitCode
from airflow_provider_flowruns.cli.findings import Finding, Status, find_problem
from airflow_provider_flowruns.cli.output import print_line, print_table
from airflow_provider_flowruns.model.errors import FlowRunsError

FIELDS = "fields"


def show_findings(args: Namespace) -> int:
    """Check a connection, print the cause of the first problem in the first line, and then each check.

    :param args: the command's arguments.
    """
    findings = examine(args.conn_id)
    problem = find_problem(findings)
    if problem:
        print_line(f"{args.conn_id} does not work: {problem.subject}: {problem.text}")
    else:
        print_line(f"{args.conn_id} works")
    print_line("")
    print_table(("CHECK", "RESULT", "WHAT"), list(_build_rows(findings)))
    return ExitCode.ERROR if problem else ExitCode.OK


def examine(conn_id: str) -> list[Finding]:
    """Return what the checks of a connection found; those that an earlier problem rules out are skipped.

    :param conn_id: the connection's id.
    """
    try:
        hook = open_hook(conn_id)
        settings = hook.settings
    except FlowRunsError as error:
        return [Finding(FIELDS, Status.PROBLEM, str(error), "correct the connection")]
    with hook:
        findings = [Finding(FIELDS, Status.OK, f"type {hook.conn_type}, base URL {settings.base_url}")]
        findings += network_checks.check_network(settings)
        if find_problem(findings):
            rest = ", ".join(service_checks.SUBJECTS)
            findings.append(Finding(rest, Status.SKIPPED, "not checked because of this"))
        else:
            findings += service_checks.check_service(hook)
        findings += service_checks.check_webhooks(hook)
    return [finding._replace(text=settings.mask.text(finding.text)) for finding in findings]


def _build_rows(findings: list[Finding]) -> Iterator[list[str]]:
    for finding in findings:
        yield [finding.subject, finding.status, finding.text]
        if finding.advice:
            yield ["", "do:", finding.advice]
