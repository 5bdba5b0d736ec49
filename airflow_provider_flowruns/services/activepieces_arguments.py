"""What users pass to calls of Activepieces: limits, defaults and checks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, get_args

from airflow_provider_flowruns.model.choices import RetryStrategy
from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.services.parsing import describe_value, parse_word, shorten_text
from airflow_provider_flowruns.services.validation import validate_id

#: Default number of runs per page. The server has no maximum; rows contain whole flow definitions.
DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000
#: Form of all ids of the service.
ID_PATTERN = re.compile(r"[0-9a-zA-Z]{21}", re.ASCII)
#: Every status a filter may name.
STATUSES = frozenset(
    {
        "QUEUED",
        "RUNNING",
        "PAUSED",
        "SUCCEEDED",
        "STOPPED",
        "CANCELED",
        "FAILED",
        "TIMEOUT",
        "INTERNAL_ERROR",
        "QUOTA_EXCEEDED",
        "MEMORY_LIMIT_EXCEEDED",
        "LOG_SIZE_EXCEEDED",
    }
)
#: Ways to retry a failed run.
STRATEGIES: tuple[RetryStrategy, ...] = get_args(RetryStrategy)

_EXAMPLE_ID = "the 21 letters and digits at the end of its address in Activepieces"


def validate_run_id(value: Any) -> str:
    """Return an Activepieces run id.

    :param value: the value as the DAG author passed it.
    :raises InvalidArgumentError: it is not 21 letters and digits.
    """
    return validate_id(value, argument="run_id", pattern=ID_PATTERN, example=_EXAMPLE_ID)


def validate_flow_id(value: Any) -> str:
    """Return an Activepieces flow id.

    :param value: the value as the DAG author passed it.
    :raises InvalidArgumentError: it is not 21 letters and digits.
    """
    return validate_id(value, argument="flow_id", pattern=ID_PATTERN, example=_EXAMPLE_ID)


def validate_statuses(value: Iterable[str] | str | None) -> tuple[str, ...]:
    """Return the statuses a filter names, in the service's spelling; None names none.

    :param value: the value as the DAG author passed it.
    :raises InvalidArgumentError: the service has no such status.
    """
    if value is None:
        return ()
    try:
        wanted = [value] if isinstance(value, str) else list(value)
    except TypeError:
        wanted = []
    # An empty list does not mean "not given": a template that found nothing must not list runs of every status.
    if not wanted or any(parse_word(one) not in STATUSES for one in wanted):
        raise InvalidArgumentError(f"status must be among {', '.join(sorted(STATUSES))}, got {describe_value(value)}")
    return tuple(parse_word(one) for one in wanted)


def validate_strategy(value: Any) -> str:
    """Return a retry strategy.

    :param value: the value as the DAG author passed it.
    :raises InvalidArgumentError: there is no such strategy.
    """
    if value not in STRATEGIES:
        raise InvalidArgumentError(f"strategy must be one of {', '.join(STRATEGIES)}, got {value!r}")
    return str(value)


def validate_step(value: Any, *, argument: str = "step") -> str:
    """Return the name of a step.

    :param value: the value as the DAG author passed it.
    :param argument: its name, for the message.
    :raises InvalidArgumentError: it is not a name.
    """
    # A template without a value renders to the text "None".
    if not isinstance(value, str) or not value.strip() or value.strip() == "None":
        raise InvalidArgumentError(
            f"{argument} must be the name of a step as the run shows it, such as 'step_1', got {describe_value(value)}"
        )
    return value.strip()


def validate_steps(value: Any) -> tuple[str, ...]:
    """Return the names of several steps, each once.

    :param value: the value as the DAG author passed it.
    :raises InvalidArgumentError: it is not a list of names, or it is empty.
    """
    if not isinstance(value, list | tuple) or not value:
        raise InvalidArgumentError(
            f"steps must be a list of names such as ['step_1', 'step_2'], got {describe_value(value)}; "
            "use step for a single one"
        )
    return tuple(dict.fromkeys(validate_step(one, argument="steps") for one in value))


def validate_path(value: Any) -> str:
    """Return a JMESPath expression.

    :param value: the value as the DAG author passed it.
    :raises InvalidArgumentError: it is not one.
    """
    if not isinstance(value, str) or not value.strip() or value.strip() == "None":
        raise InvalidArgumentError(
            f"path must be a JMESPath expression such as 'rows[0].id', got {describe_value(value)}"
        )
    compile_path(value)
    return value


def compile_path(expression: str) -> Any:
    """Return a JMESPath expression, compiled.

    :param expression: the expression.
    :raises InvalidArgumentError: it is not one.
    """
    import jmespath
    from jmespath.exceptions import JMESPathError, JMESPathTypeError

    try:
        compiled = jmespath.compile(expression)
        with suppress(JMESPathTypeError):  # what the functions get is not known yet, their names and arguments are
            compiled.search(None)
    except JMESPathError as error:
        reason = " ".join(str(error).split()).rstrip(" ^")
        raise InvalidArgumentError(
            f"path must be a JMESPath expression, got {describe_value(expression)}: {shorten_text(reason)}"
        ) from None
    except RecursionError:
        raise InvalidArgumentError("path must be a JMESPath expression; this one is nested too deep") from None
    if compiled.parsed["type"] == "expref":
        raise InvalidArgumentError(f"path must be an expression that finds a value, got {describe_value(expression)}")
    return compiled
