"""Run the example DAGs in a real Airflow against the sandbox, show what came of it, and check it all.

Run it with ``make demo``. The status is 0 when everything is as it should be.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_flowruns.sandbox import Sandbox, SandboxFlow
from airflow_provider_flowruns.sandbox.scenario import (
    ACTIVEPIECES_FLOW_ID,
    ACTIVEPIECES_PAUSING_FLOW_ID,
    PORTABLE_FAILING_FLOW_ID,
    PORTABLE_FLOW_ID,
    PORTABLE_SLOW_FLOW_ID,
    PORTABLE_WORKFLOW_ID,
    TABLEFLOW_FLOW_ID,
    seed,
)
from tools.airflow_api import AirflowBroken, TaskInstance
from tools.leaks import find_leaks
from tools.real_airflow import RealAirflow
from tools.stage import SteppedClock

CHECKOUT = Path(__file__).resolve().parents[1]
EXAMPLES = CHECKOUT / "example_dags"
HOME = CHECKOUT / ".demo" / "airflow"

DONE = "success"
EXPECTED: dict[str, dict[str, str]] = {
    "portable_wait_and_history": {"loaded": DONE, "attempts": DONE, "judge": DONE},
    "portable_history": {
        "newest": DONE,
        "ended": DONE,
        "attempts": DONE,
        "count_by_disposition": DONE,
        "archive": DONE,
        "rows_loaded": DONE,
    },
    "portable_failed_run": {"contacts_loaded": "failed", "build_report": "upstream_failed"},
    "activepieces_wait": {"newest": DONE, "ended": DONE, "run": DONE},
    "tableflow_wait": {"newest": DONE, "ended": DONE, "run": DONE},
    "portable_run_flow": {"load": DONE, "rows_loaded": DONE},
    "activepieces_run_flow": {"notify": DONE, "seconds_taken": DONE},
    "tableflow_run_flow": {"fetch_invoice": DONE, "read_invoice": DONE, "run_id_of": DONE},
    "portable_finished_asset": {"runs_that_ended": DONE},
    "three_services": {"nightly_load": DONE, "orders_synced": DONE, "invoices_read": DONE, "report": DONE},
}
# Nobody triggers this one: its watcher does, at the end of a run.
WATCHING = "portable_finished_asset"
FAILING = ("portable_failed_run", "contacts_loaded")
JUDGE = ("portable_wait_and_history", "judge")

# The DAG that starts a run, and how it starts and waits.
STARTING = {
    "portable_run_flow": ("load", PORTABLE_SLOW_FLOW_ID),
    "activepieces_run_flow": ("notify", ACTIVEPIECES_PAUSING_FLOW_ID),
    "tableflow_run_flow": ("read_invoice", TABLEFLOW_FLOW_ID),
}

WAITING_WITH_PENDING = [
    ("portable_wait_and_history", "loaded"),
    ("portable_history", "ended"),
    FAILING,
    ("activepieces_wait", "ended"),
    ("three_services", "nightly_load"),
    ("three_services", "orders_synced"),
    ("portable_run_flow", "load"),
]
# Activepieces does not show what a queued run was called with, so it may be the task's own.
QUEUED = ("activepieces_run_flow", "notify")
# TableFlow has no word for a run that has not begun.
WAITING_TASKS = [
    *WAITING_WITH_PENDING,
    QUEUED,
    ("tableflow_wait", "ended"),
    ("three_services", "invoices_read"),
    ("tableflow_run_flow", "read_invoice"),
]

ENDPOINTS = {
    "Portable, status of a flow": r"/portable/v2/flows/\d+/status",
    "Portable, status of a workflow": r"/portable/v2/workflows/\d+/status",
    "Portable, run attempts of a flow": r"/portable/v2/flows/\d+/run",
    "Activepieces, a flow run": r"/activepieces/api/v1/flow-runs/\w+",
    "TableFlow, a flow run": r"/tableflow/v2/flows/runs/\w+",
}

VENDOR_ERROR = "Destination rejected table contacts: column email is too narrow"
ROWS_LOADED = 1500
SUCCESS_RATE = 0.95

# Seconds on the sandbox's clock. Scheduled runs come every 20 and 30 s: all of the demo happens between two of them.
BEHIND = 30.0
HISTORY_ENDS = 10.0
WAITING, RUNNING = 2.0, 6.0
INTO_RUNNING, TO_THE_END = 3.0, 6.0

POLL_SECONDS = 3.0
PATIENCE = 120.0


@dataclass
class Checks:
    """What should hold, and whether it does."""

    lines: list[str] = field(default_factory=list)
    failed: int = 0

    def that(self, holds: bool, claim: str, found: object = "") -> None:
        """Note down one claim, and what was found where it does not hold."""
        self.failed += not holds
        self.lines.append(f"  ok      {claim}" if holds else f"  NOT OK  {claim}: {found}")


@dataclass
class Scene:
    """Everything the acts of the demo work with."""

    sandbox: Sandbox
    clock: SteppedClock
    airflow: RealAirflow
    checks: Checks
    runs: dict[str, str] = field(default_factory=dict)
    watched_run_id: str = ""

    def log(self, dag_id: str, task_id: str) -> str:
        """Return a task's log."""
        return self.airflow.log(dag_id, self.runs[dag_id], task_id)


def main() -> int:
    """Run the demo and return its exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    checks = Checks()
    shutil.rmtree(HOME, ignore_errors=True)
    clock = SteppedClock(BEHIND)
    with Sandbox(clock=clock) as sandbox:
        prepare_history(sandbox, clock)
        say("sandbox", f"three APIs at {sandbox.url}, no account needed")
        with RealAirflow(EXAMPLES, env=sandbox.connections(), home=HOME, poke_interval=POLL_SECONDS) as airflow:
            scene = Scene(sandbox, clock, airflow, checks)
            wait_ready(scene)
            start_runs(scene)
            play_runs(scene)
            wait_watcher(scene)
            wait_dags(scene)
            check_tasks(scene)
            check_endpoints(scene)
        check_secrets(scene)
    return report(checks)


def prepare_history(sandbox: Sandbox, clock: SteppedClock) -> None:
    """Fill the sandbox with flows and what they did so far: all succeeded but one."""
    seed(sandbox)
    flow_of(sandbox.portable.flows, PORTABLE_FLOW_ID).add_run(outcome="FAILED", ago=90)
    clock.advance(HISTORY_ENDS)


def wait_ready(scene: Scene) -> None:
    """Wait until Airflow knows the example DAGs."""
    began = time.monotonic()
    scene.airflow.wait_ready(EXPECTED)
    say("Airflow", f"ready after {time.monotonic() - began:.0f} s; its logs are in {HOME.relative_to(CHECKOUT)}")


def start_runs(scene: Scene) -> None:
    """Let a run begin at every flow, and trigger the DAGs that wait for them."""
    portable, activepieces, tableflow = scene.sandbox.services
    watched_run = flow_of(portable.flows, PORTABLE_FLOW_ID).add_run(waiting=WAITING, running=RUNNING)
    scene.watched_run_id = str(watched_run.id)
    flow_of(scene.sandbox.portable.workflows, PORTABLE_WORKFLOW_ID).add_run(waiting=WAITING, running=RUNNING)
    flow_of(portable.flows, PORTABLE_FAILING_FLOW_ID).add_run(
        outcome="FAILED", waiting=WAITING, running=RUNNING, errors=[VENDOR_ERROR]
    )
    flow_of(activepieces.flows, ACTIVEPIECES_FLOW_ID).add_run(waiting=WAITING, running=RUNNING)
    flow_of(tableflow.flows, TABLEFLOW_FLOW_ID).add_run(waiting=0, running=WAITING + RUNNING)
    # Those that DAGs start themselves.
    flow_of(portable.flows, PORTABLE_SLOW_FLOW_ID).next_run(waiting=WAITING, running=RUNNING)
    flow_of(activepieces.flows, ACTIVEPIECES_PAUSING_FLOW_ID).next_run(waiting=WAITING, running=RUNNING)
    # This one may begin only after the first step of the clock: its task has another one before it.
    flow_of(tableflow.flows, TABLEFLOW_FLOW_ID).next_run(waiting=0, running=RUNNING)
    scene.runs.update({dag_id: scene.airflow.trigger(dag_id) for dag_id in EXPECTED if dag_id != WATCHING})
    say("DAGs", f"{len(scene.runs)} triggered")


def play_runs(scene: Scene) -> None:
    """Let the runs go on, but only when every sensor has seen where they stand."""
    see(scene, "PENDING", WAITING_WITH_PENDING)
    see(scene, "queued", [QUEUED])
    scene.clock.advance(INTO_RUNNING)
    see(scene, "RUNNING", WAITING_TASKS)
    scene.airflow.wait_for("the watcher's first look", lambda: bool(watcher_cursors(scene)), PATIENCE)
    scene.clock.advance(TO_THE_END)


def see(scene: Scene, state: str, waiting: Collection[tuple[str, str]]) -> None:
    """Wait until the waiting tasks have logged a run in this state."""
    problems = []
    for dag_id, task_id in waiting:
        try:
            scene.airflow.wait_log(dag_id, scene.runs[dag_id], task_id, f"is {state}", timeout=PATIENCE)
        except (AirflowBroken, TimeoutError) as problem:
            problems.append(str(problem))
    say(state, f"seen by {len(waiting) - len(problems)} of {len(waiting)} waiting tasks")
    scene.checks.that(not problems, f"{len(waiting)} waiting tasks see their run {state}", "; ".join(problems))


def watcher_cursors(scene: Scene) -> list[Any]:
    """Return what the watcher has kept of its looks."""
    assets = scene.airflow.get("/api/v2/assets", dag_ids=WATCHING)["assets"]
    return [
        entry
        for asset in assets
        for entry in scene.airflow.get(f"/api/v2/assets/{asset['id']}/state-store")["asset_state_store"]
    ]


def watcher_runs(scene: Scene) -> list[str]:
    """Return the ids of the DAG runs that the watcher has started."""
    return [run["dag_run_id"] for run in scene.airflow.get(f"/api/v2/dags/{WATCHING}/dagRuns")["dag_runs"]]


def wait_watcher(scene: Scene) -> None:
    """Wait until the end of a run has started a DAG."""
    try:
        scene.airflow.wait_for(f"a run of {WATCHING}", lambda: bool(watcher_runs(scene)), PATIENCE)
    except TimeoutError as problem:
        scene.checks.that(False, f"{WATCHING} is started", problem)
    else:
        scene.runs[WATCHING] = watcher_runs(scene)[0]


def wait_dags(scene: Scene) -> None:
    """Wait until all DAG runs have ended, and check how."""
    for dag_id, run_id in scene.runs.items():
        expected = DONE if set(EXPECTED[dag_id].values()) == {DONE} else "failed"
        try:
            state = scene.airflow.wait_run(dag_id, run_id, PATIENCE)
        except TimeoutError as problem:
            state = str(problem)
        scene.checks.that(state == expected, f"{dag_id} ends as {expected}", state)


def check_tasks(scene: Scene) -> None:
    """Show all tasks, and check their states and what they left behind."""
    print(f"\n{'DAG':<26} {'task':<21} {'state':<16} {'seconds':>7}  XCom")
    for dag_id, run_id in scene.runs.items():
        instances = scene.airflow.task_instances(dag_id, run_id)
        for instance in instances:
            print(row_of(scene, dag_id, instance))
        states = {instance.task_id: str(instance.state) for instance in instances}
        scene.checks.that(states == EXPECTED[dag_id], f"{dag_id}: every task ends as it should", states)
    check_failure(scene)
    check_judgement(scene)
    check_starts(scene)
    check_watcher(scene)
    check_deferred(scene)


def row_of(scene: Scene, dag_id: str, instance: TaskInstance) -> str:
    """Write one line of the table of tasks."""
    run_id, task_id = scene.runs[dag_id], instance.task_id
    seconds = scene.airflow.log_seconds(dag_id, run_id, task_id) if instance.try_number else None
    values = scene.airflow.xcoms(dag_id, run_id, task_id)
    result = in_short(values["return_value"]) if "return_value" in values else "-"
    spent = "-" if seconds is None else f"{seconds:.1f}"
    return f"{dag_id:<26} {task_id:<21} {instance.state or 'none':<16} {spent:>7}  {result}"


def check_failure(scene: Scene) -> None:
    """Show with which words the failing sensor failed."""
    words = [line for line in scene.log(*FAILING).splitlines() if line.startswith("FlowRunFailed")]
    print(f"\n{'.'.join(FAILING)} is meant to fail, and says why:\n  {' '.join(words) or 'nothing'}\n")
    named = any(VENDOR_ERROR in line for line in words)
    scene.checks.that(named, "the failing sensor's log has the vendor's own error text", words)


def check_judgement(scene: Scene) -> None:
    """Check what a downstream task made of the sensor's and the operator's XCom."""
    dag_id, task_id = JUDGE
    judgement = scene.airflow.xcoms(dag_id, scene.runs[dag_id], task_id).get("return_value")
    expected = {"rows_loaded": ROWS_LOADED, "success_rate": SUCCESS_RATE}
    scene.checks.that(judgement == expected, f"the downstream task computes {expected} from XCom", judgement)


def check_starts(scene: Scene) -> None:
    """Check in the sandbox's own ledger that each start made one run, and that the task ended with that run."""
    for dag_id, (task_id, flow_id) in STARTING.items():
        result = scene.airflow.xcoms(dag_id, scene.runs[dag_id], task_id).get("return_value") or {}
        started = [str(event.run_id) for event in scene.sandbox.ledger.started if event.flow_id == flow_id]
        scene.checks.that(
            [result.get("run_id")] == started, f"{dag_id}: one run started, and it is the result", started
        )


def check_watcher(scene: Scene) -> None:
    """Check that the run which ended started its DAG once, with its id."""
    (task_id,) = EXPECTED[WATCHING]
    received = [scene.airflow.xcoms(WATCHING, run_id, task_id).get("return_value") for run_id in watcher_runs(scene)]
    expected = [[{"run_id": scene.watched_run_id, "rows_loaded": ROWS_LOADED}]]
    scene.checks.that(received == expected, f"{WATCHING}: started once, by the run that ended", received)


def check_deferred(scene: Scene) -> None:
    """Check that every wait went through the triggerer."""
    in_worker = [
        f"{dag}.{task}" for dag, task in WAITING_TASKS if "Pausing task as DEFERRED" not in scene.log(dag, task)
    ]
    scene.checks.that(not in_worker, f"{len(WAITING_TASKS)} tasks waited in the triggerer", in_worker)


def check_endpoints(scene: Scene) -> None:
    """Check in the sandbox's own records that every documented endpoint was asked and did answer."""
    answered = [request.path for request in scene.sandbox.ledger.requests if request.status == 200]
    for what, pattern in ENDPOINTS.items():
        asked = sum(bool(re.fullmatch(pattern, path)) for path in answered)
        scene.checks.that(asked > 0, f"{what}: asked, and answered {asked} times")


def check_secrets(scene: Scene) -> None:
    """Look for the tokens in everything Airflow has written."""
    leaks = find_leaks(HOME, [service.token for service in scene.sandbox.services])
    scene.checks.that(not leaks, "no token in any log, in the database, in XCom or in rendered fields", leaks)


def report(checks: Checks) -> int:
    """Print the outcome of all checks and return the exit status."""
    print("\n".join(checks.lines))
    if checks.failed:
        print(f"\n{checks.failed} of {len(checks.lines)} things are not as they should be.")
        return 1
    print("\nEverything is as it should be.")
    return 0


def flow_of(flows: Iterable[SandboxFlow[Any]], flow_id: int | str) -> SandboxFlow[Any]:
    """Find a flow of the sandbox by its id."""
    return next(flow for flow in flows if flow.id == flow_id)


def in_short(value: Any) -> str:
    """Describe an XCom value in a few words: a run, a list of runs, or any other JSON."""
    if is_run(value):
        rows = f", {value['rows']['loaded']} rows loaded" if value.get("rows") else ""
        return f"{value['kind']} {value['run_id'] or value['flow_id']}: {value['disposition']}{rows}"
    if isinstance(value, list) and value and all(is_run(item) for item in value):
        states = Counter(run["lifecycle" if run["disposition"] == "NONE" else "disposition"] for run in value)
        return f"{len(value)} of its runs: " + ", ".join(f"{count} {state}" for state, count in states.items())
    return json.dumps(value)[:80]


def is_run(value: Any) -> bool:
    """Tell whether a value is the summary of a run."""
    return isinstance(value, Mapping) and {"lifecycle", "disposition"} <= value.keys()


def say(what: str, text: str) -> None:
    """Tell how far the demo is."""
    print(f"{what:<10} {text}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
