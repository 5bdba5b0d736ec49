"""The quality check as a task: what it takes as runs, what it returns, logs and raises, and how it is mapped."""

import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException, BaseOperator

from airflow_provider_flowruns.client.clock import Clock
from airflow_provider_flowruns.exceptions import FlowRunQualityFailed, InvalidArgumentError
from airflow_provider_flowruns.operators.portable import PortableGetRunAttemptsOperator
from airflow_provider_flowruns.operators.quality import FlowRunQualityCheckOperator
from airflow_provider_flowruns.testing.task_modes import task_context
from tests.unit.model.histories import NOW, make_history, make_run

LIMITS = [name for name in FlowRunQualityCheckOperator.template_fields if name != "runs"]


@pytest.fixture(autouse=True)
def _time_of_the_histories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clock, "now", lambda self: NOW.timestamp())


@pytest.fixture
def task_log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(FlowRunQualityCheckOperator, "log", logging.getLogger("flowruns-task"), raising=False)
    caplog.set_level(logging.INFO, "flowruns-task")
    return caplog


def make(runs: Any = (), **arguments: Any) -> FlowRunQualityCheckOperator:
    return FlowRunQualityCheckOperator(task_id="check", runs=list(runs) if runs == () else runs, **arguments)


def judge(runs: Any, **arguments: Any) -> Any:
    """Run a check whose runs are known when its task runs."""
    task = make("{{ runs }}", **arguments)
    task.runs = runs
    return task.execute(task_context())


# -- what it returns, logs and raises


def test_the_result_is_plain_json_about_the_newest_run() -> None:
    report = judge(make_history(100), min_rows_ratio=0.5)
    assert json.loads(json.dumps(report)) == report
    assert [*report] == ["passed", "service", "flow_id", "run_id", "checks"]
    assert (report["passed"], report["service"], report["flow_id"], report["run_id"]) == (True, "portable", "5", "100")
    assert [*report["checks"][0]] == ["name", "status", "value", "limit", "message"]


def test_a_failed_check_fails_the_task_and_its_result_is_in_xcom_all_the_same() -> None:
    task, context = make(make_history(0), min_rows_ratio=0.5, max_age=60), task_context()
    with pytest.raises(FlowRunQualityFailed) as raised:
        task.execute(context)
    assert isinstance(raised.value, AirflowException)
    report = context["ti"].xcoms["return_value"]
    assert not report["passed"]
    assert raised.value.checks == report["checks"]
    assert str(raised.value) == (
        "FR107: 2 of 5 quality checks of flow 5 failed: allow_zero_rows: value 0, limit 1 (run 100 loaded 0 rows); "
        "min_rows_ratio: value 0, limit 0.5 (run 100 loaded 0 rows; the median of 10 earlier successes is 100 rows)"
    )


def test_a_task_that_pushes_no_xcom_pushes_none_when_it_fails() -> None:
    task, context = make(make_history(0), do_xcom_push=False), task_context()
    with pytest.raises(FlowRunQualityFailed):
        task.execute(context)
    assert context["ti"].xcoms == {}


def test_a_users_unit_test_needs_no_context() -> None:
    with pytest.raises(FlowRunQualityFailed):
        make(make_history(0)).execute({})


def test_a_warning_succeeds_and_says_what_failed(task_log) -> None:
    report = judge(make_history(0), on_failure="warn")
    assert not report["passed"]
    (warning,) = [record.getMessage() for record in task_log.records if record.levelno == logging.WARNING]
    assert warning == (
        "1 of 3 quality checks of flow 5 failed: allow_zero_rows: value 0, limit 1 (run 100 loaded 0 rows)"
    )


def test_the_log_has_a_table_with_a_line_for_each_check(task_log) -> None:
    judge(make_history(1_234_567), min_rows=1_000_000, max_rows_ratio=99_999, max_duration_ratio=2)
    assert [record.getMessage() for record in task_log.records] == [
        "check                   status      value      limit",
        "runs                    passed         11          1  11 summaries, 11 of runs that have ended",
        "require_newest_success  passed  SUCCEEDED  SUCCEEDED  run 100, the newest that has ended, succeeded",
        "allow_zero_rows         passed  1,234,567          1  run 100 loaded 1,234,567 rows",
        "min_rows                passed  1,234,567  1,000,000  run 100 loaded 1,234,567 rows",
        "max_rows_ratio          passed     12,346     99,999  run 100 loaded 1,234,567 rows; the median of 10 earlier"
        " successes is 100 rows",
        "max_duration_ratio      passed          1          2  run 100 took 60 s; the median of 10 earlier successes"
        " is 60 s",
    ]


def test_an_empty_list_fails_even_if_nothing_else_is_required() -> None:
    with pytest.raises(FlowRunQualityFailed, match="there are no runs"):
        judge([], require_newest_success=False, allow_zero_rows=True)


# -- what it takes as runs


@pytest.mark.parametrize(
    "runs",
    [
        make_history(100),
        tuple(make_history(100)),
        json.dumps(make_history(100)),
        make_run(100),
        json.dumps(make_run(100)),
    ],
    ids=["list", "tuple", "text", "one", "text of one"],
)
def test_runs_are_a_list_or_one_summary_or_either_as_text(runs) -> None:
    assert judge(runs)["run_id"] == "100"
    assert make(runs).execute(task_context())["passed"]


def test_runs_are_read_from_the_file_of_a_history_operator(sandbox, tmp_path) -> None:
    flow = sandbox.portable.add_flow()
    for number in range(8):
        flow.add_run(ago=1_000 - number, resources=[{"name": "orders", "loaded": 0 if number == 7 else 50}])
    path = tmp_path / "runs.jsonl"
    history = PortableGetRunAttemptsOperator(task_id="read", flow_id=flow.id, fetch_all=True, output_path=str(path))
    manifest = history.execute(task_context())
    task, context = make(manifest, min_rows_ratio=0.5), task_context()
    with pytest.raises(FlowRunQualityFailed, match="allow_zero_rows: value 0"):
        task.execute(context)
    report = context["ti"].xcoms["return_value"]
    assert report["run_id"] == str(flow.runs[-1].id)
    assert report["checks"][0]["value"] == 8


@pytest.mark.parametrize(
    ("content", "found"),
    [(b'{"disposition": "NONE"}\n{"disp', "line 2 of "), (b"[]\n", "line 1 of "), (b"\xff\n", "line 1 of ")],
)
def test_a_file_of_something_else_is_refused_with_the_line(tmp_path, content, found) -> None:
    path = tmp_path / "{runs}.jsonl"
    path.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match=f"^FR301: {found}.* is no run summary"):
        judge({"path": str(path)})


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"absent\.jsonl.* does not exist"):
        judge({"path": str(tmp_path / "absent.jsonl")})


NO_RUNS = [
    (5, "runs has no run summaries"),
    ({"run_id": "5"}, "runs has no run summaries"),
    ({"path": ""}, "runs has no run summaries"),
    ("[{'disposition': 'SUCCEEDED'}]", "runs is text that is not JSON"),
    ("3", "runs has no run summaries"),
    (b"[]", "runs has no run summaries"),
    (["5"], r"runs\[0\] is no run summary"),
    ([make_run(1), [make_run(2)]], r"runs\[1\] is no run summary"),
]


@pytest.mark.parametrize(("runs", "message"), NO_RUNS)
def test_something_else_is_refused_at_dag_parse_and_when_it_was_rendered(runs, message) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^FR301: {message}.*attempts.output"):
        make(runs)
    with pytest.raises(InvalidArgumentError, match=f"^FR301: {message}"):
        judge(runs)


# -- arguments


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"on_failure": "skip"}, "on_failure"),
        ({"last": 0}, "last"),
        ({"min_success_rate": 90}, "min_success_rate"),
        ({"min_rows": float("nan")}, "min_rows"),
        ({"max_age": timedelta(0)}, "max_age"),
        ({"allow_zero_rows": "no"}, "allow_zero_rows"),
        ({"require_newest_success": None}, "require_newest_success"),
        ({"min_rows_ratio": 2, "max_rows_ratio": 1}, "min_rows_ratio .* max_rows_ratio"),
    ],
)
def test_a_wrong_argument_breaks_the_dag_file(arguments, named) -> None:
    with pytest.raises(InvalidArgumentError, match=named):
        make("{{ runs }}", **arguments)


def test_every_value_is_templated() -> None:
    own = {name for name in {*vars(make())} - {*vars(BaseOperator(task_id="check"))} if not name.startswith("_")}
    switches = {"require_newest_success", "allow_zero_rows", "on_failure"}
    assert own - switches == {*FlowRunQualityCheckOperator.template_fields}


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("rendered", [None, "", "None", "many"])
def test_a_limit_that_rendered_to_nothing_does_not_switch_its_check_off(name, rendered) -> None:
    task = make(make_history(100), **{name: "{{ params.value }}"})
    setattr(task, name, rendered)
    with pytest.raises(InvalidArgumentError, match=f"^FR301: {name} "):
        task.execute(task_context())


@pytest.mark.parametrize("rendered", [None, "", " "])
def test_runs_that_rendered_to_nothing_are_refused(rendered) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^FR301: runs rendered to nothing"):
        judge(rendered)


@pytest.mark.parametrize("native", [False, True])
def test_templates_are_rendered_to_runs_and_limits(native) -> None:
    with DAG("dag", schedule=None, render_template_as_native_obj=native):
        task = make("{{ runs | tojson }}", min_rows="{{ 50 * 2 }}", max_rows_ratio="{{ ratio }}", last="{{ 5 }}")
    values: Any = {"runs": make_history(100), "ratio": 1.5}
    task.render_template_fields(values)
    report = task.execute(task_context())
    assert {check["name"]: check["limit"] for check in report["checks"]} == {
        "runs": 1,
        "require_newest_success": "SUCCEEDED",
        "allow_zero_rows": 1,
        "min_rows": 100,
        "max_rows_ratio": 1.5,
    }


def test_another_tasks_result_makes_it_upstream() -> None:
    with DAG("dag", schedule=None):
        attempts = PortableGetRunAttemptsOperator(task_id="attempts", flow_id=5)
        task = make(attempts.output, min_rows=attempts.output)
    assert task.upstream_task_ids == {"attempts"}


def test_it_can_be_mapped_over_the_histories_of_several_flows() -> None:
    histories = [make_history(100), make_history(0)]
    with DAG("dag", schedule=None) as dag:
        FlowRunQualityCheckOperator.partial(task_id="check", min_rows_ratio=0.5, max_age=3_600).expand(runs=histories)
    mapped = dag.get_task("check")
    first, second = (mapped.unmap({"runs": runs}) for runs in histories)
    assert first.execute(task_context())["passed"]
    with pytest.raises(FlowRunQualityFailed, match=r"min_rows_ratio: value 0, limit 0\.5"):
        second.execute(task_context())


def test_the_file_is_read_line_by_line(tmp_path, monkeypatch) -> None:
    path = tmp_path / "runs.jsonl"
    line = json.dumps(make_run(100)).encode() + b"\n"
    path.write_bytes(line * 1_000)
    monkeypatch.setattr(Path, "read_bytes", None)
    assert judge({"path": f"file://{path}"})["checks"][0]["message"] == "1,000 summaries, 1,000 of runs that have ended"
