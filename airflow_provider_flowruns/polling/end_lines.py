"""What a task says before it fails: how its wait ended, the service's errors, and what to do, a line each."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_provider_flowruns.model.errors import ApiError, CodedError, add_code, from_record
from airflow_provider_flowruns.model.runs import RunSummary
from airflow_provider_flowruns.polling.wait_state import Outcome, WaitResult
from airflow_provider_flowruns.polling.wording import split_lines

#: Where each code is explained.
ERRORS_PAGE = "https://github.com/airflow-provider-flowruns/airflow-provider-flowruns/blob/main/docs/errors.md"
#: Maximum number of the service's errors that have a line, and of characters of each.
MAX_ERRORS, MAX_ERROR_CHARS = 20, 1_000

_VERBS = {Outcome.FAILED: "failed", Outcome.CANCELED: "was cancelled"}


def explain_end(result: WaitResult, code: str) -> tuple[str, ...]:
    """Return the lines about a wait that did not succeed.

    :param result: the end of the wait.
    :param code: code of the error that is raised for it.
    """
    run = result.run
    errors = _list_errors(run) if run and result.outcome in _VERBS else []
    hint = ""
    error = from_record(result.error) if result.outcome is Outcome.REFUSED and result.error else None
    if errors and run and result.reason.startswith(_name(run)):
        headline = f"{_name_with_flow(run)} {_VERBS[result.outcome]}"
    elif isinstance(error, ApiError):
        headline, hint = _split_hint(str(error), error)
    else:
        headline, errors = result.reason, []
    return _build_lines(code, headline, errors, run["url"] if run else None, result.advice or hint)


def explain_error(error: CodedError) -> tuple[str, ...]:
    """Return the lines about an error that did not come out of a wait.

    :param error: the error.
    """
    headline, hint = str(error), ""
    if isinstance(error, ApiError):
        headline, hint = _split_hint(headline, error)
    return _build_lines(error.code, headline, (), None, hint)


def _split_hint(text: str, error: ApiError) -> tuple[str, str]:
    """Return an error's text without its hint, and the hint."""
    hint = error.hint or ""
    return (text.removesuffix(f" ({hint})"), hint) if hint and text.endswith(f" ({hint})") else (text, "")


def _build_lines(code: str, headline: str, errors: Iterable[str], url: str | None, to_do: str) -> tuple[str, ...]:
    lines = [*split_lines(add_code(code, headline))]
    for text in errors:
        lines += split_lines(f"- {text}")
    if url:
        lines.append(f"Run: {url}")
    if to_do:
        lines += split_lines(f"Do: {to_do}")
    lines.append(f"More on {code}: {ERRORS_PAGE}#{code.lower()}")
    return tuple(lines)


def _name_with_flow(run: RunSummary) -> str:
    return f"{_name(run)} of flow {run['flow_id']}" if run["run_id"] and run["flow_id"] else _name(run)


def _name(run: RunSummary) -> str:
    return f"run {run['run_id']}" if run["run_id"] else f"the last run of {run['kind']} {run['flow_id']}"


def _list_errors(run: RunSummary) -> list[str]:
    texts = [*run["errors"], *(f"{one['name']}: {text}" for one in run["resources"] for text in one["errors"])]
    shown = [text if len(text) <= MAX_ERROR_CHARS else f"{text[:MAX_ERROR_CHARS]}..." for text in texts[:MAX_ERRORS]]
    return [*shown, "and more, see the run"] if len(texts) > MAX_ERRORS or run["truncated"] else shown
