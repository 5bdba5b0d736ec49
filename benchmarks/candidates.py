"""The measured triggers: those of this package, those of its peers, and a bare loop that only polls."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol

CONN_ID = "bench"
PROJECT_ID = "benchmarkproject00001"
#: Timeout of the waits in seconds: longer than any measurement.
DEADLINE_SECONDS = 3_600.0


class Trigger(Protocol):
    """A trigger that fires one event when its run has ended."""

    def run(self) -> AsyncIterator[Any]:
        """Yield the event."""


TriggerFactory = Callable[[], Trigger]


@dataclass(frozen=True)
class Candidate:
    """A trigger and its service.

    :param title: name in the tables.
    :param package: distribution of the trigger, None for the bare loop.
    :param key: returns the id of the n-th run (or flow).
    :param connection: returns the Airflow connection for a server's address (``127.0.0.1:port``).
    :param prepare: prepares a wait for the id and the polling interval in seconds, as the worker does, and returns a
        function that creates the trigger.
    :param has_succeeded: returns whether an event's payload reports the success of a run.
    :param waits_per_flow: number of waits for the same flow.
    :param waits_percent: percentage of the waits that it gets; lower for a trigger that cannot handle all of them.
    """

    title: str
    package: str | None
    key: Callable[[int], str]
    connection: Callable[[str], dict[str, Any]]
    prepare: Callable[[str, float], TriggerFactory]
    has_succeeded: Callable[[Any], bool]
    waits_per_flow: int = 1
    waits_percent: float = 100

    def get_wait_count(self, total: int) -> int:
        """Return the number of waits that this candidate gets."""
        return max(2, int(total * self.waits_percent / 100))

    def list_keys(self, waits: int) -> list[str]:
        """Return the run (or flow) id of each wait."""
        return [self.key(number // self.waits_per_flow) for number in range(waits)]


def _build_numeric_id(number: int) -> str:
    return str(100_000 + number)


def _build_text_id(number: int) -> str:
    return f"benchmarkrun{number:09d}"


def _prepare_own(service: str) -> Callable[[str, float], TriggerFactory]:
    def prepare(key: str, interval: float) -> TriggerFactory:
        from airflow_provider_flowruns.model.targets import FlowStatusTarget, RunTarget
        from airflow_provider_flowruns.polling.run_waiter import RunWaiter
        from airflow_provider_flowruns.polling.wait_state import WaitConfig
        from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger

        # The first poll of a deferred task is delayed on purpose, which would make the measurement longer.
        FlowRunTrigger.first_wait = (0.0, interval)
        now = time.time()
        target = FlowStatusTarget(service, key) if service == "portable" else RunTarget(service, key)
        config = WaitConfig(target=target, interval_seconds=interval, deadline_at=now + DEADLINE_SECONDS)
        return partial(FlowRunTrigger, conn_id=CONN_ID, waiter=RunWaiter(config, now).to_json())

    return prepare


def _build_own_connection(service: str, **extra: str) -> Callable[[str], dict[str, Any]]:
    return lambda address: {"conn_type": service, "host": f"https://{address}", "password": "made-up", "extra": extra}


def _has_own_succeeded(payload: Any) -> bool:
    return bool(payload["outcome"] == "succeeded")


def _has_status_success(payload: Any) -> bool:
    return bool(payload["status"] == "success")


def _has_bare_succeeded(payload: Any) -> bool:
    return bool(payload["disposition"] == "SUCCEEDED")


def _prepare_dbt(key: str, interval: float) -> TriggerFactory:
    from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

    end_time = time.time() + DEADLINE_SECONDS
    return partial(
        DbtCloudRunJobTrigger,
        conn_id=CONN_ID,
        run_id=int(key),
        end_time=end_time,
        poll_interval=interval,
        account_id=4711,
    )


def _prepare_databricks(key: str, interval: float) -> TriggerFactory:
    from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger

    return partial(
        DatabricksExecutionTrigger, run_id=int(key), databricks_conn_id=CONN_ID, polling_period_seconds=interval
    )


def _prepare_fivetran(key: str, interval: float) -> TriggerFactory:
    from fivetran_provider_async.triggers import FivetranTrigger

    return partial(FivetranTrigger, task_id="wait", connector_id=key, fivetran_conn_id=CONN_ID, poke_interval=interval)


def _build_fivetran_connection(address: str) -> dict[str, Any]:
    from fivetran_provider_async.hooks import FivetranHook

    FivetranHook.api_host = address  # the connection has no field for the host
    return {"conn_type": "fivetran", "login": "made-up", "password": "made-up"}


def _prepare_airbyte(key: str, interval: float) -> TriggerFactory:
    from airflow.providers.airbyte.triggers.airbyte import AirbyteSyncTrigger

    end_time = time.time() + DEADLINE_SECONDS
    return partial(AirbyteSyncTrigger, job_id=int(key), conn_id=CONN_ID, end_time=end_time, poll_interval=interval)


def _prepare_http(key: str, interval: float) -> TriggerFactory:
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    return partial(HttpSensorTrigger, endpoint=f"page/{key}", http_conn_id=CONN_ID, poke_interval=interval)


class BarePollLoop:
    """The lower bound: poll over one shared session, parse the JSON, sleep. Starts at random, like this package."""

    has_random_start: ClassVar[bool] = True
    session: ClassVar[Any] = None
    address: ClassVar[str] = ""

    def __init__(self, key: str, interval: float) -> None:
        self._path, self._interval = f"/v2/flows/{key}/status", interval

    @classmethod
    def connection(cls, address: str) -> dict[str, Any]:
        """Store the address, because the loop does not read an Airflow connection."""
        cls.address = f"https://{address}"
        return {"conn_type": "http"}

    async def run(self) -> AsyncIterator[Any]:
        """Poll until the run has ended, and yield the event."""
        import aiohttp
        from airflow.triggers.base import TriggerEvent

        if BarePollLoop.session is None:
            BarePollLoop.session = aiohttp.ClientSession(self.address, connector=aiohttp.TCPConnector(limit=20))
        if self.has_random_start:
            await asyncio.sleep(random.uniform(0.0, self._interval))
        headers = {"Authorization": "Bearer made-up"}
        while True:
            async with BarePollLoop.session.get(self._path, headers=headers) as response:
                status = await response.json()
            if status["lifecycle"] == "NOT_RUNNING":
                yield TriggerEvent(status)  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(self._interval)


class BareBurstLoop(BarePollLoop):
    """The same without random start: waits that start together poll together, as with the peers."""

    has_random_start = False


_PORTABLE = (
    "airflow-provider-flowruns",
    _build_numeric_id,
    _build_own_connection("portable"),
    _prepare_own("portable"),
)

CANDIDATES: dict[str, Candidate] = {
    "activepieces": Candidate(
        "this package: Activepieces runs",
        "airflow-provider-flowruns",
        _build_text_id,
        _build_own_connection("activepieces", project_id=PROJECT_ID),
        _prepare_own("activepieces"),
        _has_own_succeeded,
    ),
    "portable_shared": Candidate(
        "this package: Portable, 100 waits per flow", *_PORTABLE, _has_own_succeeded, waits_per_flow=100
    ),
    "portable": Candidate("this package: Portable, one flow per wait", *_PORTABLE, _has_own_succeeded),
    "tableflow": Candidate(
        "this package: TableFlow runs",
        "airflow-provider-flowruns",
        _build_text_id,
        _build_own_connection("tableflow"),
        _prepare_own("tableflow"),
        _has_own_succeeded,
    ),
    "dbt": Candidate(
        "dbt Cloud",
        "apache-airflow-providers-dbt-cloud",
        _build_numeric_id,
        lambda address: {"conn_type": "dbt_cloud", "host": address, "login": "4711", "password": "made-up"},
        _prepare_dbt,
        _has_status_success,
    ),
    "databricks": Candidate(
        "Databricks",
        "apache-airflow-providers-databricks",
        _build_numeric_id,
        lambda address: {
            "conn_type": "databricks",
            "host": f"https://{address}".rpartition(":")[0],
            "port": int(address.rpartition(":")[2]),
            "password": "made-up",
        },
        _prepare_databricks,
        lambda payload: '"SUCCESS"' in payload["run_state"],
    ),
    "fivetran": Candidate(
        "Fivetran",
        "airflow-provider-fivetran-async",
        _build_text_id,
        _build_fivetran_connection,
        _prepare_fivetran,
        _has_status_success,
    ),
    "http": Candidate(
        "HttpSensor",
        "apache-airflow-providers-http",
        _build_numeric_id,
        lambda address: {"conn_type": "http", "host": f"https://{address}"},
        _prepare_http,
        lambda payload: payload is True,
    ),
    "airbyte": Candidate(
        "Airbyte",
        "apache-airflow-providers-airbyte",
        _build_numeric_id,
        lambda address: {
            "conn_type": "airbyte",
            "host": f"https://{address}/v1",
            "schema": f"https://{address}/v1/applications/token",
            "login": "made-up",
            "password": "made-up",
        },
        _prepare_airbyte,
        _has_status_success,
        waits_percent=2.5,  # it polls synchronously in the event loop
    ),
    "bare": Candidate(
        "bare aiohttp loop, one session",
        None,
        _build_numeric_id,
        BarePollLoop.connection,
        lambda key, interval: partial(BarePollLoop, key, interval),
        _has_bare_succeeded,
    ),
    "bursts": Candidate(
        "the same, polling in bursts",
        None,
        _build_numeric_id,
        BarePollLoop.connection,
        lambda key, interval: partial(BareBurstLoop, key, interval),
        _has_bare_succeeded,
    ),
}

#: The other packages.
PEERS = ("dbt", "databricks", "fivetran", "http", "airbyte")
