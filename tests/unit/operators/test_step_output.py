"""The operator that returns what steps returned: plain JSON, bounded, and no secrets of inputs unasked."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, Asset, BaseOperator

from airflow_provider_flowruns.exceptions import (
    InvalidArgumentError,
    NotFoundError,
    ResultTooLarge,
    StepNotEnded,
    StepNotFound,
    StepOutputMissing,
)
from airflow_provider_flowruns.hooks.activepieces import ActivepiecesHook
from airflow_provider_flowruns.operators.activepieces import ActivepiecesGetStepOutputOperator
from airflow_provider_flowruns.sandbox import Sandbox
from airflow_provider_flowruns.testing.task_modes import task_context
from tests.asset_events import OutletEventAccessors

RUN_ID = "cPi5kjLQnJv89Z7KBGg7G"
MARKER = "made-up-secret-in-an-input"
LARGE = {"rows": ["x" * 1_000] * 10_000}
ROWS = {"rows": [{"id": 7}, {"id": 8}], "count": 2}


def make(**arguments: Any) -> ActivepiecesGetStepOutputOperator:
    if "steps" not in arguments:
        arguments.setdefault("step", "step_1")
    return ActivepiecesGetStepOutputOperator(task_id="read", **{"run_id": RUN_ID, **arguments})


def record(output: Any, status: str = "SUCCEEDED", type: str = "CODE") -> dict[str, Any]:
    return {"type": type, "status": status, "input": {"password": MARKER}, "output": output}


@pytest.fixture
def add_run(sandbox: Sandbox) -> Any:
    """Return a function that adds a run with these steps and returns its id."""

    def add(steps: dict[str, Any], **options: Any) -> str:
        options = {"waiting": 0.0, "running": 1.0, "ago": 100.0, **options}
        return sandbox.activepieces.add_flow().add_run(steps=steps, **options).id

    return add


class TestAtParse:
    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            ({"run_id": "short"}, "run_id"),
            ({"step": ""}, "step must be the name"),
            ({"step": 5}, "step must be the name"),
            ({"step": None}, "either step"),
            ({"step": "step_1", "steps": ["step_2"]}, "either step"),
            ({"steps": []}, "steps must be a list"),
            ({"steps": "step_1"}, "use step for a single one"),
            ({"steps": ["step_1", ""]}, "steps must be the name"),
            ({"path": "rows["}, "path must be a JMESPath expression"),
            ({"path": ""}, "path must be a JMESPath expression"),
            ({"include_input": "yes"}, "include_input must be True or False"),
            ({"output_path": "/data/"}, "output_path must be the path"),
        ],
    )
    def test_a_wrong_argument_breaks_the_dag_file(self, arguments: dict[str, Any], named: str) -> None:
        with pytest.raises(InvalidArgumentError, match=named):
            make(**arguments)

    @pytest.mark.parametrize("name", ["step", "steps"])
    def test_templates_and_other_tasks_results_pass_unchecked(self, name: str) -> None:
        names = [field for field in ActivepiecesGetStepOutputOperator.template_fields if field not in {"step", "steps"}]
        make(**dict.fromkeys((name, *names), "{{ params.value }}"))
        with DAG("dag", schedule=None):
            above = BaseOperator(task_id="above")
            task = make(**{one: above.output for one in (name, *names) if one != "activepieces_conn_id"})
        assert task.upstream_task_ids == {"above"}

    def test_every_argument_is_templated_but_the_switch(self) -> None:
        own = {*vars(make())} - {*vars(BaseOperator(task_id="read"))} - {"include_input"}
        assert {name for name in own if not name.startswith("_")} == {*make().template_fields}

    @pytest.mark.parametrize(
        ("partial", "expand"),
        [
            ({"step": "step_1"}, {"run_id": [RUN_ID]}),
            ({"run_id": RUN_ID, "path": "rows"}, {"step": ["step_1", "step_2"]}),
            ({"run_id": RUN_ID}, {"steps": [["step_1"], ["step_2"]]}),
        ],
    )
    def test_it_can_be_mapped(self, partial: Any, expand: Any) -> None:
        with DAG("dag", schedule=None) as dag:
            ActivepiecesGetStepOutputOperator.partial(task_id="read", **partial).expand(**expand)
        task: Any = dag.get_task("read")
        task = task.unmap({name: values[-1] for name, values in expand.items()})
        assert isinstance(task, ActivepiecesGetStepOutputOperator)
        assert {name: getattr(task, name) for name in expand} == {name: values[-1] for name, values in expand.items()}

    @pytest.mark.parametrize("name", ["step", "path", "output_path"])
    @pytest.mark.parametrize("rendered", ["", None, "None"])
    def test_what_renders_to_nothing_is_refused_before_any_request(
        self, name: str, rendered: Any, sandbox: Sandbox
    ) -> None:
        task = make(**{name: "{{ params.value }}"})
        setattr(task, name, rendered)
        with pytest.raises(InvalidArgumentError, match=name):
            task.execute(task_context())
        assert sandbox.ledger.count() == 0


class TestResult:
    def test_of_one_step_it_is_the_output(self, add_run: Any) -> None:
        assert make(run_id=add_run({"step_1": record(ROWS)})).execute(task_context()) == ROWS

    def test_of_several_steps_it_is_a_mapping(self, add_run: Any) -> None:
        run_id = add_run({"step_1": record(ROWS), "step_2": record("text")})
        result = make(run_id=run_id, steps=["step_2", "step_1"]).execute(task_context())
        assert result == {"step_2": "text", "step_1": ROWS}
        assert make(run_id=run_id, steps=["step_1"]).execute(task_context()) == {"step_1": ROWS}

    def test_a_path_is_applied_to_each_output(self, add_run: Any) -> None:
        run_id = add_run({"step_1": record(ROWS), "step_2": record({"rows": [{"id": 9}]})})
        result = make(run_id=run_id, steps=["step_1", "step_2"], path="rows[0].id").execute(task_context())
        assert result == {"step_1": 7, "step_2": 9}

    def test_it_is_read_with_one_request(self, add_run: Any, sandbox: Sandbox) -> None:
        make(run_id=add_run({"step_1": record(1), "step_2": record(2)}), steps=["step_1", "step_2"]).execute(
            task_context()
        )
        assert sandbox.ledger.count() == 1

    def test_inputs_come_only_if_asked_for(self, add_run: Any) -> None:
        run_id = add_run({"step_1": record(ROWS)})
        result = make(run_id=run_id, include_input=True, path="count").execute(task_context())
        assert result == {"output": 2, "input": {"password": MARKER}}

    def test_the_end_of_the_run_does_not_matter(self, add_run: Any) -> None:
        assert make(run_id=add_run({"step_1": record(ROWS)}, outcome="FAILED")).execute(task_context()) == ROWS

    def test_the_run_is_linked_and_in_the_asset_events(self, add_run: Any) -> None:
        asset, context = Asset("a_table"), task_context()
        context["outlet_events"] = OutletEventAccessors()
        run_id = add_run({"step_1": record(ROWS)})
        make(run_id=run_id, outlets=[asset]).execute(context)
        assert run_id in context["ti"].xcoms["run_url"]
        assert context["outlet_events"][asset].extra["run_id"] == run_id

    def test_a_missing_step_is_linked_too_and_not_retried(self, add_run: Any) -> None:
        context = task_context()
        with pytest.raises(StepNotFound, match="it has trigger, step_1") as raised:
            make(run_id=add_run({"step_1": record(ROWS)}), step="step_2").execute(context)
        assert isinstance(raised.value, AirflowFailException)
        assert context["ti"].xcoms["run_url"]

    def test_nothing_at_the_path_is_not_retried(self, add_run: Any) -> None:
        with pytest.raises(StepOutputMissing, match="keys rows, count") as raised:
            make(run_id=add_run({"step_1": record(ROWS)}), path="no.such").execute(task_context())
        assert isinstance(raised.value, AirflowFailException)

    def test_a_step_that_has_not_ended_is_retried(self, add_run: Any) -> None:
        run_id = add_run({}, outcome="RUNNING")
        with pytest.raises(StepNotEnded, match="has not ended") as raised:
            make(run_id=run_id).execute(task_context())
        assert not isinstance(raised.value, AirflowFailException)

    def test_a_run_that_is_not_found_is_an_error_of_the_api(self, sandbox: Sandbox) -> None:
        with pytest.raises(NotFoundError):
            make().execute(task_context())


class TestSize:
    def test_what_is_too_large_for_xcom_names_the_way_out(self, add_run: Any) -> None:
        with pytest.raises(ResultTooLarge, match=r"what step_1 of run .* set output_path") as raised:
            make(run_id=add_run({"step_1": record(LARGE)})).execute(task_context())
        assert isinstance(raised.value, AirflowFailException)

    def test_ten_megabytes_are_written_to_a_file(self, add_run: Any, tmp_path: Path) -> None:
        run_id, path = add_run({"step_1": record(LARGE)}), str(tmp_path / "new" / "output.json")
        manifest = make(run_id=run_id, output_path=path).execute(task_context())
        assert manifest == {"path": path, "bytes": Path(path).stat().st_size, "run_id": run_id, "steps": ["step_1"]}
        assert manifest["bytes"] > 10_000_000
        assert json.loads(Path(path).read_bytes()) == LARGE

    def test_a_part_of_them_goes_to_xcom(self, add_run: Any) -> None:
        run_id = add_run({"step_1": record(LARGE)})
        assert make(run_id=run_id, path="length(rows)").execute(task_context()) == 10_000

    def test_an_error_writes_no_file(self, add_run: Any, tmp_path: Path) -> None:
        path = str(tmp_path / "output.json")
        with pytest.raises(StepNotFound):
            make(run_id=add_run({}), step="step_9", output_path=path).execute(task_context())
        assert list(tmp_path.iterdir()) == []

    def test_a_directory_is_refused_before_any_request(self, sandbox: Sandbox, tmp_path: Path) -> None:
        with pytest.raises(InvalidArgumentError, match="is a directory"):
            make(output_path=str(tmp_path)).execute(task_context())
        assert sandbox.ledger.count() == 0


#: Steps with secrets in all places where they are inputs.
STEPS = {
    "step_1": record({"ok": 1}),
    "step_2": record({"index": 1, "iterations": [{"step_3": record(1)}]}, type="LOOP_ON_ITEMS"),
    "step_4": {**record(None, "FAILED"), "output": MARKER},
    "trigger": record({"body": {}, "headers": {"authorization": f"Bearer {MARKER}"}}, type="PIECE_TRIGGER"),
}


class TestSecrets:
    """An input is in nothing that Airflow keeps, unless it was asked for."""

    @pytest.mark.parametrize("step", ["step_1", "step_2", "step_3", "trigger"])
    def test_not_in_xcom_log_manifest_or_file(
        self, step: str, add_run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        run_id, context, path = add_run(STEPS), task_context(), tmp_path / "output.json"
        result = make(run_id=run_id, step=step).execute(context)
        manifest = make(run_id=run_id, step=step, output_path=str(path)).execute(context)
        shown = json.dumps([result, manifest, context["ti"].xcoms]) + path.read_text() + caplog.text
        assert MARKER not in shown

    @pytest.mark.parametrize(
        "arguments",
        [
            {"step": "step_9"},
            {"step": "step_1", "path": "nothing"},
            {"step": "step_2", "path": "nothing"},
            {"step": "step_3", "path": "keys(@)"},
            {"step": "step_4", "path": "abs(@)"},
            {"step": "trigger", "path": "headers.authorization"},
        ],
    )
    def test_not_in_exceptions(self, arguments: dict[str, Any], add_run: Any, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        with pytest.raises(AirflowFailException) as raised:
            make(run_id=add_run(STEPS), **arguments).execute(task_context())
        assert MARKER not in repr(raised.value) + caplog.text
        assert raised.value.__cause__ is None

    def test_in_the_result_when_asked_for(self, add_run: Any) -> None:
        result = make(run_id=add_run(STEPS), steps=["step_2", "trigger"], include_input=True).execute(task_context())
        assert json.dumps(result).count(MARKER) == 4


class TestHook:
    def test_outputs_are_returned_by_name(self, add_run: Any) -> None:
        run_id = add_run({"step_1": record(ROWS), "step_2": record(1)})
        with ActivepiecesHook() as hook:
            assert hook.get_step_outputs(run_id, ["step_1", "step_2"]) == {"step_1": ROWS, "step_2": 1}
            assert hook.get_step_outputs(run_id, ("step_1",), path="count") == {"step_1": 2}
            assert hook.get_step_outputs(run_id, ["step_2"], include_input=True) == {
                "step_2": {"output": 1, "input": {"password": MARKER}}
            }

    @pytest.mark.parametrize(("steps", "path"), [([], None), ("step_1", None), (["step_1"], "rows["), (["step_1"], "")])
    def test_a_wrong_argument_costs_no_request(self, steps: Any, path: Any, sandbox: Sandbox) -> None:
        with ActivepiecesHook() as hook, pytest.raises(InvalidArgumentError):
            hook.get_step_outputs(RUN_ID, steps, path=path)
        assert sandbox.ledger.count() == 0
