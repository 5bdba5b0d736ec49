"""Run the example DAGs in a real Airflow against the sandbox, show the results, and check them.

Run it with ``make demo``. The exit status is 0 if all checks pass. ``make demo KEEP=1`` leaves Airflow and the sandbox
up to look around, until Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import shutil
import signal
import sys
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from airflow_provider_flowruns.model.counts import format_count
from airflow_provider_flowruns.sandbox import Sandbox, SandboxFlow
from airflow_provider_flowruns.sandbox.scenario import (
    ACTIVEPIECES_FLOW_ID,
    ACTIVEPIECES_PAUSING_FLOW_ID,
    ACTIVEPIECES_STEPS_FLOW_ID,
    COUNTING_STEPS,
    NO_ROWS,
    ORDERS,
    PORTABLE_EMPTY_FLOW_ID,
    PORTABLE_FAILING_FLOW_ID,
    PORTABLE_FLOW_ID,
    PORTABLE_SLOW_FLOW_ID,
    PORTABLE_WORKFLOW_ID,
    TABLEFLOW_FLOW_ID,
    seed,
)
from tools.airflow_api import AirflowError, TaskInstance
from tools.demo_tour import build_tour
from tools.progress import Step, print_progress
from tools.real_airflow import ADMIN, RealAirflow
from tools.secret_scan import find_secrets
from tools.stepped_clock import SteppedClock

CHECKOUT = Path(__file__).resolve().parents[1]
EXAMPLES = CHECKOUT / "example_dags"
# Kept, for its logs.
HOME = CHECKOUT / ".demo" / "airflow"
# Where tasks write their temporary files; removed at the end.
TEMPORARY = CHECKOUT / ".demo" / "tmp"

SUCCESS = "success"
EXPECTED: dict[str, dict[str, str]] = {
    "portable_wait_and_history": {"loaded": SUCCESS, "attempts": SUCCESS, "judge": SUCCESS},
    "portable_history": {
        "newest": SUCCESS,
        "ended": SUCCESS,
        "attempts": SUCCESS,
        "count_by_disposition": SUCCESS,
        "archive": SUCCESS,
        "rows_loaded": SUCCESS,
        "last_disposition": SUCCESS,
    },
    "portable_failed_run": {"contacts_loaded": "failed", "build_report": "upstream_failed"},
    "activepieces_wait": {"newest": SUCCESS, "ended": SUCCESS, "run": SUCCESS},
    "tableflow_wait": {"newest": SUCCESS, "ended": SUCCESS, "run": SUCCESS},
    "portable_run_flow": {"load": SUCCESS, "rows_loaded": SUCCESS},
    "activepieces_run_flow": {"notify": SUCCESS, "seconds_taken": SUCCESS},
    "tableflow_run_flow": {"fetch_invoice": SUCCESS, "read_invoice": SUCCESS, "get_run_id": SUCCESS},
    "portable_finished_asset": {"runs_that_ended": SUCCESS},
    "portable_quality_gate": {
        "load": SUCCESS,
        "attempts": SUCCESS,
        "plausible": "failed",
        "publish": "upstream_failed",
    },
    "activepieces_step_branch": {
        "count_orders": SUCCESS,
        "order_ids": SUCCESS,
        "choose": SUCCESS,
        "process_orders": SUCCESS,
        "no_orders": "skipped",
    },
    "tableflow_invoice_rows": {"fetch_invoice": SUCCESS, "read_invoice": SUCCESS, "load_rows": SUCCESS},
    "three_services": {"nightly_load": SUCCESS, "orders_synced": SUCCESS, "invoices_read": SUCCESS, "report": SUCCESS},
}
# Not triggered by the demo, but by its watcher at the end of a run.
WATCHER_DAG = "portable_finished_asset"
FAILING_TASK = ("portable_failed_run", "contacts_loaded")

VENDOR_ERROR = "Destination rejected table contacts: column email is too narrow"
ROWS_LOADED = 1500
SUCCESS_RATE = 0.95
EXTRACTED_ROWS, EXTRACTED_TOTAL = 3, 699.88

# Patterns of the files that tasks write into their temporary folder.
FILES = (
    "flowruns-invoices/*/invoice.pdf",
    "flowruns-invoices/*/line_items.jsonl",
    f"flowruns-archive/{PORTABLE_FLOW_ID}/*.jsonl",
    "flowruns-*.lock",
)

# DAGs that start a run, with the task that starts it and the flow.
STARTING_DAGS: dict[str, tuple[str, int | str]] = {
    "portable_run_flow": ("load", PORTABLE_SLOW_FLOW_ID),
    "activepieces_run_flow": ("notify", ACTIVEPIECES_PAUSING_FLOW_ID),
    "tableflow_run_flow": ("read_invoice", TABLEFLOW_FLOW_ID),
    "portable_quality_gate": ("load", PORTABLE_EMPTY_FLOW_ID),
    "activepieces_step_branch": ("count_orders", ACTIVEPIECES_STEPS_FLOW_ID),
    "tableflow_invoice_rows": ("read_invoice", TABLEFLOW_FLOW_ID),
}

# What tasks compute from what a run made.
RESULTS: dict[tuple[str, str], Any] = {
    ("portable_wait_and_history", "judge"): {"rows_loaded": ROWS_LOADED, "success_rate": SUCCESS_RATE},
    ("portable_history", "last_disposition"): "SUCCEEDED",
    ("activepieces_step_branch", "order_ids"): [order["id"] for order in ORDERS],
    ("activepieces_step_branch", "process_orders"): len(ORDERS),
    ("tableflow_invoice_rows", "load_rows"): {"rows": EXTRACTED_ROWS, "total": EXTRACTED_TOTAL},
}
GATE_TASK = ("portable_quality_gate", "plausible")

PENDING_TASKS = [
    ("portable_wait_and_history", "loaded"),
    ("portable_history", "ended"),
    FAILING_TASK,
    ("activepieces_wait", "ended"),
    ("three_services", "nightly_load"),
    ("three_services", "orders_synced"),
    ("portable_run_flow", "load"),
    ("portable_quality_gate", "load"),
]
# Activepieces does not show the trigger output of a queued run, so any of them may be the run of these tasks.
QUEUED_TASKS = [("activepieces_run_flow", "notify"), ("activepieces_step_branch", "count_orders")]
# TableFlow has no status for a run that has not started.
WAITING_TASKS = [
    *PENDING_TASKS,
    *QUEUED_TASKS,
    ("tableflow_wait", "ended"),
    ("three_services", "invoices_read"),
    ("tableflow_run_flow", "read_invoice"),
    ("tableflow_invoice_rows", "read_invoice"),
]

ENDPOINTS = {
    "Portable, status of a flow": r"/portable/v2/flows/\d+/status",
    "Portable, status of a workflow": r"/portable/v2/workflows/\d+/status",
    "Portable, run attempts of a flow": r"/portable/v2/flows/\d+/run",
    "Activepieces, a flow run": r"/activepieces/api/v1/flow-runs/\w+",
    "TableFlow, a flow run": r"/tableflow/v2/flows/runs/\w+",
}

# Seconds on the sandbox's clock. Runs are scheduled every 20 and 30 s; the whole demo takes place between two of them.
BEHIND_SECONDS = 30.0
HISTORY_SECONDS = 10.0
# No flow runs for an hour before the demo. The clock stands still while tasks wait, so it falls behind that of Airflow,
# and the tasks, which take that into account, accept runs that are older by as much.
PAUSE_SECONDS = 3_600.0
WAITING_SECONDS, RUNNING_SECONDS = 2.0, 6.0
SECONDS_TO_RUNNING, SECONDS_TO_END = 3.0, 6.0

POLL_SECONDS = 3.0
TIMEOUT_SECONDS = 120.0


@dataclass
class Checks:
    """The results of all checks."""

    lines: list[str] = field(default_factory=list)
    failed: int = 0
    printed: int = 0

    def check(self, passed: bool, description: str, found: object = "") -> None:
        """Record one check, and what was found instead if it failed."""
        self.failed += not passed
        self.lines.append(f"  ok      {description}" if passed else f"  NOT OK  {description}: {found}")

    def print_new(self) -> None:
        """Print the results that have not been printed yet."""
        print("\n".join(self.lines[self.printed :]), flush=True)
        self.printed = len(self.lines)


@dataclass
class Demo:
    """The state of the demo."""

    sandbox: Sandbox
    clock: SteppedClock
    airflow: RealAirflow
    checks: Checks
    runs: dict[str, str] = field(default_factory=dict)
    watched_run_id: str = ""

    def get_awaited(self) -> str:
        """Return what the demo waits for at the moment."""
        return self.airflow.awaited

    def get_log(self, dag_id: str, task_id: str) -> str:
        """Return a task's log."""
        return self.airflow.get_log(dag_id, self.runs[dag_id], task_id)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="leave Airflow and the sandbox up until Ctrl-C")
    options = parser.parse_args(arguments)
    checks = Checks()
    end_on_signals()
    for folder in (HOME, TEMPORARY):
        shutil.rmtree(folder, ignore_errors=True)
    TEMPORARY.mkdir(parents=True)
    try:
        run(checks, keep=options.keep)
    finally:
        shutil.rmtree(TEMPORARY, ignore_errors=True)
    check_leftovers(checks)
    return report_results(checks)


def end_on_signals() -> None:
    """End in order, with all processes, on Ctrl-C, a closed terminal and SIGTERM. Further signals are ignored."""
    numbers = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)

    def end(number: int, _frame: object) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        print_progress("demo", "ending everything that it started")
        sys.exit(128 + number)

    for number in numbers:
        signal.signal(number, end)


def run(checks: Checks, *, keep: bool) -> None:
    """Run the DAGs, show and check the results, and keep everything up afterwards if that is wanted."""
    clock = SteppedClock(PAUSE_SECONDS + BEHIND_SECONDS)
    password = secrets.token_urlsafe(9)
    with Sandbox(clock=clock) as sandbox:
        prepare_history(sandbox, clock)
        print_progress("sandbox", f"three APIs at {sandbox.url}, no account needed")
        airflow = RealAirflow(
            EXAMPLES,
            env=sandbox.connections() | {"TMPDIR": str(TEMPORARY)},
            home=HOME,
            poke_interval=POLL_SECONDS,
            password=password,
        )
        demo = Demo(sandbox, clock, airflow, checks)
        with ExitStack() as processes:
            start_airflow(demo, processes)
            start_runs(demo)
            advance_runs(demo)
            wait_for_watcher(demo)
            wait_for_dag_runs(demo)
            check_tasks(demo)
            check_endpoints(demo)
            check_files(demo)
            if keep:
                checks.print_new()
                print(build_tour(airflow.url, sandbox.url, ADMIN, password, demo.runs), flush=True)
                keep_up(demo)
        check_secrets(demo)


def start_airflow(demo: Demo, processes: ExitStack) -> None:
    """Start Airflow, and wait until it has loaded the example DAGs."""
    with Step("Airflow", "creating its database and starting its processes") as step:
        processes.enter_context(demo.airflow)
        processes.callback(stop_airflow, demo)
        step.finish("started")
    with Step("Airflow", "loading the example DAGs", describe=demo.get_awaited) as step:
        demo.airflow.wait_until_ready(EXPECTED)
        step.finish(f"ready at {demo.airflow.url}, its logs are in {HOME.relative_to(CHECKOUT)},")


def stop_airflow(demo: Demo) -> None:
    """Stop Airflow."""
    with Step("Airflow", "stopping its processes"):
        demo.airflow.stop()


def keep_up(demo: Demo) -> None:
    """Leave everything up until Ctrl-C. From now on the sandbox's time passes."""
    demo.clock.release()
    interrupted = threading.Event()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    while not interrupted.wait(1):
        demo.airflow.check_alive()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def prepare_history(sandbox: Sandbox, clock: SteppedClock) -> None:
    """Add flows and their history to the sandbox: all runs succeeded except one, and none is recent."""
    seed(sandbox)
    find_flow(sandbox.portable.flows, PORTABLE_FLOW_ID).add_run(outcome="FAILED", ago=90)
    for service in (sandbox.portable, sandbox.activepieces, sandbox.tableflow):
        for flow in service.flows:
            flow.pause_schedule(PAUSE_SECONDS)
    for workflow in sandbox.portable.workflows:
        workflow.pause_schedule(PAUSE_SECONDS)
    clock.advance(PAUSE_SECONDS + HISTORY_SECONDS)


def start_runs(demo: Demo) -> None:
    """Start a run of every flow, and trigger the DAGs that wait for them."""
    portable, activepieces, tableflow = demo.sandbox.services
    watched_run = find_flow(portable.flows, PORTABLE_FLOW_ID).add_run(waiting=WAITING_SECONDS, running=RUNNING_SECONDS)
    demo.watched_run_id = str(watched_run.id)
    find_flow(demo.sandbox.portable.workflows, PORTABLE_WORKFLOW_ID).add_run(
        waiting=WAITING_SECONDS, running=RUNNING_SECONDS
    )
    find_flow(portable.flows, PORTABLE_FAILING_FLOW_ID).add_run(
        outcome="FAILED", waiting=WAITING_SECONDS, running=RUNNING_SECONDS, errors=[VENDOR_ERROR]
    )
    find_flow(activepieces.flows, ACTIVEPIECES_FLOW_ID).add_run(waiting=WAITING_SECONDS, running=RUNNING_SECONDS)
    find_flow(tableflow.flows, TABLEFLOW_FLOW_ID).add_run(waiting=0, running=WAITING_SECONDS + RUNNING_SECONDS)
    # Runs that are started by DAGs.
    find_flow(portable.flows, PORTABLE_SLOW_FLOW_ID).next_run(waiting=WAITING_SECONDS, running=RUNNING_SECONDS)
    find_flow(activepieces.flows, ACTIVEPIECES_PAUSING_FLOW_ID).next_run(
        waiting=WAITING_SECONDS, running=RUNNING_SECONDS
    )
    find_flow(portable.flows, PORTABLE_EMPTY_FLOW_ID).next_run(
        waiting=WAITING_SECONDS, running=RUNNING_SECONDS, resources=NO_ROWS
    )
    find_flow(activepieces.flows, ACTIVEPIECES_STEPS_FLOW_ID).next_run(
        waiting=WAITING_SECONDS, running=RUNNING_SECONDS, steps=COUNTING_STEPS
    )
    # These may start only after the first step of the clock: their tasks have an upstream task.
    for _ in range(2):
        find_flow(tableflow.flows, TABLEFLOW_FLOW_ID).next_run(waiting=0, running=RUNNING_SECONDS)
    with Step("DAGs", "triggering them") as step:
        demo.runs.update({dag_id: demo.airflow.trigger(dag_id) for dag_id in EXPECTED if dag_id != WATCHER_DAG})
        step.finish(f"{len(demo.runs)} triggered")


def advance_runs(demo: Demo) -> None:
    """Advance the runs, each time after every waiting task has logged the current status."""
    wait_for_status(demo, "PENDING", PENDING_TASKS)
    wait_for_status(demo, "queued", QUEUED_TASKS)
    demo.clock.advance(SECONDS_TO_RUNNING)
    wait_for_status(demo, "RUNNING", WAITING_TASKS)
    with Step("watcher", "waiting for its first poll"):
        demo.airflow.wait_for("the watcher's first poll", lambda: bool(get_watcher_cursors(demo)), TIMEOUT_SECONDS)
    demo.clock.advance(SECONDS_TO_END)


def wait_for_status(demo: Demo, status: str, waiting: Collection[tuple[str, str]]) -> None:
    """Wait until the waiting tasks have logged that their runs have this status."""
    errors = []
    text = f"waiting until {len(waiting)} tasks log that their run is {status}"
    with Step(status, text, describe=demo.get_awaited) as step:
        for dag_id, task_id in waiting:
            try:
                demo.airflow.wait_for_log(dag_id, demo.runs[dag_id], task_id, f"is {status}", timeout=TIMEOUT_SECONDS)
            except (AirflowError, TimeoutError) as error:
                errors.append(str(error))
        step.finish(f"logged by {len(waiting) - len(errors)} of them")
    demo.checks.check(not errors, f"{len(waiting)} waiting tasks log that their run is {status}", "; ".join(errors))


def get_watcher_cursors(demo: Demo) -> list[Any]:
    """Return the cursors that the watcher has stored."""
    assets = demo.airflow.get("/api/v2/assets", dag_ids=WATCHER_DAG)["assets"]
    return [
        entry
        for asset in assets
        for entry in demo.airflow.get(f"/api/v2/assets/{asset['id']}/state-store")["asset_state_store"]
    ]


def get_watcher_dag_runs(demo: Demo) -> list[str]:
    """Return the ids of the DAG runs that the watcher has started."""
    return [run["dag_run_id"] for run in demo.airflow.get(f"/api/v2/dags/{WATCHER_DAG}/dagRuns")["dag_runs"]]


def wait_for_watcher(demo: Demo) -> None:
    """Wait until the end of a run has started a DAG."""
    try:
        with Step("watcher", f"waiting until the end of a run starts {WATCHER_DAG}"):
            demo.airflow.wait_for(f"a run of {WATCHER_DAG}", lambda: bool(get_watcher_dag_runs(demo)), TIMEOUT_SECONDS)
    except TimeoutError as error:
        demo.checks.check(False, f"{WATCHER_DAG} is started", error)
    else:
        demo.runs[WATCHER_DAG] = get_watcher_dag_runs(demo)[0]


def wait_for_dag_runs(demo: Demo) -> None:
    """Wait until all DAG runs have ended, and check their states."""
    with Step("DAGs", "waiting until all runs have ended", describe=demo.get_awaited):
        for dag_id, run_id in demo.runs.items():
            expected = "failed" if "failed" in EXPECTED[dag_id].values() else SUCCESS
            try:
                state = demo.airflow.wait_for_run(dag_id, run_id, TIMEOUT_SECONDS)
            except TimeoutError as error:
                state = str(error)
            demo.checks.check(state == expected, f"{dag_id} ends as {expected}", state)


def check_tasks(demo: Demo) -> None:
    """Show all tasks, and check their states and results."""
    show_tasks(demo)
    check_failure(demo)
    check_quality_gate(demo)
    with Step("checks", "comparing results, starts and logs with what is expected"):
        check_results(demo)
        check_starts(demo)
        check_watcher(demo)
        check_deferred(demo)


def show_tasks(demo: Demo) -> None:
    """Show all tasks in a table, and check their states."""
    print(f"\n{'DAG':<26} {'task':<21} {'state':<16} {'seconds':>7}  XCom")
    for dag_id, run_id in demo.runs.items():
        instances = demo.airflow.list_task_instances(dag_id, run_id)
        for instance in instances:
            print(format_task(demo, dag_id, instance), flush=True)
        states = {instance.task_id: str(instance.state) for instance in instances}
        demo.checks.check(states == EXPECTED[dag_id], f"{dag_id}: every task ends as expected", states)


def format_task(demo: Demo, dag_id: str, instance: TaskInstance) -> str:
    """Return one line of the table of tasks."""
    run_id, task_id = demo.runs[dag_id], instance.task_id
    seconds = demo.airflow.get_log_duration(dag_id, run_id, task_id) if instance.try_number else None
    values = demo.airflow.get_xcoms(dag_id, run_id, task_id)
    result = summarize(values["return_value"]) if "return_value" in values else "-"
    duration = "-" if seconds is None else f"{seconds:.1f}"
    return f"{dag_id:<26} {task_id:<21} {instance.state or 'none':<16} {duration:>7}  {result}"


def check_failure(demo: Demo) -> None:
    """Show the error message of the failing sensor, and check it."""
    errors = [line for line in demo.get_log(*FAILING_TASK).splitlines() if line.startswith("FlowRunFailed")]
    print(f"\n{'.'.join(FAILING_TASK)} fails as expected:\n  {' '.join(errors) or 'no error message'}\n")
    has_vendor_error = any(VENDOR_ERROR in line for line in errors)
    demo.checks.check(has_vendor_error, "the failing sensor's log contains the vendor's error text", errors)


def check_results(demo: Demo) -> None:
    """Check what tasks compute from the XCom, and from the files, of the tasks before them."""
    for (dag_id, task_id), expected in RESULTS.items():
        result = demo.airflow.get_xcoms(dag_id, demo.runs[dag_id], task_id).get("return_value")
        demo.checks.check(result == expected, f"{dag_id}.{task_id} returns {json.dumps(expected)}", result)


def check_quality_gate(demo: Demo) -> None:
    """Show the report of the quality check, and check that it fails on a load without rows."""
    dag_id, task_id = GATE_TASK
    report = demo.airflow.get_xcoms(dag_id, demo.runs[dag_id], task_id).get("return_value") or {"checks": []}
    failed = [check for check in report["checks"] if check["status"] == "failed"]
    print(f"{dag_id}.{task_id} fails as expected:")
    print("\n".join(f"  {check['name']}: {check['message']}" for check in failed) + "\n")
    names = {check["name"] for check in failed}
    demo.checks.check("allow_zero_rows" in names, "the quality check fails on a load of zero rows", report)


def check_starts(demo: Demo) -> None:
    """Check in the sandbox's ledger that each task started one run, and that this run is its result."""
    for flow_id in dict.fromkeys(flow_id for _, flow_id in STARTING_DAGS.values()):
        tasks = {dag_id: task_id for dag_id, (task_id, flow) in STARTING_DAGS.items() if flow == flow_id}
        results = [
            demo.airflow.get_xcoms(dag_id, demo.runs[dag_id], task_id).get("return_value") or {}
            for dag_id, task_id in tasks.items()
        ]
        started = [str(event.run_id) for event in demo.sandbox.ledger.started if event.flow_id == flow_id]
        demo.checks.check(
            sorted(str(result.get("run_id")) for result in results) == sorted(started),
            f"{', '.join(tasks)}: each started one run, and it is the result",
            started,
        )


def check_watcher(demo: Demo) -> None:
    """Check that the run that ended started its DAG once, with its id."""
    (task_id,) = EXPECTED[WATCHER_DAG]
    received = [
        demo.airflow.get_xcoms(WATCHER_DAG, run_id, task_id).get("return_value")
        for run_id in get_watcher_dag_runs(demo)
    ]
    expected = [[{"run_id": demo.watched_run_id, "rows_loaded": ROWS_LOADED}]]
    demo.checks.check(received == expected, f"{WATCHER_DAG}: started once, by the run that ended", received)


def check_deferred(demo: Demo) -> None:
    """Check that every wait took place in the triggerer."""
    in_worker = [
        f"{dag}.{task}" for dag, task in WAITING_TASKS if "Pausing task as DEFERRED" not in demo.get_log(dag, task)
    ]
    demo.checks.check(not in_worker, f"{len(WAITING_TASKS)} tasks waited in the triggerer", in_worker)


def check_endpoints(demo: Demo) -> None:
    """Check in the sandbox's ledger that every documented endpoint was called successfully."""
    paths = [request.path for request in demo.sandbox.ledger.requests if request.status == 200]
    for name, pattern in ENDPOINTS.items():
        count = sum(bool(re.fullmatch(pattern, path)) for path in paths)
        demo.checks.check(count > 0, f"{name}: {count} successful requests")


def check_files(demo: Demo) -> None:
    """Check that tasks wrote their files into the demo's own temporary folder."""
    missing = [pattern for pattern in FILES if not [*TEMPORARY.glob(pattern)]]
    demo.checks.check(not missing, "tasks wrote their temporary files into the demo's own folder", missing)


def check_leftovers(checks: Checks) -> None:
    """Check that no process and no temporary file is left."""
    left = [process.pid for process in psutil.process_iter() if get_airflow_home(process) == str(HOME)]
    checks.check(not left, "no process is left", left)
    checks.check(not TEMPORARY.exists(), "no temporary file is left", TEMPORARY)


def get_airflow_home(process: psutil.Process) -> str | None:
    """Return the home of a process of an Airflow, None for any other process."""
    with suppress(psutil.Error):
        return process.environ().get("AIRFLOW_HOME")
    return None


def check_secrets(demo: Demo) -> None:
    """Search everything that Airflow and the tasks have written for the tokens."""
    found = find_secrets(HOME.parent, [service.token for service in demo.sandbox.services])
    demo.checks.check(not found, "no token in any log, in the database, in XCom or in rendered fields", found)


def report_results(checks: Checks) -> int:
    """Print the results of all checks and return the exit status."""
    checks.print_new()
    if checks.failed:
        print(f"\n{checks.failed} of {len(checks.lines)} checks failed.")
        return 1
    print("\nAll checks passed.")
    return 0


def find_flow(flows: Iterable[SandboxFlow[Any]], flow_id: int | str) -> SandboxFlow[Any]:
    """Find a flow of the sandbox by its id."""
    return next(flow for flow in flows if flow.id == flow_id)


def summarize(value: Any) -> str:
    """Summarize an XCom value: a run, a list of runs, or any other JSON."""
    if is_run(value):
        rows = f", {format_count(value['rows']['loaded'], 'row')} loaded" if value.get("rows") else ""
        return f"{value['kind']} {value['run_id'] or value['flow_id']}: {value['disposition']}{rows}"
    if isinstance(value, list) and value and all(is_run(item) for item in value):
        states = Counter(run["lifecycle" if run["disposition"] == "NONE" else "disposition"] for run in value)
        return f"{format_count(len(value), 'run')}: " + ", ".join(f"{count} {state}" for state, count in states.items())
    return json.dumps(value)[:80]


def is_run(value: Any) -> bool:
    """Return whether a value is the summary of a run."""
    return isinstance(value, Mapping) and {"lifecycle", "disposition"} <= value.keys()


if __name__ == "__main__":
    sys.exit(main())
