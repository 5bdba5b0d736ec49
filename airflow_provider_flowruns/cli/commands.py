"""All commands and their arguments as data. Airflow's own command line reads it too, so it imports next to nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

NAME = "flowruns"
DESCRIPTION = "See the flows and runs of Portable, Activepieces and TableFlow, and what tasks wait for"

#: Largest number of runs that ``runs`` searches: the newest ones of the flow.
MAX_SEARCHED_RUNS = 1_000


class Argument(NamedTuple):
    """An argument of a command.

    :param flag: its name; an option begins with two hyphens.
    :param options: further arguments of ``argparse.ArgumentParser.add_argument``.
    """

    flag: str
    options: dict[str, Any]


class Command(NamedTuple):
    """A command.

    :param name: its name.
    :param help: what it does, in one line.
    :param function: the module of ``cli`` and its function that runs it, imported when it is called.
    :param arguments: its arguments.
    """

    name: str
    help: str
    function: tuple[str, str]
    arguments: tuple[Argument, ...]


_CONN_ID = Argument(
    "--conn-id",
    {"required": True, "metavar": "ID", "help": "Airflow connection; its type says which service is meant"},
)
_OUTPUT = Argument(
    "--output",
    {"choices": ("table", "json", "yaml"), "default": "table", "help": "form of the output (default: table)"},
)
_RUN_ID = Argument("run_id", {"metavar": "RUN_ID", "help": "id of the run"})
_FLOW_OF_RUN = Argument("--flow", {"metavar": "FLOW", "help": "id of the run's flow; Portable needs it"})

COMMANDS = (
    Command("flows", "List the flows with their last runs", ("flows", "show_flows"), (_CONN_ID, _OUTPUT)),
    Command(
        "runs",
        "List the runs of a flow, newest first",
        ("runs", "show_runs"),
        (
            Argument("flow", {"metavar": "FLOW", "help": "id of the flow"}),
            _CONN_ID,
            Argument(
                "--since",
                {
                    "metavar": "TIME",
                    "help": "leave out runs created before this time: 2026-01-31T06:00, or 90m, 12h, 7d",
                },
            ),
            Argument(
                "--status",
                {"metavar": "WORD", "help": "only runs in this state: failed, running, or the service's own word"},
            ),
            Argument(
                "--limit",
                {"type": int, "default": 20, "metavar": "N", "help": "maximum number of runs (default: 20)"},
            ),
            _OUTPUT,
        ),
    ),
    Command(
        "run",
        "Show one run: its state, times, rows, errors, steps and link",
        ("runs", "show_run"),
        (_RUN_ID, _FLOW_OF_RUN, _CONN_ID, _OUTPUT),
    ),
    Command(
        "watch",
        "Wait for a run as a sensor does, and show what it logs; the exit code says how the run ended",
        ("watch", "watch_run"),
        (
            _RUN_ID,
            _FLOW_OF_RUN,
            _CONN_ID,
            Argument(
                "--poll-interval",
                {
                    "type": float,
                    "default": 60.0,
                    "metavar": "SECONDS",
                    "help": "maximum time between two polls (default: 60); the first ones are closer",
                },
            ),
            Argument(
                "--timeout",
                {
                    "type": float,
                    "metavar": "SECONDS",
                    "help": "stop after this time (default: that of Airflow's sensors)",
                },
            ),
        ),
    ),
    Command(
        "doctor",
        "Check everything that a connection needs, and say what to do",
        ("doctor", "show_findings"),
        (_CONN_ID,),
    ),
    Command(
        "why",
        "Say what a deferred task waits for, from its saved trigger in Airflow's database",
        ("why", "show_waits"),
        (
            Argument("dag_id", {"metavar": "DAG_ID", "help": "id of the DAG"}),
            Argument("dag_run_id", {"metavar": "RUN_ID", "help": "id of the DAG run"}),
            Argument("task_id", {"metavar": "TASK_ID", "help": "id of the task"}),
        ),
    ),
    Command(
        "examples",
        "Copy the example DAGs into a folder",
        ("examples", "copy_examples"),
        (Argument("folder", {"metavar": "DIR", "help": "folder to copy to; created if it does not exist"}),),
    ),
)
