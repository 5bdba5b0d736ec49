"""A sandbox in a process of its own, so that what is measured is the client alone."""

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
class Running:
    """A sandbox that runs elsewhere: its flow runs, its connection, and how many TCP connections it has seen."""

    ca_file: str
    connection: str
    flow_id: str
    run_ids: list[str]
    pipe: Connection

    def connection_with_ca(self) -> str:
        """Return the connection as JSON, with the CA file that the sandbox's certificate needs."""
        settings = json.loads(self.connection)
        settings["extra"]["verify"] = self.ca_file
        return json.dumps(settings)

    def bytes_uploaded(self) -> int:
        """Return the size of all files that have arrived so far (TableFlow)."""
        self.pipe.send("bytes")
        return int(self.pipe.recv())

    def connections_opened(self) -> int:
        """Return the number of TCP connections opened so far."""
        self.pipe.send("connections")
        return int(self.pipe.recv())


@contextmanager
def sandbox_process(service: str, runs: int, seconds: float, latency: float) -> Generator[Running]:
    """
    Run a TLS sandbox with a number of live runs of one flow.

    :param runs: how many runs there are.
    :param seconds: how long each run goes on.
    :param latency: seconds before each answer.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, service, runs, seconds, latency), daemon=True)
    process.start()
    try:
        yield Running(**here.recv(), pipe=here)
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
        answers = {
            "connections": lambda: sandbox.ledger.connections_opened,
            "bytes": lambda: sum(part.size for run in flow.runs for part in run.parts if part.filename),
        }
        while (question := pipe.recv()) != "stop":
            pipe.send(answers[question]())
