"""Read the outputs of an Activepieces run's steps from the data that the server keeps of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Any

from airflow_provider_flowruns.model.counts import format_count
from airflow_provider_flowruns.model.errors import FlowRunsError
from airflow_provider_flowruns.model.runs import FlowRun, Lifecycle
from airflow_provider_flowruns.services.activepieces_arguments import compile_path
from airflow_provider_flowruns.services.activepieces_definition import read_definition
from airflow_provider_flowruns.services.parsing import (
    is_object,
    parse_count,
    parse_text,
    parse_word,
    shorten_text,
)

#: The server deletes the data of steps after this time; ``AP_EXECUTION_DATA_RETENTION_DAYS`` changes it.
DEFAULT_RETENTION = timedelta(days=30)
#: Maximum number of names of steps or keys in a message.
_MAX_NAMES = 20
#: Maximum number of characters shown of a step's error message.
_MAX_MESSAGE_CHARS = 500

_TRIGGER = "trigger"
_TRIGGER_TYPES = {"PIECE_TRIGGER", "EMPTY", "WEBHOOK", "SCHEDULE"}
#: Types of steps whose output may look like that of a loop. All others with iterations are loops (LOOP_ON_ITEMS, and
#: what a later version may call it): the inputs in these are left out.
_NO_LOOPS = {"CODE", "PIECE", "ROUTER", "BRANCH"} | _TRIGGER_TYPES
_SUCCEEDED_STEP = {"SUCCEEDED", "STOPPED"}
#: Key of an object that stands for data in a file, and of a step whose output is one.
_REFERENCE, _OUTPUT_TYPE, _SLICE = "$apRef", "outputType", "SLICE"
#: What some versions put in place of data that is too large.
_TRUNCATED = re.compile(r"\(truncated(, original size [^()]*)?\)")


class StepProblem(StrEnum):
    """Why a step's output cannot be read."""

    #: The flow has no such step.
    NOT_FOUND = "not found"
    #: The step may still have an output: its run is active.
    NOT_ENDED = "not ended"
    #: The output is not there, and will not be.
    MISSING = "missing"


class StepError(FlowRunsError):
    """The output of a step cannot be read.

    :param problem: why.
    :param message: which step of which run, why, and what to do.
    """

    #: The operator raises an exception of its own with a code.
    code = ""

    def __init__(self, problem: StepProblem, message: str) -> None:
        super().__init__(message)
        self.problem = problem


def read_step_outputs(
    run: FlowRun,
    names: Sequence[str],
    *,
    path: str | None = None,
    include_input: bool = False,
    now: datetime,
) -> dict[str, Any]:
    """Return the output of each named step, as the server shows it.

    The output of a step inside a loop is a list with one output per iteration; inside nested loops, a list of lists. An
    iteration in which the step was not reached, failed or did not end has None.

    What a flow is given can hold secrets and is left out unless ``include_input``: the ``input`` of steps, also within
    the output of a loop, and the ``headers`` in the output of the trigger.

    :param run: a run with the data of its steps, as ``GET /api/v1/flow-runs/{id}`` returns it.
    :param names: names of the steps.
    :param path: JMESPath expression that is applied to each output; inside a loop, to that of each iteration. A null
        counts as nothing. What it finds in none of the iterations is an error; in some of them, those have None.
    :param include_input: return ``{"output": ..., "input": ...}`` for each step.
    :param now: the current time, to tell whether the data has been deleted.
    :raises InvalidArgumentError: ``path`` is not an expression.
    :raises StepError: the output of a step cannot be read.
    """
    reader = _StepReader(run, _get_steps(run, now), None if path is None else _Path(path), include_input)
    return {name: reader.read(name) for name in names}


def _get_steps(run: FlowRun, now: datetime) -> Mapping[str, Any]:
    """Return the data of a run's steps by name; raises StepError if there is none."""
    steps = run.raw.get("steps")
    if is_object(steps) and steps:
        return steps
    if run.lifecycle is Lifecycle.PENDING:
        raise StepError(StepProblem.NOT_ENDED, f"{_describe_run(run)} has not started, so it has no steps yet")
    if run.lifecycle is not Lifecycle.NOT_RUNNING:
        raise StepError(StepProblem.NOT_ENDED, f"{_describe_run(run)} shows no steps yet")
    if steps in (None, "", {}, []):
        reason = f"has no data of its steps: {_explain_no_steps(run, now)}"
    else:
        reason = f"has steps in a form that this release does not know: {_describe_shape(steps)}"
    raise StepError(StepProblem.MISSING, f"{_describe_run(run)} {reason}")


def _explain_no_steps(run: FlowRun, now: datetime) -> str:
    days = DEFAULT_RETENTION.days
    deleted = f"Activepieces deletes it after AP_EXECUTION_DATA_RETENTION_DAYS ({days} unless configured otherwise)"
    since = run.completed_at or run.created_at
    if since and now - since >= DEFAULT_RETENTION:
        return f"the run ended {(now - since).days} days ago, and {deleted}"
    if run.started_at is None:
        return "the run ended before it started, so no step was executed"
    return f"either the server has a shorter retention ({deleted}), or it did not store it"


class _Path:
    """A JMESPath expression and its use on outputs.

    :param expression: the expression.
    """

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self._compiled = compile_path(expression)

    def __str__(self) -> str:
        return f"path {shorten_text(self.expression)!r}"

    def search(self, value: Any) -> Any:
        """Return what the expression finds in a value, None if nothing.

        :param value: a JSON value.
        :raises ValueError: a function in it does not take what it found; the message does not contain that.
        """
        from jmespath.exceptions import JMESPathTypeError

        try:
            return self._compiled.search(value)
        except JMESPathTypeError as error:  # its own text contains the value
            raise ValueError(f"{error.function_name}() does not take a value of type {error.actual_type}") from None
        except Exception as error:  # any error of the library, which may quote the value too
            raise ValueError(f"it cannot be evaluated ({type(error).__name__})") from None


@dataclass(frozen=True)
class _StepReader:
    """Reads outputs of one run.

    :param run: the run.
    :param steps: the data of its steps by name.
    :param path: what to apply to each output, None for nothing.
    :param include_input: whether inputs are returned too.
    """

    run: FlowRun
    steps: Mapping[str, Any]
    path: _Path | None
    include_input: bool

    def read(self, name: str) -> Any:
        """Return a step's output, or its output and input.

        :param name: the step's name.
        :raises StepError: the output cannot be read.
        """
        loops = _find_loops(self.steps, name)
        if loops is None:
            loops = self._find_loops_in_definition(name)
        output = self._read_in_loops(name, loops) if loops else self._read_single(name)
        if not self.include_input:
            return output
        return {"output": output, "input": _map_records(_collect(self.steps, loops, name), _get_input)}

    def _find_loops_in_definition(self, name: str) -> tuple[str, ...]:
        """Return the loops around a step that was not executed, if all of them were; raises StepError otherwise."""
        known = read_definition(self.run.raw.get("flowVersion"))
        if name not in known:
            names = [*dict.fromkeys((*_iterate_names(self.steps), *known))]
            raise StepError(
                StepProblem.NOT_FOUND, f"{_describe_run(self.run)} has no step {name!r}; it has {_list_names(names)}"
            )
        loops = known[name].loops
        if loops and _collect(self.steps, loops, name) is not None:
            return loops
        if self._is_active():
            raise self._error(StepProblem.NOT_ENDED, name, "has not been reached yet")
        raise self._error(
            StepProblem.MISSING,
            name,
            "was not executed: a router took another branch, the step is skipped, or the run ended before it",
        )

    def _read_single(self, name: str) -> Any:
        record = self.steps[name]
        if not self._has_ended(record):
            raise self._error(StepProblem.NOT_ENDED, name, f"has not ended ({_describe_status(record)})")
        if not _has_output(record):
            message = _describe_failure(record)
            raise self._error(StepProblem.MISSING, name, f"has no output ({_describe_status(record)}){message}")
        output = self._get_output(name, record)
        if self.path is None:
            return output
        found = self._search(name, output)
        if found is None:
            raise self._nothing_found(name, output)
        return found

    def _read_in_loops(self, name: str, loops: tuple[str, ...]) -> Any:
        if self._is_active():  # a loop's own status is SUCCEEDED from its beginning
            raise self._error(
                StepProblem.NOT_ENDED, name, f"is in loop {loops[0]!r}, which can be read when the run has ended"
            )
        records = _collect(self.steps, loops, name)
        found: list[bool] = []

        def read(record: Mapping[str, Any]) -> Any:
            if not _has_output(record):
                return None
            output = self._get_output(name, record)
            value = output if self.path is None else self._search(name, output)
            found.append(value is not None)
            return value

        outputs = _map_records(records, read)
        if self.path is not None and found and not any(found):
            first = next(record for record in _iterate_records(records) if _has_output(record))
            raise self._nothing_found(name, self._get_output(name, first))
        return outputs

    def _is_active(self) -> bool:
        return self.run.lifecycle is not Lifecycle.NOT_RUNNING

    def _has_ended(self, record: Mapping[str, Any]) -> bool:
        """Return whether a step's output is final; that of a loop, and a failure, only when the run has ended."""
        has_succeeded = parse_word(record.get("status")) in _SUCCEEDED_STEP
        return not self._is_active() or (has_succeeded and not _is_loop(record))

    def _get_output(self, name: str, record: Mapping[str, Any]) -> Any:
        """Return the output of a step's record; raises StepError if that is kept elsewhere."""
        output = record.get("output")
        if _is_reference(record):
            size = parse_count(output.get("size")) if is_object(output) else 0
            raise self._error(
                StepProblem.MISSING,
                name,
                f"has an output that the response only refers to ({format_count(size, 'byte')}): the server keeps "
                "outputs above AP_FLOW_RUN_LOG_SLICE_THRESHOLD_KB (32) in files of their own. Let the flow return "
                "less, or configure a larger threshold",
            )
        if isinstance(output, str) and _TRUNCATED.fullmatch(output):
            raise self._error(StepProblem.MISSING, name, f"has an output that was too large for the server: {output}")
        if _is_loop(record):
            return _clean_loop(output, keep_input=self.include_input)
        if not self.include_input and _is_trigger(name, record) and is_object(output) and "headers" in output:
            return {key: value for key, value in output.items() if key != "headers"}
        return output

    def _search(self, name: str, output: Any) -> Any:
        if self.path is None:
            return output
        try:
            return self.path.search(output)
        except ValueError as error:
            raise self._error(StepProblem.MISSING, name, f"cannot be read with {self.path}: {error}") from None

    def _nothing_found(self, name: str, output: Any) -> StepError:
        left_out = _is_trigger(name, {}) and not self.include_input
        hint = "; its headers are left out without include_input" if left_out else ""
        return self._error(
            StepProblem.MISSING, name, f"has nothing at {self.path}: its output is {_describe_shape(output)}{hint}"
        )

    def _error(self, problem: StepProblem, name: str, text: str) -> StepError:
        return StepError(problem, f"{_describe_run(self.run)}: step {name!r} {text}")


def _find_loops(steps: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    """Return the names of the loops around a step, outermost first; None if there is no data of the step."""
    if is_object(steps.get(name)):
        return ()
    for loop, record in steps.items():
        for iteration in _get_iterations(record) or ():
            inner = _find_loops(iteration, name) if is_object(iteration) else None
            if inner is not None:
                return (loop, *inner)
    return None


def _collect(steps: Any, loops: tuple[str, ...], name: str) -> Any:
    """Return a step's record, or a list of them in loops; None for what was not reached."""
    if not is_object(steps):
        return None
    record = steps.get(loops[0] if loops else name)
    if not loops:
        return record if is_object(record) else None
    iterations = _get_iterations(record)
    return None if iterations is None else [_collect(iteration, loops[1:], name) for iteration in iterations]


def _map_records(records: Any, change: Any) -> Any:
    if isinstance(records, list):
        return [_map_records(inner, change) for inner in records]
    return None if records is None else change(records)


def _iterate_records(records: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(records, list):
        for inner in records:
            yield from _iterate_records(inner)
    elif records is not None:
        yield records


def _iterate_names(steps: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the steps that there is data of, those in loops included."""
    for name, record in steps.items():
        if is_object(record):
            yield name
        for iteration in _get_iterations(record) or ():
            if is_object(iteration):
                yield from _iterate_names(iteration)


def _is_loop(record: Mapping[str, Any]) -> bool:
    return _get_iterations(record) is not None


def _get_iterations(record: Any) -> list[Any] | None:
    """Return the iterations of a loop, None for other steps."""
    if not is_object(record) or parse_word(record.get("type")) in _NO_LOOPS:
        return None
    output = record.get("output")
    iterations = output.get("iterations") if is_object(output) else None
    return iterations if isinstance(iterations, list) else None


def _clean_loop(output: Any, *, keep_input: bool) -> Any:
    """Return the output of a loop without the inputs in it, and without the addresses of files."""
    iterations = [_clean_iteration(one, keep_input) if is_object(one) else one for one in output["iterations"]]
    return {**output, "iterations": iterations}


def _clean_iteration(iteration: Mapping[str, Any], keep_input: bool) -> dict[str, Any]:
    return {
        name: _clean_record(record, keep_input) if is_object(record) else record for name, record in iteration.items()
    }


def _clean_record(record: Mapping[str, Any], keep_input: bool) -> dict[str, Any]:
    cleaned = {key: value for key, value in record.items() if keep_input or key != "input"}
    output = record.get("output")
    if _is_loop(record):
        cleaned["output"] = _clean_loop(output, keep_input=keep_input)
    elif _is_reference(record) and is_object(output):
        cleaned["output"] = {key: value for key, value in output.items() if key != "url"}  # it contains a token
    return cleaned


def _is_reference(record: Mapping[str, Any]) -> bool:
    """Return whether a step's output is kept in a file, and the response only refers to it."""
    output = record.get("output")
    return parse_word(record.get(_OUTPUT_TYPE)) == _SLICE or (is_object(output) and output.get(_REFERENCE) is True)


def _is_trigger(name: str, record: Mapping[str, Any]) -> bool:
    return name == _TRIGGER or parse_word(record.get("type")) in _TRIGGER_TYPES


def _has_output(record: Mapping[str, Any]) -> bool:
    """Return whether a step of an ended run has an output; one that succeeded without it returned nothing."""
    status = parse_word(record.get("status"))
    return status in _SUCCEEDED_STEP or (status not in {"PAUSED", "RUNNING"} and "output" in record)


def _get_input(record: Mapping[str, Any]) -> Any:
    return record.get("input")


def _describe_run(run: FlowRun) -> str:
    return f"Activepieces run {run.run_id} ({run.vendor_status or 'no status'})"


def _describe_status(record: Mapping[str, Any]) -> str:
    return parse_word(record.get("status")) or "no status"


def _describe_failure(record: Mapping[str, Any]) -> str:
    """Return the beginning of a step's error message, up to any JSON in it, which may quote the step's input."""
    message = record.get("errorMessage")
    if not message:
        return ""
    first_line = (parse_text(message) or "").partition("\n")[0]
    text = shorten_text(first_line.partition("{")[0].strip(), _MAX_MESSAGE_CHARS)
    return f": {text}" if text else "; its error message is in the run"


def _describe_shape(value: Any) -> str:
    """Describe a JSON value by its keys, without any of its values."""
    if is_object(value):
        return f"an object with the keys {_list_names(value)}" if value else "an empty object"
    if not isinstance(value, list):
        return "null" if value is None else f"a {type(value).__name__}"
    first = f", the first of which is {_describe_shape(value[0])}" if value and is_object(value[0]) else ""
    return f"a list of {format_count(len(value), 'item')}{first}"


def _list_names(names: Iterable[Any]) -> str:
    known = list(names)
    shown = ", ".join(shorten_text(str(name), 40) for name in islice(known, _MAX_NAMES))
    return f"{shown} and {len(known) - _MAX_NAMES} more" if len(known) > _MAX_NAMES else shown or "none"
