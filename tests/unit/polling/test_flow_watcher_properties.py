"""What holds for every history of a watched flow: each completion is reported once, whatever happens in between."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_provider_flowruns.model.errors import AuthenticationError, FlowRunsError, NotFoundError, ServerError
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle, RunSummary
from airflow_provider_flowruns.model.targets import NewestRunsTarget, Target
from airflow_provider_flowruns.polling import flow_watcher as watcher
from airflow_provider_flowruns.polling.flow_watcher import FlowWatcher

START = 1_800_000_000.0
DAY = 86_400.0
YEAR_9999 = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
PAGE = 4
#: Small, so that short histories exceed them.
PAGE_SIZES = (None, 8, 60)
MAX_COMPLETED_RUNS = 6
MAX_OFF_PAGE_POLLS = 2
AIRFLOW_WARNING_CHARS = 64 * 1024
OUTCOMES = (Disposition.SUCCEEDED, Disposition.FAILED, Disposition.CANCELED)


@dataclass
class Run:
    """A run at the service; ``completions`` counts how often it has completed."""

    run_id: str
    created: float
    started: float
    lifecycle: Lifecycle = Lifecycle.RUNNING
    disposition: Disposition = Disposition.NONE
    completed: float | None = None
    completions: int = 0

    @property
    def is_active(self) -> bool:
        return self.disposition is Disposition.NONE


@dataclass
class Service:
    """A flow at a service, with a clock of its own."""

    has_attempts: bool
    runs: list[Run] = field(default_factory=list)
    now: float = START
    count: int = 0

    def tick(self) -> float:
        self.now += 1
        return self.now

    def start(self) -> Run:
        self.count += 1
        moment = self.tick()
        run = Run(f"run{self.count}", moment, moment)
        self.runs.append(run)
        return run

    def newest_first(self) -> list[Run]:
        return self.runs[::-1]

    def answer(self, target: Target) -> tuple[FlowRun, ...] | FlowRunsError:
        if isinstance(target, NewestRunsTarget):
            return tuple(map(self.shown, self.newest_first()[: target.max_runs or PAGE]))
        for run in self.runs:
            if run.run_id == target.run_id:
                return (self.shown(run),)
        return NotFoundError("Service", "GET", "/x", 404, "no such run", None)

    def shown(self, run: Run) -> FlowRun:
        return FlowRun(
            service="activepieces",
            kind=Kind.RUN,
            run_id=run.run_id,
            flow_id="f",
            lifecycle=run.lifecycle,
            disposition=run.disposition,
            vendor_status=str(run.disposition),
            attempt=run.completions + run.is_active if self.has_attempts else None,
            created_at=datetime.fromtimestamp(run.created, UTC),
            started_at=datetime.fromtimestamp(run.started, UTC),
            completed_at=datetime.fromtimestamp(run.completed, UTC) if run.completed else None,
        )


class Histories(RuleBasedStateMachine):
    """A flow whose runs start, complete, are retried and deleted, and a watcher that meets errors and is restarted."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = [
            patch.object(watcher, name, value)
            for name, value in {
                "PAGE_SIZES": PAGE_SIZES,
                "MAX_COMPLETED_RUNS": MAX_COMPLETED_RUNS,
                "MAX_OFF_PAGE_POLLS": MAX_OFF_PAGE_POLLS,
            }.items()
        ]
        for one in self.patches:
            one.start()
        self.reported: set[tuple[str, int]] = set()
        self.completion_by_start: dict[tuple[str, float], int] = {}  # a retry has another start
        self.has_lost_result = False  # an earlier result was not delivered

    def teardown(self) -> None:
        for one in self.patches:
            one.stop()

    @initialize(
        has_attempts=st.booleans(),
        wanted=st.sets(st.sampled_from(OUTCOMES), min_size=1),
        ended=st.integers(0, 20),
        active=st.integers(0, PAGE_SIZES[1] or 0),
        ahead=st.sampled_from([-900.0, 0.0, 900.0]),
        measured=st.sampled_from([-6 * DAY, 0.0, 6 * DAY]),
    )
    def begin(
        self, has_attempts: bool, wanted: set[Disposition], ended: int, active: int, ahead: float, measured: float
    ) -> None:
        self.service = Service(has_attempts)
        self.wanted = wanted
        self.ahead = ahead + measured  # the service and the watcher have different clocks
        self.vendor_offset = -measured
        for number in range(ended):
            self.finish(self.service.start(), OUTCOMES[number % 3])
        for _ in range(active):
            self.service.start()
        self.watcher = self.create_watcher(None)
        assert self.round() == 0, "completed before the first poll"
        self.baseline = {(run.run_id, run.completions) for run in self.service.runs}

    def create_watcher(self, saved: str | None) -> FlowWatcher:
        created = FlowWatcher("activepieces", "f", 60.0, self.wanted, saved)
        created.vendor_offset = self.vendor_offset
        return created

    def finish(self, run: Run, outcome: Disposition) -> None:
        run.lifecycle, run.disposition = Lifecycle.NOT_RUNNING, outcome
        run.completed = self.service.tick()
        run.completions += 1
        self.completion_by_start[run.run_id, run.started] = run.completions

    # -- what happens at the service

    @rule(count=st.integers(1, 12))
    def runs_start(self, count: int) -> None:
        for _ in range(count):
            self.service.start()

    @precondition(lambda self: any(run.is_active for run in self.service.runs))
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES), count=st.integers(1, 6))
    def runs_complete(self, data: Any, outcome: Disposition, count: int) -> None:
        for _ in range(count):
            if active := [run for run in self.service.runs if run.is_active]:
                self.finish(data.draw(st.sampled_from(active)), outcome)

    @precondition(lambda self: any(run.is_active for run in self.service.runs))
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES))
    def one_completes_in_the_year_9999(self, data: Any, outcome: Disposition) -> None:
        run = data.draw(st.sampled_from([run for run in self.service.runs if run.is_active]))
        self.finish(run, outcome)
        run.completed = YEAR_9999

    @precondition(lambda self: any(not run.is_active for run in self.service.newest_first()[:PAGE]))
    @rule(data=st.data(), outcome=st.none() | st.sampled_from(OUTCOMES))
    def one_is_retried(self, data: Any, outcome: Disposition | None) -> None:
        """Polled in between, because a retry of a run off the page is not noticed."""
        run = data.draw(st.sampled_from([run for run in self.service.newest_first()[:PAGE] if not run.is_active]))
        run.lifecycle, run.disposition, run.completed = Lifecycle.PENDING, Disposition.NONE, None
        run.started = self.service.tick()
        if outcome is not None:
            self.finish(run, outcome)
        self.round()

    @precondition(lambda self: self.service.runs)
    @rule(data=st.data(), count=st.integers(1, 6))
    def runs_are_deleted(self, data: Any, count: int) -> None:
        for _ in range(min(count, len(self.service.runs))):
            self.service.runs.remove(data.draw(st.sampled_from(self.service.runs)))

    # -- what the watcher does

    @rule()
    def polls(self) -> None:
        self.round()

    @rule()
    def a_result_gets_lost(self) -> None:
        """The driver of the watcher fails before it delivers anything."""
        self.has_lost_result = bool(self.step())

    @rule(count=st.integers(0, 3))
    def is_killed_during_delivery(self, count: int) -> None:
        self.deliver(self.step()[:count])
        self.is_restarted()

    @rule(error=st.sampled_from([ServerError, AuthenticationError]), after=st.integers(0, 3))
    def a_poll_fails(self, error: type[ServerError], after: int) -> None:
        for _ in range(after):
            self.poll()
        step = self.watcher.step(error("Service", "GET", "/x", 500, "down", None), self.service.now + self.ahead)
        assert step.result is None
        assert step.wait >= 60.0

    @rule()
    def is_restarted(self) -> None:
        saved = self.watcher.to_json()
        assert saved is not None
        self.watcher = self.create_watcher(saved)

    def step(self) -> tuple[RunSummary, ...]:
        step = self.watcher.step(self.service.answer(self.watcher.target), self.service.now + self.ahead)
        return step.result.runs if step.result else ()

    def poll(self) -> int:
        runs = self.step()
        ended_at = [at for run in runs if (at := str(run["completed_at"])) and not at.startswith("9999")]
        assert self.has_lost_result or ended_at == sorted(ended_at), "runs of one poll are in order"
        self.has_lost_result = self.has_lost_result and not runs
        self.deliver(runs)
        return len(runs)

    def deliver(self, runs: tuple[RunSummary, ...]) -> None:
        for summary in runs:
            assert Disposition(summary["disposition"]) in self.wanted
            started = datetime.fromisoformat(str(summary["started_at"])).timestamp()
            run_id = str(summary["run_id"])
            end = (run_id, self.completion_by_start[run_id, started])
            assert end not in self.reported, "reported twice"
            assert end not in getattr(self, "baseline", set()), "completed before the first poll"
            self.reported.add(end)
            self.watcher.mark_delivered([summary])

    def round(self) -> int:
        reported = self.poll()
        while self.watcher.sleep == 0:
            reported += self.poll()
        return reported

    @rule()
    def polls_until_nothing_is_missing(self) -> None:
        """Poll until each active run off the page was polled."""
        for _ in range(self.service.count // MAX_OFF_PAGE_POLLS + 2):
            self.round()
        completions = {
            (run.run_id, run.completions)
            for run in self.service.runs
            if not run.is_active and run.disposition in self.wanted
        }
        assert completions - self.baseline <= self.reported, "not reported"

    @invariant()
    def the_cursor_fits(self) -> None:
        if hasattr(self, "baseline"):
            assert len(self.watcher.to_json() or "") < AIRFLOW_WARNING_CHARS


Histories.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
test_every_completion_is_reported_once = Histories.TestCase
