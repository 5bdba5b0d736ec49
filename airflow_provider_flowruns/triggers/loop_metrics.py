"""Collects the metrics of a poll loop, and reports them from a thread: a backend may block, the event loop must not."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial

from airflow_provider_flowruns.metrics import ConnectionMetrics, Metric
from airflow_provider_flowruns.model.errors import FlowRunsError
from airflow_provider_flowruns.model.targets import BatchResult
from airflow_provider_flowruns.polling.scheduler import Poll, PollScheduler

#: Interval of the reports, and with it of the gauge.
REPORT_INTERVAL_SECONDS = 10.0
#: Maximum number of durations of a kind in a report, the newest ones: each is a packet, and too many packets at once
#: overflow the receiver.
MAX_DURATIONS = 1_000


class LoopMetrics:
    """Counts in the event loop, and reports in a thread.

    It reports when the first wait begins, every ten seconds, and when the last wait has ended.

    :param metrics: reports them.
    :param scheduler: the poll loop's scheduler, which knows its waits.
    """

    def __init__(self, metrics: ConnectionMetrics, scheduler: PollScheduler) -> None:
        self._metrics = metrics
        self._scheduler = scheduler
        self._reported_backoffs = 0
        self._timer: asyncio.TimerHandle | None = None
        self._pending: Future[None] | None = None
        self._clear()

    def on_waits_changed(self) -> None:
        """Begin to report with the first wait, and end with a last report when there is none left."""
        has_waits = len(self._scheduler) > 0
        if has_waits == (self._timer is not None):
            return
        if self._timer is None:
            self._set_timer()
        else:
            self._timer.cancel()
            self._timer = None
        self._report()

    def on_sent(self, poll: Poll) -> None:
        """Count a poll that is being sent.

        :param poll: the poll.
        """
        self._counts[Metric.POLLS_SENT] += 1
        self._counts[Metric.POLL_TARGETS] += len(poll.targets)

    def on_result(self, result: object, seconds: float) -> None:
        """Record what came of a poll.

        :param result: its result or the error that came instead.
        :param seconds: how long it took.
        """
        self._latencies.append(seconds)
        error = result.error if isinstance(result, BatchResult) else result
        if isinstance(error, FlowRunsError):
            self.on_error(error)

    def on_error(self, error: Exception) -> None:
        """Count an error by its class.

        :param error: the error.
        """
        self._errors[type(error).__name__] += 1

    def on_runs_ended(self, delays: Iterable[float]) -> None:
        """Record when runs were found to have ended.

        :param delays: the seconds since the end of each run.
        """
        self._delays.extend(delays)

    def _set_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(REPORT_INTERVAL_SECONDS, self._on_timer)

    def _on_timer(self) -> None:
        if self._pending is None or self._pending.done():  # else the backend blocks, and the next report has it all
            self._report()
        self._set_timer()

    def _report(self) -> None:
        backoffs = self._scheduler.backoff_count
        self._counts[Metric.BACKOFFS] += backoffs - self._reported_backoffs
        self._reported_backoffs = backoffs
        durations = {Metric.POLL_LATENCY: self._latencies, Metric.DETECTION_DELAY: self._delays}
        report = partial(_send, self._metrics, len(self._scheduler), self._counts, self._errors, durations)
        self._clear()
        with suppress(RuntimeError):  # the interpreter is shutting down
            self._pending = _get_reporter().submit(report)

    def _clear(self) -> None:
        self._counts: Counter[Metric] = Counter()
        self._errors: Counter[str] = Counter()
        self._latencies: deque[float] = deque(maxlen=MAX_DURATIONS)
        self._delays: deque[float] = deque(maxlen=MAX_DURATIONS)


def _send(
    metrics: ConnectionMetrics,
    open_waits: int,
    counts: Mapping[Metric, int],
    errors: Mapping[str, int],
    durations: Mapping[Metric, Iterable[float]],
) -> None:
    metrics.set_open_waits(open_waits)
    for metric, number in counts.items():
        if number:
            metrics.increment(metric, number)
    for name, number in errors.items():
        metrics.increment(Metric.POLL_ERRORS, number, error=name)
    for metric, values in durations.items():
        for seconds in values:
            metrics.record_seconds(metric, seconds)


@cache
def _get_reporter() -> ThreadPoolExecutor:
    """Return the thread for all reports. There is one, so that a connection's reports arrive in order."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="flowruns-metrics")
