"""Reads how long a flow's earlier runs took, once for each flow, where polls do not show it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from airflow_provider_flowruns.model.errors import FlowRunsError
from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.model.targets import NewestRunsTarget, Target
from airflow_provider_flowruns.polling.durations import MAX_RUNS_PER_FLOW, RunDurations
from airflow_provider_flowruns.polling.freshness import get_start
from airflow_provider_flowruns.triggers.faults import describe_fault
from airflow_provider_flowruns.triggers.log_lines import log_in_thread

log = logging.getLogger(__name__)

#: A flow's history is read when one of its runs has taken this many seconds. Younger runs are polled often anyway.
MIN_AGE_SECONDS = 30.0


class _Client(Protocol):
    async def poll(self, target: Target) -> tuple[FlowRun, ...] | FlowRunsError: ...


class HistoryReader:
    """Reads the first page of the history of flows whose runs are waited for, one flow at a time.

    :param service: registry name of the service.
    :param client: sends the requests.
    :param durations: learns from what is read.
    """

    def __init__(self, service: str, client: _Client, durations: RunDurations) -> None:
        self._service = service
        self._client = client
        self._durations = durations
        self._queue: deque[str] = deque()
        self._is_reading = False

    def add(self, runs: Iterable[FlowRun], service_now: float) -> bool:
        """Queue the flows of active runs if too few of their earlier runs are known.

        :param runs: runs that waits are for.
        :param service_now: the current time on the service's clock.
        :return: whether :meth:`read_all` has to be started.
        """
        for run in runs:
            if run.flow_id is None or not self._durations.lacks_history(run.flow_id) or not run.is_active:
                continue
            started_at = get_start(run, service_now)
            if started_at is not None and service_now - started_at >= MIN_AGE_SECONDS:
                self._durations.mark_history_read(run.flow_id)  # also if it fails: polls do not depend on it
                self._queue.append(run.flow_id)
        return bool(self._queue) and not self._is_reading

    async def read_all(self) -> None:
        """Read the history of all queued flows; an error ends it, because the service may be in trouble."""
        self._is_reading = True
        try:
            while self._queue:
                target = NewestRunsTarget(self._service, self._queue.popleft(), MAX_RUNS_PER_FLOW)
                runs = await self._client.poll(target)
                if isinstance(runs, FlowRunsError):
                    self._queue.clear()
                else:
                    self._durations.learn(runs)
        except Exception as error:  # a bug; the waits do without
            self._queue.clear()  # before the line: flows that are queued while it is written are kept
            text = "Durations of earlier runs are not read any more: %s"
            await log_in_thread(log.warning, text, describe_fault(error))
        finally:
            self._is_reading = False
