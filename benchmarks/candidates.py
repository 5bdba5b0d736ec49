"""Who is measured: the triggers of this package, those of its peers, and a bare loop that does nothing but poll."""

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
#: Seconds until the waits give up by themselves: later than any measurement.
PATIENCE = 3_600.0


class Waiting(Protocol):
    """A trigger: fires one event when its run has ended."""

    def run(self) -> AsyncIterator[Any]:
        """Wait."""


Make = Callable[[], Waiting]


@dataclass(frozen=True)
class Candidate:
    """
    A trigger and the service it waits for.

    :param title: how the tables call it.
    :param package: the distribution it comes from, None for the bare loop.
    :param key: the id of the n-th run (or flow).
    :param connection: the Airflow connection for a server's address (``127.0.0.1:port``).
    :param prepared: prepares the wait for a run's id at an interval in seconds, as the worker does; what it returns
        makes the trigger.
    :param succeeded: whether an event's payload is the good end of a run.
    :param one_for: so many waits are for the same flow.
    :param waits_in_hundred: how many of a hundred waits it is given; fewer where it could not carry them.
    """

    title: str
    package: str | None
    key: Callable[[int], str]
    connection: Callable[[str], dict[str, Any]]
    prepared: Callable[[str, float], Make]
    succeeded: Callable[[Any], bool]
    one_for: int = 1
    waits_in_hundred: float = 100

    def waits(self, asked: int) -> int:
        """Return how many waits it is given when the others are given so many."""
        return max(2, int(asked * self.waits_in_hundred / 100))

    def keys(self, waits: int) -> list[str]:
        """Return what each wait is for."""
        return [self.key(number // self.one_for) for number in range(waits)]


def _number(number: int) -> str:
    return str(100_000 + number)


def _letters(number: int) -> str:
    return f"benchmarkrun{number:09d}"


def _own(service: str, kind: str) -> Callable[[str, float], Make]:
    def prepared(key: str, interval: float) -> Make:
        from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger
        from airflow_provider_flowruns.waiting.watch import Watch, WatchPlan

        # A deferred task's first look is late on purpose, which would only make the measurement longer.
        FlowRunTrigger.first_wait = (0.0, interval)
        now = time.time()
        what = {"flow_id" if kind == "flow" else "run_id": key}
        plan = WatchPlan(service=service, kind=kind, interval=interval, deadline=now + PATIENCE, **what)
        return partial(FlowRunTrigger, conn_id=CONN_ID, watch=Watch(plan, now).to_json())

    return prepared


def _own_connection(service: str, **extra: str) -> Callable[[str], dict[str, Any]]:
    return lambda address: {"conn_type": service, "host": f"https://{address}", "password": "made-up", "extra": extra}


def _own_succeeded(payload: Any) -> bool:
    return payload["outcome"] == "succeeded"


def _status_succeeded(payload: Any) -> bool:
    return payload["status"] == "success"


def _bare_succeeded(payload: Any) -> bool:
    return payload["disposition"] == "SUCCEEDED"


def _dbt(key: str, interval: float) -> Make:
    from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

    end_time = time.time() + PATIENCE
    return partial(
        DbtCloudRunJobTrigger,
        conn_id=CONN_ID,
        run_id=int(key),
        end_time=end_time,
        poll_interval=interval,
        account_id=4711,
    )


def _databricks(key: str, interval: float) -> Make:
    from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger

    return partial(
        DatabricksExecutionTrigger, run_id=int(key), databricks_conn_id=CONN_ID, polling_period_seconds=interval
    )


def _fivetran(key: str, interval: float) -> Make:
    from fivetran_provider_async.triggers import FivetranTrigger

    return partial(FivetranTrigger, task_id="wait", connector_id=key, fivetran_conn_id=CONN_ID, poke_interval=interval)


def _fivetran_connection(address: str) -> dict[str, Any]:
    from fivetran_provider_async.hooks import FivetranHook

    FivetranHook.api_host = address  # no field of the connection says where Fivetran is
    return {"conn_type": "fivetran", "login": "made-up", "password": "made-up"}


def _airbyte(key: str, interval: float) -> Make:
    from airflow.providers.airbyte.triggers.airbyte import AirbyteSyncTrigger

    end_time = time.time() + PATIENCE
    return partial(AirbyteSyncTrigger, job_id=int(key), conn_id=CONN_ID, end_time=end_time, poll_interval=interval)


def _http(key: str, interval: float) -> Make:
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    return partial(HttpSensorTrigger, endpoint=f"page/{key}", http_conn_id=CONN_ID, poke_interval=interval)


class BareLoop:
    """What nobody can do with less: ask over one shared session, read the JSON, sleep; begins at random, as we do."""

    spread: ClassVar[bool] = True
    session: ClassVar[Any] = None
    address: ClassVar[str] = ""

    def __init__(self, key: str, interval: float) -> None:
        self._path, self._interval = f"/v2/flows/{key}/status", interval

    @classmethod
    def connection(cls, address: str) -> dict[str, Any]:
        """Note the address; there is no Airflow connection to read."""
        cls.address = f"https://{address}"
        return {"conn_type": "http"}

    async def run(self) -> AsyncIterator[Any]:
        """Wait."""
        import aiohttp
        from airflow.triggers.base import TriggerEvent

        if BareLoop.session is None:
            BareLoop.session = aiohttp.ClientSession(self.address, connector=aiohttp.TCPConnector(limit=20))
        if self.spread:
            await asyncio.sleep(random.uniform(0.0, self._interval))
        headers = {"Authorization": "Bearer made-up"}
        while True:
            async with BareLoop.session.get(self._path, headers=headers) as answer:
                status = await answer.json()
            if status["lifecycle"] == "NOT_RUNNING":
                yield TriggerEvent(status)
                return
            await asyncio.sleep(self._interval)


class BareBursts(BareLoop):
    """The same, but what is started together asks together ever after, as with the peers."""

    spread = False


_PORTABLE = ("airflow-provider-flowruns", _number, _own_connection("portable"), _own("portable", "flow"))

CANDIDATES: dict[str, Candidate] = {
    "activepieces": Candidate(
        "this package: Activepieces runs",
        "airflow-provider-flowruns",
        _letters,
        _own_connection("activepieces", project_id=PROJECT_ID),
        _own("activepieces", "run"),
        _own_succeeded,
    ),
    "portable_shared": Candidate("this package: Portable, 100 waits a flow", *_PORTABLE, _own_succeeded, one_for=100),
    "portable": Candidate("this package: Portable, a flow for each wait", *_PORTABLE, _own_succeeded),
    "tableflow": Candidate(
        "this package: TableFlow runs",
        "airflow-provider-flowruns",
        _letters,
        _own_connection("tableflow"),
        _own("tableflow", "run"),
        _own_succeeded,
    ),
    "dbt": Candidate(
        "dbt Cloud",
        "apache-airflow-providers-dbt-cloud",
        _number,
        lambda address: {"conn_type": "dbt_cloud", "host": address, "login": "4711", "password": "made-up"},
        _dbt,
        _status_succeeded,
    ),
    "databricks": Candidate(
        "Databricks",
        "apache-airflow-providers-databricks",
        _number,
        lambda address: {
            "conn_type": "databricks",
            "host": f"https://{address}".rpartition(":")[0],
            "port": int(address.rpartition(":")[2]),
            "password": "made-up",
        },
        _databricks,
        lambda payload: '"SUCCESS"' in payload["run_state"],
    ),
    "fivetran": Candidate(
        "Fivetran",
        "airflow-provider-fivetran-async",
        _letters,
        _fivetran_connection,
        _fivetran,
        _status_succeeded,
    ),
    "http": Candidate(
        "HttpSensor",
        "apache-airflow-providers-http",
        _number,
        lambda address: {"conn_type": "http", "host": f"https://{address}"},
        _http,
        lambda payload: payload is True,
    ),
    "airbyte": Candidate(
        "Airbyte",
        "apache-airflow-providers-airbyte",
        _number,
        lambda address: {
            "conn_type": "airbyte",
            "host": f"https://{address}/v1",
            "schema": f"https://{address}/v1/applications/token",
            "login": "made-up",
            "password": "made-up",
        },
        _airbyte,
        _status_succeeded,
        waits_in_hundred=2.5,  # it asks from within the event loop, one after the other
    ),
    "bare": Candidate(
        "bare aiohttp loop, one session",
        None,
        _number,
        BareLoop.connection,
        lambda key, interval: partial(BareLoop, key, interval),
        _bare_succeeded,
    ),
    "bursts": Candidate(
        "the same, asking in bursts",
        None,
        _number,
        BareLoop.connection,
        lambda key, interval: partial(BareBursts, key, interval),
        _bare_succeeded,
    ),
}

#: The other packages.
PEERS = ("dbt", "databricks", "fivetran", "http", "airbyte")
