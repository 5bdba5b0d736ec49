"""The package against a real Prefect server, whose flows really run."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from airflow_provider_flowruns_prefect.hooks import PrefectHook
from airflow_provider_flowruns_prefect.operators import PrefectListFlowRunsOperator, PrefectRunDeploymentOperator
from airflow_provider_flowruns_prefect.sensors import PrefectDeploymentSensor, PrefectFlowRunSensor
from prefect_server import IDLE, USER, WORKED, FlowRunner, PrefectServer, wait_until
from proxy import Proxy
from rounds import MAX_REQUESTS_PER_ROUND, WAITS, wait_together

from airflow_provider_flowruns.exceptions import AuthenticationError, FlowRunTimeout
from airflow_provider_flowruns.notifications.flow_run import FlowRunNotifier
from airflow_provider_flowruns.testing.task_modes import MODES, run_in, run_task, task_context
from airflow_provider_flowruns.triggers.flow_run import FlowRunFinishedTrigger, FlowRunTrigger
from tools.real_airflow import RealAirflow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    with PrefectServer() as running, FlowRunner(running, tmp_path_factory.mktemp("runner")):
        yield running


@pytest.fixture
def proxy(server: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy that is the default connection."""
    with Proxy(server.url) as running:
        monkeypatch.setenv("AIRFLOW_CONN_PREFECT_DEFAULT", connection_to(running.url, server.password))
        yield running


@pytest.fixture(autouse=True)
def short_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FlowRunTrigger, "first_wait", (0.2, 0.5))
    monkeypatch.setattr(PrefectFlowRunSensor, "min_reschedule_seconds", 0.5)


def connection_to(url: str, password: str) -> str:
    return json.dumps({"conn_type": "prefect", "host": url, "login": USER, "password": password})


def make_operator(deployment_id: str, **arguments: Any) -> Any:
    common: dict[str, Any] = {"task_id": "load", "poll_interval": 0.5, "timeout": 120.0}
    return lambda: PrefectRunDeploymentOperator(deployment_id=deployment_id, **{**common, **arguments})


def wait_in(mode: str, run_id: str, **arguments: Any) -> Any:
    common: dict[str, Any] = {"task_id": "wait", "poke_interval": 0.5, "timeout": 120.0}
    return run_in(mode, lambda **extra: PrefectFlowRunSensor(run_id=run_id, **{**common, **arguments, **extra}))


def test_the_connection_says_what_it_sees(server: PrefectServer, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    is_usable, message = PrefectHook().test_connection()
    assert is_usable, message
    assert message.startswith("Connected to Prefect; this connection sees deployment ")
    monkeypatch.setenv("AIRFLOW_CONN_PREFECT_DEFAULT", connection_to(proxy.url, "another"))
    with PrefectHook() as hook, pytest.raises(AuthenticationError, match="put an API key into the password"):
        hook.client.execute(hook.api.check())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("outcome", "state", "text"),
    [
        ("succeed", "COMPLETED", None),
        ("fail", "FAILED", "the source refused the login"),
        ("crash", "CRASHED", "exited with status code: -9"),
    ],
)
def test_a_run_ends_as_its_flow_does(
    server: PrefectServer, proxy: Proxy, mode: str, outcome: str, state: str, text: str | None
) -> None:
    run_id = server.start_run(server.find_deployment(WORKED), outcome=outcome)
    end = wait_in(mode, run_id)
    assert server.get_run(run_id)["state_type"] == state
    if text is None:
        assert (end.state, end.xcom["run_id"], end.xcom["disposition"]) == ("success", run_id, "SUCCEEDED")
        assert end.xcom["created_at"] <= end.xcom["started_at"] <= end.xcom["completed_at"]
    else:
        assert (end.state, end.error) == ("failed", "FlowRunFailed")
        assert text in end.message


def test_a_run_is_started_with_its_parameters_and_tags(server: PrefectServer, proxy: Proxy) -> None:
    deployment = server.find_deployment(WORKED)
    parameters = {"outcome": "succeed", "seconds": 0.5}
    end = run_task(make_operator(deployment, parameters=parameters, tags=["airflow"], deferrable=True), task_context())
    assert end.state == "success", end
    run = server.get_run(end.xcom["run_id"])
    assert (run["parameters"], run["tags"]) == (parameters, ["airflow"])
    assert end.xcom["details"]["tags"] == ["airflow"]
    assert end.xcom["url"] == f"{proxy.url}/runs/flow-run/{run['id']}"


def test_a_paused_run_is_told_and_succeeds_after_it_was_resumed(server: PrefectServer, proxy: Proxy) -> None:
    run_id = server.start_run(server.find_deployment(WORKED), outcome="pause")
    paused = wait_in("deferrable", run_id, on_paused="fail")
    assert (paused.error, server.get_run(run_id)["state_type"]) == ("FlowRunFailed", "PAUSED")
    server.request("POST", f"/flow_runs/{run_id}/resume")
    assert wait_in("poke", run_id).xcom["disposition"] == "SUCCEEDED"


def test_a_killed_task_cancels_its_run_and_a_sensor_says_so(server: PrefectServer, proxy: Proxy) -> None:
    deployment = server.find_deployment(WORKED)
    task = make_operator(deployment, parameters={"seconds": 300}, timeout=3.0)()
    with pytest.raises(FlowRunTimeout):
        task.execute(task_context())
    run_id = task.waiting._store.current.run_id
    server.wait_for_state(run_id, "Running")
    task.on_kill()
    assert wait_in("poke", run_id).error == "FlowRunCanceled"
    assert server.get_run(run_id)["state_type"] == "CANCELLED"
    # Of a run that has ended, nothing is cancelled.
    with PrefectHook() as hook:
        assert "is not active any more" in hook.client.execute(hook.api.cancel("", run_id))


def test_a_run_that_no_worker_takes_is_late_and_can_be_cancelled(server: PrefectServer, proxy: Proxy) -> None:
    deployment = server.find_deployment(IDLE)
    task = make_operator(deployment, timeout=8.0, cancel_on_timeout=True)()
    with pytest.raises(FlowRunTimeout, match="Late"):
        task.execute(task_context())
    run_id = task.waiting._store.current.run_id
    assert server.get_run(run_id)["state_type"] == "CANCELLED"
    # The server rejects the requested state and sets another one, which is no refusal.
    scheduled = server.start_run(deployment)
    with PrefectHook() as hook:
        said = hook.client.execute(hook.api.cancel("", scheduled))
    assert (said, server.get_run(scheduled)["state_type"]) == (
        f"requested the cancellation of Prefect run {scheduled}",
        "CANCELLED",
    )


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_start_whose_response_was_lost_has_one_run(server: PrefectServer, proxy: Proxy, deferrable: bool) -> None:
    deployment = server.find_deployment(WORKED)
    before = {run["id"] for run in server.list_runs(deployment)}
    proxy.lose_response("/create_flow_run$")
    end = run_task(make_operator(deployment, deferrable=deferrable), task_context())
    (run_id,) = {run["id"] for run in server.list_runs(deployment)} - before
    assert (end.state, end.xcom["run_id"]) == ("success", run_id), end
    assert sum(seen.path.endswith("/create_flow_run") for seen in proxy.seen) == 1


def test_tasks_with_one_key_share_a_run(server: PrefectServer, proxy: Proxy) -> None:
    deployment = server.find_deployment(WORKED)
    key = f"orders-{time.time()}"
    ends = [run_task(make_operator(deployment, idempotency_key=key), task_context(map_index=n)) for n in (1, 2)]
    assert [end.state for end in ends] == ["success", "success"]
    assert len({end.xcom["run_id"] for end in ends}) == 1


def test_the_newest_run_of_a_deployment_is_the_one_that_was_due_last(server: PrefectServer, proxy: Proxy) -> None:
    deployment = server.find_deployment(IDLE)
    old, new = server.start_run(deployment), server.start_run(deployment)
    server.set_state(old, "FAILED", message="old")
    server.set_state(new, "COMPLETED")
    schedule = {"schedule": {"interval": 3600}, "active": True}
    path = f"/deployments/{deployment}/schedules"
    self_made = server.http.post(path, json=[schedule]).raise_for_status().json()
    try:
        server.request("POST", f"/deployments/{deployment}/schedule", min_runs=3)
        assert any(run["auto_scheduled"] for run in server.list_runs(deployment))
        sensor = PrefectDeploymentSensor(task_id="wait", deployment_id=deployment, poke_interval=0.5, timeout=30.0)
        assert sensor.execute(task_context())["run_id"] == new
    finally:
        server.http.delete(f"{path}/{self_made[0]['id']}").raise_for_status()


def test_history_is_read_page_by_page(server: PrefectServer, proxy: Proxy) -> None:
    deployment = server.find_deployment(IDLE)
    started = {server.start_run(deployment) for _ in range(5)}
    task = PrefectListFlowRunsOperator(task_id="list", deployment_id=deployment, fetch_all=True, limit=2)
    runs: Any = task.execute(task_context())
    assert started <= {run["run_id"] for run in runs}
    assert len({run["run_id"] for run in runs}) == len(runs)
    assert [run["created_at"] for run in runs] == sorted((run["created_at"] for run in runs), reverse=True)
    assert sum(seen.path.endswith("/flow_runs/filter") for seen in proxy.seen) >= 3


def test_a_watcher_reports_a_run_once_it_has_ended(server: PrefectServer, proxy: Proxy) -> None:
    deployment = server.find_deployment(IDLE)
    run_id = server.start_run(deployment)

    def end_after_the_first_poll() -> None:
        wait_until(lambda: proxy.seen, "first poll", 30.0)
        server.set_state(run_id, "COMPLETED")

    async def watch() -> Any:
        events = FlowRunFinishedTrigger("prefect", deployment, poll_interval=5).run()
        first, _ = await asyncio.gather(anext(events), asyncio.to_thread(end_after_the_first_poll))
        return first.payload

    assert asyncio.run(watch())["run_id"] == run_id


def test_a_notifier_starts_a_deployment(server: PrefectServer, proxy: Proxy) -> None:
    deployment = server.find_deployment(IDLE)
    before = {run["id"] for run in server.list_runs(deployment)}
    FlowRunNotifier(service="prefect", flow_id=deployment, payload={"outcome": "fail"}).notify({})
    (run_id,) = {run["id"] for run in server.list_runs(deployment)} - before
    assert server.get_run(run_id)["parameters"] == {"outcome": "fail"}


def test_five_hundred_deferred_waits_take_at_most_ten_requests_a_round(server: PrefectServer, proxy: Proxy) -> None:
    deployment = server.find_deployment(IDLE)
    run_ids = [server.start_run(deployment) for _ in range(WAITS)]
    proxy.seen.clear()
    rounds, events = wait_together(
        run_ids, lambda: list(proxy.seen), lambda run_id: server.set_state(run_id, "COMPLETED")
    )
    # A machine that is short of time spreads the polls of a round, so that single ones take more.
    assert median(rounds) <= MAX_REQUESTS_PER_ROUND, rounds
    assert [event["run"]["run_id"] for event in events] == run_ids[: len(events)]
    assert {event["outcome"] for event in events} == {"succeeded"}


def test_a_dag_runs_in_a_real_airflow(server: PrefectServer, tmp_path: Path) -> None:
    deployment = server.find_deployment(WORKED)
    env = {"AIRFLOW_CONN_PREFECT_DEFAULT": connection_to(server.url, server.password)}
    with RealAirflow(Path(__file__).parent / "dags", env=env) as airflow:
        airflow.wait_until_ready(["prefect_orders"])
        run_id = airflow.trigger("prefect_orders", {"deployment": deployment})
        airflow.wait_for_run("prefect_orders", run_id, timeout=240)
        states = airflow.get_task_states("prefect_orders", run_id)
        expected = dict.fromkeys(("load", "run", "newest", "history"), "success")
        assert states == expected, airflow.get_log("prefect_orders", run_id, "load")
        summary = airflow.get_xcom("prefect_orders", run_id, "load")
        assert airflow.get_links("prefect_orders", run_id, "load") == {"Flow run": summary["url"]}
        for task_id in ("run", "newest"):
            assert airflow.get_xcom("prefect_orders", run_id, task_id)["run_id"] == summary["run_id"]
        assert airflow.get_xcom("prefect_orders", run_id, "history")[0]["run_id"] == summary["run_id"]
        form = airflow.run_cli("providers", "hooks", "--output", "json")
        assert "airflow_provider_flowruns_prefect.hooks.PrefectHook" in form.stdout
