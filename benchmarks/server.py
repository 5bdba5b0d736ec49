"""A sandbox in a separate process, so that only the client is measured."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from airflow_provider_flowruns.sandbox import Sandbox

LARGE_FILE = {"key": "document", "name": "Document", "required": True, "max_file_size": 2**30}


@dataclass(frozen=True)
class SandboxProcess:
    """A sandbox in a separate process, with its connection, its flow and the ids of its runs."""

    ca_file: str
    connection: str
    flow_id: str
    run_ids: list[str]
    pipe: Connection

    def build_connection_with_ca(self) -> str:
        """Return the connection as JSON, with the CA file of the sandbox's certificate."""
        settings = json.loads(self.connection)
        settings["extra"]["verify"] = self.ca_file
        return json.dumps(settings)

    def get_uploaded_bytes(self) -> int:
        """Return the total size of the files received so far (TableFlow)."""
        self.pipe.send("bytes")
        return int(self.pipe.recv())


@contextmanager
def run_sandbox_process(service: str, runs: int, seconds: float, latency: float) -> Generator[SandboxProcess]:
    """Run a TLS sandbox with a flow and a number of runs in progress.

    :param runs: number of runs.
    :param seconds: duration of each run.
    :param latency: delay of each response in seconds.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, service, runs, seconds, latency), daemon=True)
    process.start()
    try:
        yield SandboxProcess(**here.recv(), pipe=here)
    finally:
        here.send("stop")
        process.join(timeout=10)
        process.kill()


def _serve(pipe: Any, service: str, runs: int, seconds: float, latency: float) -> None:
    with Sandbox(tls=True, latency=latency) as sandbox:
        fields = {"file_fields": [LARGE_FILE]} if service == "tableflow" else {}
        flow = getattr(sandbox, service).add_flow(**fields)
        run_ids = [str(flow.add_run(outcome="SUCCEEDED", waiting=0.0, running=seconds).id) for _ in range(runs)]
        pipe.send(
            {
                "ca_file": str(sandbox.ca_file),
                "connection": sandbox.connection_json(service),
                "flow_id": str(flow.id),
                "run_ids": run_ids,
            }
        )
        handlers = {
            "bytes": lambda: sum(part.size for run in flow.runs for part in run.parts if part.filename),
        }
        while (command := pipe.recv()) != "stop":
            pipe.send(handlers[command]())
