"""What is read of a run's steps: the outputs as the server shows them, and nothing that can hold secrets unasked."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.services.activepieces import ActivepiecesApi
from airflow_provider_flowruns.services.activepieces_arguments import validate_path, validate_step, validate_steps
from airflow_provider_flowruns.services.activepieces_steps import StepError, StepProblem, read_step_outputs

CAPTURES = Path(__file__).parents[2] / "fixtures" / "activepieces"
RUN_ID = "cPi5kjLQnJv89Z7KBGg7G"
NOW = datetime(2026, 11, 23, tzinfo=UTC)
MARKER = "made-up-secret-in-an-input"
OUTPUT = {"rows": [{"id": 7}, {"id": 8}], "count": 2, "none": None, "no": False}


def parse(record: dict[str, Any]) -> FlowRun:
    return ActivepiecesApi().get_flow_run(record["id"]).read(record)


def load(capture: str) -> FlowRun:
    return parse(json.loads((CAPTURES / f"{capture}.json").read_text())["response"]["body"])


def make_run(steps: Any, status: str = "SUCCEEDED", **fields: Any) -> FlowRun:
    """Return a run that ended yesterday."""
    times = {"created": "2026-11-22T05:51:07.166Z", "startTime": "2026-11-22T05:51:07.708Z"}
    return parse({"id": RUN_ID, "status": status, **times, "steps": steps, **fields})


def step(output: Any = None, status: str = "SUCCEEDED", type: str = "CODE", **more: Any) -> dict[str, Any]:
    return {"type": type, "status": status, "input": {"key": MARKER}, "output": output, **more}


def loop(*iterations: Any, **more: Any) -> dict[str, Any]:
    output = {"item": "last", "index": len(iterations), "iterations": list(iterations)}
    return step(output, type="LOOP_ON_ITEMS", **more)


def read(run: FlowRun, name: str = "step_1", now: datetime = NOW, **arguments: Any) -> Any:
    return read_step_outputs(run, [name], now=now, **arguments)[name]


def get_error(run: FlowRun, name: str = "step_1", now: datetime = NOW, **arguments: Any) -> tuple[StepProblem, str]:
    with pytest.raises(StepError) as raised:
        read(run, name, now, **arguments)
    assert MARKER not in str(raised.value)
    return raised.value.problem, str(raised.value)


class TestCaptures:
    @pytest.mark.parametrize(
        ("capture", "name", "output"),
        [
            ("run-get-succeeded", "step_1", {"rows": 3, "note": {"order": 17}}),
            ("run-get-child", "step_1", {"rows": 3, "note": {"child": 1}}),
            ("run-get-succeeded-after-pause", "step_1", {"delayForInMs": 20000, "success": True}),
            ("run-get-succeeded-after-pause", "step_2", 1),
            (
                "run-get-succeeded-sync-webhook",
                "step_1",
                {"status": 201, "headers": {"x-custom": "yes"}, "body": {"hello": "caller"}},
            ),
            ("v0.79.2/run-get-succeeded", "step_1", {"rows": 3}),
        ],
    )
    def test_an_output_is_returned_unchanged(self, capture: str, name: str, output: Any) -> None:
        assert read(load(capture), name) == output

    def test_the_triggers_headers_are_left_out_unless_inputs_are_wanted(self) -> None:
        run = load("run-get-webhook-headers-kept")
        output = read(run, "trigger")
        assert output == {"method": "POST", "body": {"x": 1}, "queryParams": {}, "rawBody": '{"x": 1}'}
        asked = read(run, "trigger", include_input=True)
        assert asked["output"]["headers"]["x-api-key"] == "probe-value"
        assert asked["input"] == {}

    def test_an_output_of_a_run_in_progress_is_readable_when_its_step_has_ended(self) -> None:
        assert read(load("run-get-running-no-start-time"), "trigger")["body"] == {"n": 1}

    @pytest.mark.parametrize(
        ("capture", "problem", "text"),
        [
            ("run-get-failed", StepProblem.MISSING, "no output (FAILED): Error: Error: upstream returned 500"),
            ("run-get-log-size-exceeded", StepProblem.MISSING, "data size exceeded the maximum allowed size of 2 MB"),
            ("run-get-timeout", StepProblem.MISSING, "no output (RUNNING)"),
            ("run-get-canceled", StepProblem.MISSING, "no output (PAUSED)"),
            ("run-get-canceled-before-start", StepProblem.MISSING, "ended before it started"),
            ("run-get-paused", StepProblem.NOT_ENDED, "has not ended (PAUSED)"),
            ("run-get-running", StepProblem.NOT_ENDED, "has not ended (RUNNING)"),
            ("run-get-running-no-start-time", StepProblem.NOT_ENDED, "has not been reached yet"),
            ("run-get-queued", StepProblem.NOT_ENDED, "has not started"),
            ("v0.79.2/run-get-running", StepProblem.NOT_ENDED, "shows no steps yet"),
        ],
    )
    def test_a_step_without_output_says_why(self, capture: str, problem: StepProblem, text: str) -> None:
        found, message = get_error(load(capture))
        assert found is problem
        assert text in message
        assert len(message) < 800

    def test_an_unknown_step_is_answered_with_those_there_are(self) -> None:
        problem, message = get_error(load("run-get-succeeded"), "step_7")
        assert problem is StepProblem.NOT_FOUND
        assert message == (f"Activepieces run {RUN_ID} (SUCCEEDED) has no step 'step_7'; it has trigger, step_1")


class TestLoops:
    def test_a_step_in_a_loop_gives_one_output_per_iteration(self) -> None:
        run = make_run({"step_1": loop({"step_2": step("a")}, {"step_2": step({"b": 1})}, {"step_2": step(None)})})
        assert read(run, "step_2") == ["a", {"b": 1}, None]

    def test_nested_loops_give_nested_lists(self) -> None:
        inner = [loop({"step_3": step(1)}, {"step_3": step(2)}), loop(), loop({"step_3": step(3)})]
        run = make_run({"step_1": loop(*({"step_2": one} for one in inner), {})})
        assert read(run, "step_3") == [[1, 2], [], [3], None]

    @pytest.mark.parametrize("iteration", [{}, None, "odd", [], {"step_2": None}, {"step_2": []}, {"step_9": step(1)}])
    def test_an_iteration_that_did_not_reach_the_step_gives_none(self, iteration: Any) -> None:
        assert read(make_run({"step_1": loop(iteration, {"step_2": step(1)})}), "step_2") == [None, 1]

    @pytest.mark.parametrize("record", [{"status": "FAILED", "errorMessage": "no"}, {"status": "RUNNING", "output": 1}])
    def test_an_iteration_that_failed_or_did_not_end_gives_none(self, record: Any) -> None:
        run = make_run({"step_1": loop({"step_2": step(1)}, {"step_2": record})}, "FAILED")
        assert read(run, "step_2") == [1, None]

    def test_a_loop_over_nothing_gives_an_empty_list(self) -> None:
        body = {"name": "step_2", "type": "CODE", "nextAction": {"name": "step_3", "type": "CODE"}}
        action = {"name": "step_1", "type": "LOOP_ON_ITEMS", "firstLoopAction": body}
        version = {"trigger": {"name": "trigger", "nextAction": action}}
        run = make_run({"trigger": step({}), "step_1": loop()}, flowVersion=version)
        assert (read(run, "step_2"), read(run, "step_3")) == ([], [])

    def test_a_loop_in_progress_cannot_be_read_though_it_says_succeeded(self) -> None:
        run = make_run({"step_1": loop({"step_2": step(1)})}, "RUNNING")
        for name in ("step_1", "step_2"):
            assert get_error(run, name)[0] is StepProblem.NOT_ENDED

    def test_the_output_of_a_loop_comes_without_the_inputs_in_it(self) -> None:
        nested = {"step_2": loop({"step_3": step("inner")}), "odd": None}
        run = make_run({"step_1": loop(nested, None)})
        output = read(run)
        assert MARKER not in json.dumps(output)
        assert output["iterations"][0]["step_2"]["output"]["iterations"][0]["step_3"]["output"] == "inner"
        assert output["iterations"][1] is None
        assert output["item"] == "last"
        assert json.dumps(read(run, include_input=True)["output"]).count(MARKER) == 2

    def test_an_output_that_looks_like_a_loop_is_left_alone(self) -> None:
        output = {"iterations": [{"x": {"input": 1, "output": 2}}]}
        assert read(make_run({"step_1": step(output)})) == output

    def test_inputs_in_a_loop_have_the_shape_of_the_outputs(self) -> None:
        run = make_run({"step_1": loop({"step_2": step(1)}, {})})
        assert read(run, "step_2", include_input=True) == {"output": [1, None], "input": [{"key": MARKER}, None]}


class TestRouters:
    def test_steps_of_the_branch_that_was_taken_are_found(self) -> None:
        branches = {"branches": [{"branchName": "Large", "branchIndex": 1, "evaluation": True}]}
        run = make_run({"step_1": step(branches, type="ROUTER"), "step_2": step("large")})
        assert read(run) == branches
        assert read(run, "step_2") == "large"

    def test_a_step_of_another_branch_is_known_from_the_definition(self) -> None:
        branches = [{"name": "step_2", "type": "CODE"}, None, {"name": "step_3", "type": "CODE"}]
        router = {"name": "step_1", "type": "ROUTER", "children": branches, "nextAction": {"name": "step_4"}}
        version = {"trigger": {"name": "trigger", "nextAction": router}}
        run = make_run({"step_1": step({}, type="ROUTER"), "step_2": step(1)}, flowVersion=version)
        problem, message = get_error(run, "step_3")
        assert problem is StepProblem.MISSING
        assert "a router took another branch" in message
        assert get_error(run, "step_9")[1].endswith("it has step_1, step_2, trigger, step_3, step_4")

    def test_branches_of_old_versions_are_known_too(self) -> None:
        branch = {"name": "step_1", "onSuccessAction": {"name": "step_2"}, "onFailureAction": {"name": "step_3"}}
        run = make_run({"step_1": step({"condition": True})}, flowVersion={"trigger": {"nextAction": branch}})
        assert get_error(run, "step_3")[0] is StepProblem.MISSING


class TestPaths:
    @pytest.mark.parametrize(
        ("path", "found"),
        [("rows[0].id", 7), ("rows[*].id", [7, 8]), ("length(rows)", 2), ("count", 2), ("no", False), ("none[]", None)],
    )
    def test_it_is_applied_to_the_output(self, path: str, found: Any) -> None:
        run = make_run({"step_1": step(OUTPUT)})
        if found is None:
            assert get_error(run, path=path)[0] is StepProblem.MISSING
        else:
            assert read(run, path=path) == found

    @pytest.mark.parametrize("path", ["nothing", "rows[9].id", "none"])
    def test_what_finds_nothing_or_null_says_which_keys_there_are(self, path: str) -> None:
        problem, message = get_error(make_run({"step_1": step(OUTPUT)}), path=path)
        assert problem is StepProblem.MISSING
        assert f"has nothing at path {path!r}" in message
        assert "an object with the keys rows, count, none, no" in message

    @pytest.mark.parametrize(
        ("output", "described"),
        [
            ([], "a list of 0 items"),
            ([{"id": MARKER}], "a list of 1 item, the first of which is an object with the keys id"),
            (MARKER, "a str"),
            (None, "null"),
            ({}, "an empty object"),
            ({f"k{n}": MARKER for n in range(100)}, "k19 and 80 more"),
        ],
    )
    def test_an_output_is_described_without_its_values(self, output: Any, described: str) -> None:
        message = get_error(make_run({"step_1": step(output)}), path="nothing")[1]
        assert message.endswith(described)

    def test_a_function_that_does_not_fit_says_so_without_the_value(self) -> None:
        run = make_run({"step_1": step({"secret": MARKER})})
        problem, message = get_error(run, path="abs(secret)")
        assert problem is StepProblem.MISSING
        assert message.endswith("cannot be read with path 'abs(secret)': abs() does not take a value of type string")

    def test_in_a_loop_it_is_applied_to_each_iteration(self) -> None:
        run = make_run({"step_1": loop({"step_2": step({"id": 1})}, {"step_2": step({})}, {})})
        assert read(run, "step_2", path="id") == [1, None, None]
        assert get_error(run, "step_2", path="name")[0] is StepProblem.MISSING

    def test_a_loop_that_never_reached_the_step_is_no_error(self) -> None:
        assert read(make_run({"step_1": loop({"step_2": step({"id": 1}, "FAILED")}, {})}), "step_2", path="id")

    def test_headers_of_the_trigger_are_not_found_and_the_message_says_why(self) -> None:
        run = load("run-get-webhook-headers-kept")
        assert "headers are left out without include_input" in get_error(run, "trigger", path="headers.host")[1]
        assert read(run, "trigger", path='headers."x-api-key"', include_input=True)["output"] == "probe-value"

    @pytest.mark.parametrize(
        "path", ["", " ", "None", None, 5, ["a"], "rows[", "a..b", "&a", "no_such(a)", "length(a, b)", "(" * 100_000]
    )
    def test_what_is_no_expression_is_refused_before_any_run(self, path: Any) -> None:
        with pytest.raises(InvalidArgumentError, match=r"^FR301: path must be ") as raised:
            validate_path(path)
        assert len(str(raised.value)) < 500


class TestNoData:
    @pytest.mark.parametrize("steps", [None, {}, "", []])
    def test_an_old_run_is_past_retention(self, steps: Any) -> None:
        run = make_run(steps, finishTime="2026-11-22T05:51:08Z")
        problem, message = get_error(run, now=NOW + timedelta(days=30))
        assert problem is StepProblem.MISSING
        assert "ended 30 days ago" in message
        assert "AP_EXECUTION_DATA_RETENTION_DAYS" in message

    def test_a_young_run_may_be_past_a_shorter_retention(self) -> None:
        message = get_error(make_run({}))[1]
        assert "shorter retention" in message

    @pytest.mark.parametrize("status", ["RUNNING", "PAUSED", "SOMETHING_NEW", None])
    def test_a_run_in_progress_may_still_show_steps(self, status: Any) -> None:
        assert get_error(make_run(None, status))[0] is StepProblem.NOT_ENDED

    @pytest.mark.parametrize("steps", [[step(1)], "text", 5, True])
    def test_steps_of_another_form_are_described(self, steps: Any) -> None:
        problem, message = get_error(make_run(steps))
        assert problem is StepProblem.MISSING
        assert "in a form that this release does not know" in message

    def test_a_response_without_the_key_is_like_one_without_steps(self) -> None:
        record = dict(make_run({}).raw)
        del record["steps"]
        assert get_error(parse(record))[0] is StepProblem.MISSING


class TestOddRecords:
    @pytest.mark.parametrize("record", [None, [], "text", 5, [step(1)]])
    def test_a_record_that_is_no_object_is_no_step_of_its_own(self, record: Any) -> None:
        assert get_error(make_run({"step_1": record}))[0] is StepProblem.NOT_FOUND

    @pytest.mark.parametrize(
        ("record", "output"),
        [
            ({"status": "SUCCEEDED"}, None),
            ({"status": "STOPPED", "output": 1}, 1),
            ({"status": "FAILED", "output": {"partial": 1}}, {"partial": 1}),
            ({"output": 1}, 1),
            ({"status": 5, "output": 1}, 1),
            ({"type": "LOOP_ON_ITEMS", "status": "SUCCEEDED", "output": None}, None),
            (
                {"type": "LOOP_ON_ITEMS", "status": "SUCCEEDED", "output": {"iterations": {"0": 1}}},
                {"iterations": {"0": 1}},
            ),
            (
                {"type": "LOOP_ON_ITEMS", "status": "SUCCEEDED", "output": {"iterations": [None]}},
                {"iterations": [None]},
            ),
        ],
    )
    def test_what_is_there_of_an_ended_run_is_returned(self, record: Any, output: Any) -> None:
        assert read(make_run({"step_1": record})) == output

    @pytest.mark.parametrize("record", [{}, {"status": "FAILED"}, {"status": "NEW"}, {"errorMessage": {"a": MARKER}}])
    def test_no_output_is_an_error(self, record: Any) -> None:
        assert get_error(make_run({"step_1": record}))[0] is StepProblem.MISSING

    @pytest.mark.parametrize(
        ("message", "shown"),
        [
            ("Error: no orders\n    at step_1.js", ": Error: no orders"),
            (f'HttpError: {{"request": {{"body": "{MARKER}"}}}}', ": HttpError:"),
            (f'{{"request": {{"body": "{MARKER}"}}}}', "; its error message is in the run"),
            ({"request": MARKER}, "; its error message is in the run"),
        ],
    )
    def test_a_failure_is_described_without_what_it_quotes(self, message: Any, shown: str) -> None:
        run = make_run({"step_1": {"status": "FAILED", "errorMessage": message}})
        assert get_error(run)[1].endswith(f"has no output (FAILED){shown}")

    @pytest.mark.parametrize(
        "version", [None, [], {"trigger": None}, {"trigger": [1]}, {"trigger": {"children": {"a": 1}}}]
    )
    def test_an_odd_definition_does_not_hide_the_steps(self, version: Any) -> None:
        run = make_run({"trigger": step({})}, flowVersion=version)
        assert get_error(run)[1].endswith("it has trigger")

    def test_many_steps_are_listed_in_part(self) -> None:
        run = make_run({f"step_{number}": step(1) for number in range(1, 200)})
        message = get_error(run, "step_0")[1]
        assert message.endswith("step_20 and 179 more")

    def test_a_large_output_is_returned_whole(self) -> None:
        output = {"rows": ["x" * 1000] * 10_000}
        assert read(make_run({"step_1": loop({"step_2": step(output)})}), "step_2", path="length(rows[])") == [10_000]

    def test_several_steps_are_returned_by_name(self) -> None:
        run = make_run({"step_1": step(1), "step_2": step(2), "step_3": step(3)})
        assert read_step_outputs(run, ["step_3", "step_1"], now=NOW) == {"step_3": 3, "step_1": 1}


class TestOutputsThatAreElsewhere:
    URL = f"https://flows.example.com/api/v1/files/abc?token={MARKER}"

    @pytest.mark.parametrize(
        "record",
        [
            step({"fileId": "abc", "size": 40_960, "url": URL}, outputType="slice"),
            step({"$apRef": True, "fileId": "abc", "size": 40_960}),
        ],
    )
    def test_a_reference_is_no_output(self, record: Any) -> None:
        problem, message = get_error(make_run({"step_1": record}))
        assert problem is StepProblem.MISSING
        assert "only refers to (40,960 bytes)" in message
        assert get_error(make_run({"step_2": loop({"step_1": record})}))[0] is StepProblem.MISSING

    def test_an_odd_reference_is_none_either(self) -> None:
        assert get_error(make_run({"step_1": step(None, outputType="slice")}))[0] is StepProblem.MISSING

    def test_within_a_loop_its_address_is_left_out(self) -> None:
        record = step({"fileId": "abc", "size": 5, "url": self.URL}, outputType="slice")
        output = read(make_run({"step_1": loop({"step_2": record})}))
        assert output["iterations"][0]["step_2"]["output"] == {"fileId": "abc", "size": 5}

    @pytest.mark.parametrize("output", ["(truncated)", "(truncated, original size 3.5 MB)"])
    def test_a_truncated_output_is_no_output(self, output: str) -> None:
        assert "too large for the server" in get_error(make_run({"step_1": step(output)}))[1]


class TestNames:
    @pytest.mark.parametrize("value", ["", " ", "None", None, 5, ["step_1"]])
    def test_a_step_needs_a_name(self, value: Any) -> None:
        with pytest.raises(InvalidArgumentError, match="step must be the name of a step"):
            validate_step(value)

    @pytest.mark.parametrize("value", [[], (), None, "step_1", {"step_1"}])
    def test_steps_are_a_list(self, value: Any) -> None:
        with pytest.raises(InvalidArgumentError, match="steps must be a list of names"):
            validate_steps(value)

    def test_each_of_several_needs_a_name(self) -> None:
        with pytest.raises(InvalidArgumentError, match="steps must be the name of a step"):
            validate_steps(["step_1", None])

    def test_a_name_given_twice_is_read_once(self) -> None:
        assert validate_steps(["step_2", "step_1", " step_2 "]) == ("step_2", "step_1")


# -- whatever the server sends

NAMES = st.sampled_from(["trigger", "step_1", "step_2", "step_3"])
TYPES = st.sampled_from(["CODE", "PIECE", "ROUTER", "BRANCH", "PIECE_TRIGGER", "WEBHOOK"])
LOOP_TYPES = st.sampled_from(["LOOP_ON_ITEMS", "LOOP_OF_LATER", "", None, 5, []])
STATUSES = st.sampled_from(["SUCCEEDED", "FAILED", "RUNNING", "PAUSED", "STOPPED", "", None, 5, {}])
RUN_STATUSES = st.sampled_from(["SUCCEEDED", "FAILED", "RUNNING", "QUEUED", "PAUSED", "NEW"])
SCALARS = st.sampled_from([None, True, 0, 1.5, "", "text", "(truncated)"])
KEYS = st.sampled_from(["iterations", "output", "headers", "size", "$apRef", "fileId", "status", "type", "trigger"])
DATA = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=8
)


def build_records(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return steps by name, some of them loops over the steps within, all of them with a secret input."""
    iterations = st.lists(inner | SCALARS, max_size=3).map(lambda found: {"item": 1, "iterations": found})
    common = {"input": st.just({"key": MARKER}), "status": STATUSES}
    more = {"outputType": st.sampled_from(["slice", None]), "errorMessage": DATA}
    step = st.fixed_dictionaries({**common, "type": TYPES}, optional={**more, "output": DATA})
    loop = st.fixed_dictionaries({**common, "type": LOOP_TYPES, "output": DATA | iterations}, optional=more)
    return st.dictionaries(NAMES, step | loop | SCALARS, max_size=4)


RECORDS = st.recursive(build_records(st.just({})), build_records, max_leaves=6)


@given(steps=RECORDS | DATA, version=DATA, status=RUN_STATUSES, path=st.sampled_from([None, "output", "iterations[0]"]))
def test_odd_data_gives_an_output_or_says_why_not(steps: Any, version: Any, status: str, path: str | None) -> None:
    run = make_run(steps, status, flowVersion=version)
    for name in ("trigger", "step_1", "step_3"):
        for include_input in (False, True):
            with suppress(StepError):
                json.dumps(read(run, name, path=path, include_input=include_input))


@given(steps=RECORDS, status=RUN_STATUSES)
def test_no_input_is_returned_or_reported_unasked(steps: Any, status: str) -> None:
    run = make_run(steps, status)
    for name in ("trigger", "step_1", "step_2", "step_3"):
        try:
            shown = json.dumps(read(run, name))
        except StepError as error:
            shown = str(error)
        assert MARKER not in shown
