"""The operator that returns what the steps of an Activepieces run returned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.operators.base import ReadRunOperator
from airflow_provider_flowruns.services.activepieces_arguments import (
    validate_path,
    validate_run_id,
    validate_step,
    validate_steps,
)
from airflow_provider_flowruns.services.catalog import ACTIVEPIECES
from airflow_provider_flowruns.tasks.arguments import check_when_known, get_given_arguments, require_rendered
from airflow_provider_flowruns.tasks.explained_errors import explains_errors
from airflow_provider_flowruns.tasks.output_file import OutputFileTask, prepare_output_path, validate_output_path
from airflow_provider_flowruns.tasks.xcom_size import check_xcom_size

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.hooks.activepieces import ActivepiecesHook  # noqa: F401 (base classes quote it)


class ActivepiecesGetStepOutputOperator(OutputFileTask, ReadRunOperator["ActivepiecesHook"]):
    """Return what one step of a run returned, or several steps.

    Reads ``GET /api/v1/flow-runs/{id}``. The result is the output of ``step``, or a mapping of the names in ``steps``
    to their outputs. With ``output_path`` it is written to a file as JSON, and the result is a manifest: ``{"path",
    "bytes", "run_id", "steps"}``. The file gets its name when it is complete, and replaces an earlier one.

    The output of a step in a loop is a list with one output for each iteration, in nested loops a list of lists; an
    iteration in which the step was not reached, failed or did not end has None. The output of a loop contains the
    records of the steps in it.

    What a flow is given can hold secrets and is left out unless ``include_input``: the ``input`` of steps, also within
    the output of a loop, and the ``headers`` in the output of the trigger. What steps return is not examined: a step
    that returns a secret puts it into XCom.

    How the run ended does not matter, only that the step has an output. While the run is active, steps outside loops
    can be read that have succeeded; for others the task fails with ``StepNotEnded``. An unknown step raises
    ``StepNotFound``, and one that has no output, or none at ``path``, ``StepOutputMissing``; these are not retried.

    :param run_id: the run's id, 21 letters and digits, templated.
    :param step: name of the step as the run shows it, such as ``step_1``; ``trigger`` is the trigger; templated.
    :param steps: names of several steps, instead of ``step``, templated.
    :param path: JMESPath expression such as ``rows[0].id``, applied to each output, in a loop to that of each
        iteration; templated. A null counts as nothing. It is an error if it finds nothing; in a loop, if it finds
        nothing in any iteration.
    :param include_input: return ``{"output": ..., "input": ...}`` for each step; both end up in XCom or the file.
    :param output_path: local path, or any URL that Airflow's object storage knows, of a file to write, templated.
    :param activepieces_conn_id: Airflow connection of type ``activepieces``, templated.
    :raises InvalidArgumentError: a bad argument, at DAG parse where its value is known by then.
    :raises ResultTooLarge: without ``output_path``, if the result takes more bytes of JSON than
        ``[flowruns] max_xcom_bytes`` (default 1 MiB).
    """

    template_fields: Sequence[str] = ("run_id", "step", "steps", "path", "output_path", "activepieces_conn_id")
    info = ACTIVEPIECES

    def __init__(
        self,
        *,
        run_id: str,
        step: str | None = None,
        steps: Sequence[str] | None = None,
        path: str | None = None,
        include_input: bool = False,
        output_path: str | None = None,
        activepieces_conn_id: str = ACTIVEPIECES.default_conn_id,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.step = step
        self.steps = steps
        self.path = path
        self.include_input = include_input
        self.output_path = output_path
        self.activepieces_conn_id = activepieces_conn_id
        self._given = get_given_arguments(self, "step", "steps", "path", "output_path")
        if len({"step", "steps"} & {*self._given}) != 1:
            raise InvalidArgumentError("give either step, the name of one step, or steps, a list of names")
        if not isinstance(include_input, bool):
            raise InvalidArgumentError(f"include_input must be True or False, got {include_input!r}")
        check_when_known(run_id, validate_run_id)
        checks: dict[str, Callable[[Any], object]] = {
            "step": validate_step,
            "steps": validate_steps,
            "path": validate_path,
            "output_path": validate_output_path,
        }
        for name in self._given:
            check_when_known(getattr(self, name), checks[name])

    @explains_errors
    def execute(self, context: Context) -> Any:
        """Return the output, or the outputs, or the manifest of the file that was written."""
        for name in self._given:
            require_rendered(getattr(self, name), argument=name)
        names = validate_steps(self.steps) if self.step is None else (validate_step(self.step),)
        path = None if self.path is None else validate_path(self.path)
        output_path = None if self.output_path is None else prepare_output_path(self.output_path)
        with self.hook as hook:
            run = hook.get_flow_run(self.run_id)
        summary = run.summary()
        self.record_run(summary, context)  # before raising: the link shows why
        outputs = hook.read_step_outputs(run, names, path=path, include_input=self.include_input)
        result = outputs if self.step is None else outputs[names[0]]
        if output_path is None:
            check_xcom_size(result, f"what {', '.join(names)} of run {run.run_id} returned")
        else:
            size = self._write(result, output_path, context)
            result = {"path": output_path, "bytes": size, "run_id": run.run_id, "steps": list(names)}
        self.result(summary, context)
        return result

    def _write(self, result: Any, path: str, context: Context) -> int:
        import msgspec

        data = msgspec.json.encode(result)
        with self.open_output(path, context) as file:
            file.write(data)
        self.record_output(path, size=len(data))
        return len(data)
