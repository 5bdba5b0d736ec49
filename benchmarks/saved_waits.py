"""Put deferred tasks into Airflow's database as if a DAG run had deferred them, without scheduler and workers.

Run in the environment of that Airflow: ``python -m benchmarks.saved_waits CANDIDATE COUNT END_AT``, where ``END_AT`` is
the Unix time from which Airflow's own waits end. Waits saved before are removed.
"""

from __future__ import annotations

import json
import re
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.candidates import CANDIDATES, CONN_ID

DAG_ID, TASK_ID = "many_waits", "wait"
#: The floor: Airflow's own wait for a time, which polls nothing.
DATETIME = "datetime"
#: Polling interval of the measured waits in seconds.
INTERVAL_SECONDS = 60.0
#: Time in seconds over which the waits end.
ENDING_SECONDS = 60.0

#: Columns of a deferred task instance that differ from those of one that has not started.
_DEFERRED_COLUMNS = {
    "id": ":id",
    "map_index": ":map_index",
    "trigger_id": ":trigger_id",
    "state": "'deferred'",
    "trigger_timeout": ":timeout_at",
    "next_method": "'execute_complete'",
    "try_number": "1",
    "start_date": "now()",
}


def write_dag(folder: Path) -> None:
    """Write the DAG whose task is deferred."""
    (folder / "many_waits.py").write_text(
        "from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync\n"
        "from airflow.sdk import DAG\n\n"
        f'with DAG("{DAG_ID}", schedule=None):\n'
        f'    DateTimeSensorAsync(task_id="{TASK_ID}", target_time="2099-01-01T00:00:00+00:00")\n'
    )


def choose_end(number: int, count: int) -> float:
    """Return after which part of :data:`ENDING_SECONDS` a wait ends, in seconds. Neighbours end far from each other."""
    return number * 0.618_034 % 1.0 * ENDING_SECONDS if count > 1 else 0.0


def save_waits(name: str, count: int, end_at: float) -> None:
    """Save a number of deferred waits of a candidate in place of those saved before."""
    from airflow.utils.session import create_session

    build = _build_time_triggers(count, end_at) if name == DATETIME else _build_triggers(name, count)
    with create_session() as session:
        source_id = replace_waits(session)
        add_waits(session, source_id, {number: build(number) for number in range(count)})


def replace_waits(session: Any) -> str:
    """Remove all waits, create a DAG run with its only task instance, and return the id of the latter."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import Trigger
    from sqlalchemy import delete, update

    session.execute(update(TaskInstance).values(trigger_id=None))
    for model in (Trigger, TaskInstance, DagRun):
        session.execute(delete(model))
    session.commit()
    return _create_task_instance(session)


def add_waits(session: Any, source_id: str, triggers: Mapping[int, Any]) -> None:
    """Add deferred tasks with these triggers, by their map index. They are copies of a task instance, by its id."""
    from airflow.models.trigger import Trigger
    from sqlalchemy import text

    rows = {number: Trigger.from_object(trigger) for number, trigger in triggers.items()}
    session.add_all(rows.values())
    session.flush()
    timeout_at = datetime.now(UTC) + timedelta(hours=3)
    columns = session.execute(text("select * from task_instance limit 0")).keys()
    values = ", ".join(_DEFERRED_COLUMNS.get(column, f'"{column}"') for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    # ruff: ignore[hardcoded-sql-expression] -- the names are those of Airflow's columns
    copy = f"insert into task_instance ({names}) select {values} from task_instance where id = :source"
    session.execute(
        text(copy),
        [
            {
                "id": str(uuid.uuid4()),
                "map_index": number,
                "trigger_id": row.id,
                "timeout_at": timeout_at,
                "source": source_id,
            }
            for number, row in rows.items()
        ],
    )
    session.commit()


def _create_task_instance(session: Any) -> str:
    from airflow.models.dagbag import DBDagBag
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType
    from sqlalchemy import text

    dag = DBDagBag().get_latest_version_of_dag(DAG_ID, session=session)
    assert dag is not None
    now = datetime.now(UTC)
    dag.create_dagrun(
        run_id=f"bench_{now.timestamp()}",
        logical_date=now,
        data_interval=(now, now),
        run_after=now,
        run_type=DagRunType.MANUAL,
        triggered_by=DagRunTriggeredByType.TEST,
        state=DagRunState.RUNNING,
        session=session,
    )
    session.flush()
    query = text("select cast(id as text) from task_instance where dag_id = :dag_id and task_id = :task_id")
    return str(session.execute(query, {"dag_id": DAG_ID, "task_id": TASK_ID}).scalar_one())


def _build_triggers(name: str, count: int) -> Callable[[int], Any]:
    """Return what builds a wait as a worker defers it, after its first poll: only the first wait is really polled."""
    from airflow_provider_flowruns.polling.messages import HEARTBEAT_INTERVAL_SECONDS
    from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger

    candidate = CANDIDATES[name]
    keys = candidate.list_keys(count)
    polled = _poll(candidate.prepare(keys[0], INTERVAL_SECONDS)())
    key = re.compile(rf"\b{keys[0]}\b")

    def build(number: int) -> FlowRunTrigger:
        saved = json.loads(key.sub(keys[number], polled))
        # As if the waits had begun one after the other: each logs a line ten minutes after its last one.
        saved["state"]["last_message_at"] -= HEARTBEAT_INTERVAL_SECONDS * number / count
        return FlowRunTrigger(CONN_ID, json.dumps(saved))

    return build


def _poll(trigger: Any) -> str:
    """Poll for a wait once as a worker does, and return its waiter as the worker hands it over."""
    from airflow_provider_flowruns.hooks.activepieces import ActivepiecesHook
    from airflow_provider_flowruns.hooks.portable import PortableHook
    from airflow_provider_flowruns.polling.run_waiter import RunWaiter

    hooks: dict[str, Any] = {"portable": PortableHook, "activepieces": ActivepiecesHook}
    waiter = RunWaiter.from_json(trigger.serialize()[1]["waiter"])
    with hooks[waiter.target.service](CONN_ID) as hook:
        waiter.step(hook.client.poll(waiter.target), time.time())
    return waiter.to_json()


def _build_time_triggers(count: int, end_at: float) -> Callable[[int], Any]:
    from airflow.providers.standard.triggers.temporal import DateTimeTrigger

    return lambda number: DateTimeTrigger(datetime.fromtimestamp(end_at + choose_end(number, count), UTC))


if __name__ == "__main__":
    save_waits(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
