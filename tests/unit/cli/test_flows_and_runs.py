"""``flows``, ``runs`` and ``run`` against the sandbox."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from airflow_provider_flowruns.cli import runs as runs_module
from airflow_provider_flowruns.sandbox import Sandbox

SERVICES = ("portable", "activepieces", "tableflow")
by_service = pytest.mark.parametrize("service", SERVICES)


def add_flow(sandbox: Sandbox, service: str, name: str = "Orders", **run: object):
    flow = getattr(sandbox, service).add_flow(name)
    if run:
        flow.add_run(waiting=0.0, running=5.0, **run)
    return flow


@by_service
def test_flows_lists_ids_names_and_last_runs(service, sandbox, run) -> None:
    failed, empty = add_flow(sandbox, service, ago=60, outcome="FAILED"), add_flow(sandbox, service, "Empty")
    result = run("flows", "--conn-id", f"{service}_default")
    assert result.code == 0, result.err
    rows = {row[0]: row[1:] for row in result.rows}
    assert rows["FLOW"] == ["NAME", "LAST RUN", "STATE", "CREATED", "TOOK"]
    assert rows[str(failed.id)][:2] == ["Orders", str(failed.runs[-1].id)]
    assert rows[str(failed.id)][2].startswith("FAILED")
    assert rows[str(failed.id)][4] == "5 s"
    assert rows[str(empty.id)] == ["Empty", "no run yet"]


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_flows_prints_records(form, read, sandbox, run) -> None:
    flow = add_flow(sandbox, "portable", ago=60)
    (record,) = read(run("flows", "--conn-id", "portable_default", "--output", form).out)
    assert (record["flow_id"], record["name"], record["error"]) == (str(flow.id), "Orders", None)
    assert record["last_run"]["run_id"] == str(flow.runs[-1].id)


def test_flows_shows_the_others_when_the_last_run_of_one_cannot_be_read(sandbox, run) -> None:
    good, bad = add_flow(sandbox, "portable", ago=60), add_flow(sandbox, "portable", ago=60)
    sandbox.faults.add("status", path=f"/{bad.id}/", status=403, times=None, body={"message": "not yours"})
    result = run("flows", "--conn-id", "portable_default")
    assert result.code == 1
    assert "not readable" in next(line for line in result.out.splitlines() if line.startswith(str(bad.id)))
    assert "SUCCEEDED" in next(line for line in result.out.splitlines() if line.startswith(str(good.id)))
    assert result.err.startswith("error: the last run of 1 of 2 flows could not be read: FR202: Portable responded ")


@by_service
def test_runs_lists_a_flows_runs_newest_first(service, sandbox, run) -> None:
    flow = add_flow(sandbox, service)
    made = [flow.add_run(ago=age, waiting=0.0, running=5.0) for age in (300, 200, 100)]
    result = run("runs", str(flow.id), "--conn-id", f"{service}_default", "--limit", "2")
    assert result.code == 0, result.err
    assert [row[0] for row in result.rows] == ["RUN", str(made[2].id), str(made[1].id)]


@by_service
def test_runs_prints_what_tasks_return(service, sandbox, run) -> None:
    flow = add_flow(sandbox, service, ago=60, outcome="FAILED")
    (record,) = json.loads(run("runs", str(flow.id), "--conn-id", f"{service}_default", "--output", "json").out)
    assert (record["run_id"], record["disposition"]) == (str(flow.runs[-1].id), "FAILED")


@pytest.mark.parametrize("word", ["failed", "FAILED", "not_running/failed"])
def test_runs_filters_by_a_word_of_ours_or_of_the_service(word, sandbox, run) -> None:
    flow = add_flow(sandbox, "portable", ago=300, outcome="FAILED")
    flow.add_run(ago=200, waiting=0.0, running=5.0)
    result = run("runs", str(flow.id), "--conn-id", "portable_default", "--status", word)
    assert [row[0] for row in result.rows[1:]] == [str(flow.runs[0].id)]


@pytest.mark.parametrize("form", ["ago", "time"])
def test_runs_filters_by_time(form, sandbox, run) -> None:
    flow = add_flow(sandbox, "activepieces", ago=7_200)
    newer = flow.add_run(ago=600, waiting=0.0, running=5.0)
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    since = "1h" if form == "ago" else hour_ago.isoformat()
    result = run("runs", str(flow.id), "--conn-id", "activepieces_default", "--since", since)
    assert [row[0] for row in result.rows[1:]] == [newer.id]


def test_runs_searches_further_back_and_says_where_it_stops(sandbox, run, monkeypatch) -> None:
    monkeypatch.setattr(runs_module, "_FIRST_SEARCH", 2)
    monkeypatch.setattr(runs_module, "MAX_SEARCHED_RUNS", 4)
    flow = add_flow(sandbox, "portable", ago=900, outcome="FAILED")  # beyond the newest four
    third = flow.add_run(ago=800, waiting=0.0, running=5.0, outcome="FAILED")
    for age in (700, 600, 500):
        flow.add_run(ago=age, waiting=0.0, running=5.0)
    line = ("runs", str(flow.id), "--conn-id", "portable_default", "--status", "failed", "--limit")
    found = run(*line, "1")
    assert [row[0] for row in found.rows[1:]] == [str(third.id)]
    assert found.err == ""
    cut = run(*line, "2")
    assert [row[0] for row in cut.rows[1:]] == [str(third.id)]
    assert cut.err == "note: only the newest 4 runs of the flow were searched\n"


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ((), "note: the flow has no run yet\n"),
        (("--status", "failed"), "note: no run of the flow matches\n"),
        (("--since", "1h"), "note: no run of the flow matches\n"),
    ],
    ids=["all", "by status", "by time"],
)
def test_runs_says_why_its_list_is_empty(options, note, sandbox, run) -> None:
    flow = sandbox.portable.add_flow("Orders")
    if options:
        flow.add_run(ago=7_200, waiting=0.0, running=5.0)
    result = run("runs", str(flow.id), "--conn-id", "portable_default", *options)
    assert (result.code, result.err) == (0, note)
    assert len(result.rows) == 1


def test_run_shows_errors_rows_and_link(sandbox, run) -> None:
    flow = sandbox.portable.add_flow("Orders")
    made = flow.add_run(ago=60, outcome="FAILED", errors=["Source is down", "Destination is down"])
    result = run("run", str(made.id), "--flow", str(flow.id), "--conn-id", "portable_default")
    assert result.code == 0
    shown = [line.split(maxsplit=1) for line in result.out.splitlines()]
    assert [value for name, value in shown if name == "error"] == ["Source is down", "Destination is down"]
    assert ["state", "FAILED"] in shown
    assert ["link", "https://app.portable.io/"] in shown
    assert any(name == "rows" for name, _ in shown)


def test_run_shows_the_steps_of_an_activepieces_run(sandbox, run) -> None:
    flow = add_flow(sandbox, "activepieces", ago=60, outcome="FAILED", errors=["HTTP 500", "    at step_1"])
    result = run("run", flow.runs[-1].id, "--conn-id", "activepieces_default")
    assert "STEP  " in result.out
    assert "Catch Webhook  SUCCEEDED" in result.out
    record = json.loads(run("run", flow.runs[-1].id, "--conn-id", "activepieces_default", "--output", "json").out)
    assert [step["name"] for step in record["steps"]] == ["trigger", "step_1"]
    assert "HTTP 500" in record["steps"][1]["error"]


def test_run_shows_the_steps_of_a_tableflow_run(sandbox, run) -> None:
    flow = add_flow(sandbox, "tableflow", ago=60)
    record = json.loads(run("run", flow.runs[-1].id, "--conn-id", "tableflow_default", "--output", "json").out)
    assert {step["status"] for step in record["steps"]} == {"completed"}


@pytest.mark.parametrize("command", ["run", "watch"])
def test_portable_needs_the_flow_of_a_run(command, sandbox, run) -> None:
    result = run(command, "1", "--conn-id", "portable_default")
    assert result.code == 2
    assert (
        result.err
        == "error: FR301: Portable finds a run only by its flow, and flow_id is missing; name it with --flow\n"
    )
    assert sandbox.ledger.requests == []


@pytest.mark.parametrize("command", ["run", "watch"])
@by_service
def test_an_id_that_could_change_the_path_is_refused(command, service, sandbox, run) -> None:
    result = run(command, "../../admin", "--conn-id", f"{service}_default")
    assert result.code == 2
    assert result.err.startswith("error: FR301: run_id must look like ")
    assert sandbox.ledger.requests == []


@pytest.mark.parametrize(
    "arguments",
    [("--limit", "0"), ("--limit", "1001"), ("--limit", "x"), ("--since", "yesterday"), ("--output", "xml")],
    ids=" ".join,
)
def test_an_invalid_argument_is_named(arguments, sandbox, run) -> None:
    flow = add_flow(sandbox, "portable", ago=60)
    result = run("runs", str(flow.id), "--conn-id", "portable_default", *arguments)
    assert result.code == 2
    assert arguments[0] in result.err
    assert sandbox.ledger.requests == []


@by_service
def test_an_unknown_flow_is_an_error(service, sandbox, run) -> None:
    known = add_flow(sandbox, service)
    unknown = str(known.id + 1) if service == "portable" else "X" * len(known.id)
    result = run("runs", unknown, "--conn-id", f"{service}_default")
    assert result.code == 1
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1


def test_a_name_of_a_service_cannot_steer_the_terminal(sandbox, run) -> None:
    sandbox.portable.add_flow("\x1b[2J[red]Or\nders\x07")
    result = run("flows", "--conn-id", "portable_default")
    assert "\x1b" not in result.out
    assert "\x07" not in result.out
    assert "[2J[red]Or ders" in result.out


def test_a_terminal_gets_a_table_in_colour_with_the_same_words(sandbox, run, monkeypatch, capsys) -> None:
    sandbox.portable.add_flow("[bold]Orders[/bold]", 568101).add_run(ago=60, outcome="FAILED")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for name, value in {"COLUMNS": "140", "TERM": "xterm-256color"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    result = run("flows", "--conn-id", "portable_default")
    assert "[bold]Orders[/bold]" in result.out
    assert "\x1b[1;31mFAILED\x1b[0m" in result.out
