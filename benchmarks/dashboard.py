"""Draw docs/images/metrics-dashboard.png: what the queries of the Grafana dashboard return for a test run.

Run with ``python -m benchmarks.dashboard PROMETHEUS``, the path of a Prometheus server's program. For five minutes,
deferred waits poll the sandbox and send their metrics to a StatsD server here, which Prometheus scrapes under the names
that the StatsD exporter gives them. Then Prometheus evaluates each query of the dashboard, and matplotlib draws the
result.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections import defaultdict, deque
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from airflow_provider_flowruns.sandbox import Sandbox

DOCS = Path(__file__).resolve().parents[1] / "docs"
DASHBOARD = DOCS / "examples" / "grafana" / "flowruns.json"
PICTURE = DOCS / "images" / "metrics-dashboard.png"

RUN_SECONDS = 300.0
SCRAPE_SECONDS = 5
#: What Grafana puts in for its variables.
VARIABLES = {"$service": ".*", "$conn_id": ".*", "$__rate_interval": "60s"}
#: The StatsD exporter's quantiles of a timer, over its last ten minutes.
QUANTILES, QUANTILE_SECONDS = (0.5, 0.9, 0.99), 600.0
PORTABLE_WAITS, ACTIVEPIECES_WAITS = 40, 200


class Exporter:
    """Receives StatsD metrics and shows them to Prometheus as the StatsD exporter does."""

    def __init__(self) -> None:
        self.udp = socket.socket(type=socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self._values: dict[tuple[str, str], float] = defaultdict(float)
        self._timings: dict[tuple[str, str], deque[tuple[float, float]]] = defaultdict(deque)
        self._lock = threading.Lock()
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self) -> None:
        while True:
            for line in self.udp.recv(65_536).decode().splitlines():
                identity, _, rest = line.partition(":")
                value, kind, *_ = rest.split("|")
                name, *tags = identity.split(",")
                labels = ", ".join('{}="{}"'.format(*tag.split("=", 1)) for tag in tags)
                with self._lock:
                    self._take((name.replace(".", "_"), labels), float(value), kind)

    def _take(self, key: tuple[str, str], value: float, kind: str) -> None:
        if kind == "c":
            self._values[key] += value
        elif kind == "g":
            self._values[key] = value
        else:
            self._timings[key].append((time.monotonic(), value / 1_000))

    def build_page(self) -> str:
        """Return all metrics in the text format of Prometheus."""
        with self._lock:
            lines = [f"{name}{{{labels}}} {value}" for (name, labels), value in self._values.items()]
            for (name, labels), timings in self._timings.items():
                recent = sorted(value for at, value in timings if at > time.monotonic() - QUANTILE_SECONDS)
                lines += [
                    f'{name}{{{labels}, quantile="{quantile}"}} {recent[int(quantile * (len(recent) - 1))]}'
                    for quantile in QUANTILES
                ]
                lines.append(f"{name}_sum{{{labels}}} {sum(value for _, value in timings)}")
                lines.append(f"{name}_count{{{labels}}} {len(timings)}")
        return "\n".join(lines) + "\n"


@contextmanager
def _serve(exporter: Exporter) -> Generator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(exporter.build_page().encode())

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


@contextmanager
def _run_prometheus(program: str, scraped_port: int, folder: Path) -> Generator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    config = {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s"},
        "scrape_configs": [
            {"job_name": "statsd", "static_configs": [{"targets": [f"127.0.0.1:{scraped_port}"]}]},
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    command = [program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    process = subprocess.Popen([*command, f"--web.listen-address={address}", "--log.level=error"])
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait()


async def _load(sandbox: Sandbox) -> None:
    """Wait for runs that start and end, through a rate limit and a few errors."""
    end = time.monotonic() + RUN_SECONDS
    tasks = [
        asyncio.create_task(_wait_again(sandbox, service, end))
        for service, count in (("portable", PORTABLE_WAITS), ("activepieces", ACTIVEPIECES_WAITS))
        for _ in range(count)
    ]
    tasks.append(asyncio.create_task(_start_flows(sandbox, end)))
    await asyncio.sleep(RUN_SECONDS * 0.35)
    sandbox.faults.add("status", service="portable", method="GET", status=429, headers={"Retry-After": "20"}, times=2)
    await asyncio.sleep(RUN_SECONDS * 0.3)
    sandbox.faults.add("status", service="activepieces", method="GET", status=503, times=8)
    await asyncio.gather(*tasks)


async def _wait_again(sandbox: Sandbox, service: str, end: float) -> None:
    """Wait for one run after the other, each in a trigger."""
    flow = getattr(sandbox, service).add_flow()
    await asyncio.sleep(random.random() * RUN_SECONDS / 3)
    while (left := end - time.monotonic()) > 30.0:
        run = flow.add_run(waiting=1.0, running=random.uniform(20.0, min(90.0, left)))
        async for event in _create_trigger(service, flow.id, run.id).run():
            assert event.payload["outcome"] == "succeeded", event.payload


def _create_trigger(service: str, flow_id: Any, run_id: Any) -> Any:
    from airflow_provider_flowruns.model.targets import RunTarget
    from airflow_provider_flowruns.polling.run_waiter import RunWaiter
    from airflow_provider_flowruns.polling.wait_state import WaitConfig
    from airflow_provider_flowruns.triggers.flow_run import FlowRunTrigger

    now = time.time()
    target = RunTarget(service, str(run_id), str(flow_id))
    config = WaitConfig(target=target, interval_seconds=10.0, deadline_at=now + 3_600)
    return FlowRunTrigger(f"{service}_default", RunWaiter(config, now).to_json())


async def _start_flows(sandbox: Sandbox, end: float) -> None:
    """Start a flow now and then, and cancel every third start."""
    from airflow_provider_flowruns.notifications.flow_run import FlowRunNotifier
    from airflow_provider_flowruns.operators.portable import PortableCancelFlowOperator

    number = 0
    context: Any = {}
    while time.monotonic() < end - 30.0:
        flow = sandbox.portable.add_flow()
        await FlowRunNotifier(service="portable", flow_id=flow.id, conn_id="portable_default").async_notify(context)
        number += 1
        if number % 3 == 0:
            cancel = PortableCancelFlowOperator(task_id=f"cancel_{number}", flow_id=flow.id, poll_interval=1)
            await asyncio.to_thread(cancel.execute, context)
        await asyncio.sleep(random.uniform(5.0, 15.0))


def _query(prometheus: str, query: str, began: float, ended: float) -> list[dict[str, Any]]:
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    arguments = urllib.parse.urlencode({"query": query, "start": began, "end": ended, "step": SCRAPE_SECONDS})
    with urllib.request.urlopen(f"{prometheus}/api/v1/query_range?{arguments}", timeout=30) as response:
        result: list[dict[str, Any]] = json.load(response)["data"]["result"]
    return result


def _draw(prometheus: str, began: float, ended: float) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import dates, pyplot

    panels = json.loads(DASHBOARD.read_text())["panels"]
    figure, axes = pyplot.subplots(len(panels) // 2, 2, figsize=(14, 13), layout="constrained")
    for axis, panel in zip(axes.flat, panels, strict=True):
        for target in panel["targets"]:
            for series in _query(prometheus, target["expr"], began, ended):
                label = target["legendFormat"]
                for name, value in series["metric"].items():
                    label = label.replace("{{" + name + "}}", value)
                times = [datetime.fromtimestamp(at, UTC) for at, _ in series["values"]]
                axis.plot(times, [float(value) for _, value in series["values"]], label=label)
        unit = {"s": ", seconds", "reqps": ""}.get(panel["fieldConfig"]["defaults"]["unit"], "")
        axis.set_title(panel["title"] + unit, loc="left", fontsize=11)
        axis.set_xlim(datetime.fromtimestamp(began, UTC), datetime.fromtimestamp(ended, UTC))
        axis.set_ylim(0, 1.4 * axis.get_ylim()[1])  # room for the legend
        axis.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(fontsize=8, loc="upper left", ncols=2, frameon=False)
    figure.savefig(PICTURE, dpi=80)


def main() -> None:
    """Run, and draw the picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard", description=__doc__)
    parser.add_argument("prometheus", help="path of a Prometheus server's program")
    program = parser.parse_args().prometheus
    exporter = Exporter()
    settings = {"ON": "True", "PORT": str(exporter.udp.getsockname()[1]), "INFLUXDB_ENABLED": "True"}
    os.environ |= {f"AIRFLOW__METRICS__STATSD_{name}": value for name, value in settings.items()}
    os.environ["AIRFLOW__METRICS__METRICS_ALLOW_LIST"] = "flowruns"
    with tempfile.TemporaryDirectory(prefix="flowruns-dashboard-") as folder, Sandbox() as sandbox:
        os.environ |= sandbox.connections()
        os.environ |= {"AIRFLOW_HOME": folder, "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}
        with _serve(exporter) as port, _run_prometheus(program, port, Path(folder)) as prometheus:
            began = time.time()
            asyncio.run(_load(sandbox))
            time.sleep(2 * SCRAPE_SECONDS)
            _draw(prometheus, began, time.time())


if __name__ == "__main__":
    main()
