"""What holds for every history of a followed flow: each end is told once, whatever happens in between."""

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
#: Small ones, so that short histories get past them.
PAGE_SIZES = (None, 8, 60)
MAX_REMEMBERED = 6
LOST_A_ROUND = 2
AIRFLOWS_LIMIT = 64 * 1024
OUTCOMES = (Disposition.SUCCEEDED, Disposition.FAILED, Disposition.CANCELED)


@dataclass
class Run:
    """A run at the service; ``ends`` counts how often it has ended."""

    run_id: str
    created: float
    started: float
    lifecycle: Lifecycle = Lifecycle.RUNNING
    disposition: Disposition = Disposition.NONE
    completed: float | None = None
    ends: int = 0

    @property
    def is_going(self) -> bool:
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
            attempt=run.ends + run.is_going if self.has_attempts else None,
            created_at=datetime.fromtimestamp(run.created, UTC),
            started_at=datetime.fromtimestamp(run.started, UTC),
            completed_at=datetime.fromtimestamp(run.completed, UTC) if run.completed else None,
        )


class Histories(RuleBasedStateMachine):
    """A flow whose runs start, end, go once more, are deleted; and a follower that fails to look and starts anew."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = [
            patch.object(watcher, name, value)
            for name, value in {
                "PAGE_SIZES": PAGE_SIZES,
                "MAX_REMEMBERED": MAX_REMEMBERED,
                "LOST_A_ROUND": LOST_A_ROUND,
            }.items()
        ]
        for one in self.patches:
            one.start()
        self.told: set[tuple[str, int]] = set()
        self.end_of_start: dict[tuple[str, float], int] = {}  # a run that goes once more has another start
        self.is_owed = False  # what an earlier verdict said was not told

    def teardown(self) -> None:
        for one in self.patches:
            one.stop()

    @initialize(
        has_attempts=st.booleans(),
        wanted=st.sets(st.sampled_from(OUTCOMES), min_size=1),
        ended=st.integers(0, 20),
        going=st.integers(0, PAGE_SIZES[1] or 0),
        ahead=st.sampled_from([-900.0, 0.0, 900.0]),
        measured=st.sampled_from([-6 * DAY, 0.0, 6 * DAY]),
    )
    def begin(
        self, has_attempts: bool, wanted: set[Disposition], ended: int, going: int, ahead: float, measured: float
    ) -> None:
        self.service = Service(has_attempts)
        self.wanted = wanted
        self.ahead = ahead + measured  # the service's clock and the follower's are two
        self.vendor_offset = -measured
        for number in range(ended):
            self.finish(self.service.start(), OUTCOMES[number % 3])
        for _ in range(going):
            self.service.start()
        self.follower = self.made(None)
        assert self.round() == 0, "what had ended before is no news"
        self.passed = {(run.run_id, run.ends) for run in self.service.runs}

    def made(self, saved: str | None) -> FlowWatcher:
        made = FlowWatcher("activepieces", "f", 60.0, self.wanted, saved)
        made.vendor_offset = self.vendor_offset
        return made

    def finish(self, run: Run, outcome: Disposition) -> None:
        run.lifecycle, run.disposition = Lifecycle.NOT_RUNNING, outcome
        run.completed = self.service.tick()
        run.ends += 1
        self.end_of_start[run.run_id, run.started] = run.ends

    # -- what happens at the service

    @rule(count=st.integers(1, 12))
    def runs_start(self, count: int) -> None:
        for _ in range(count):
            self.service.start()

    @precondition(lambda self: any(run.is_going for run in self.service.runs))
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES), count=st.integers(1, 6))
    def runs_end(self, data: Any, outcome: Disposition, count: int) -> None:
        for _ in range(count):
            if going := [run for run in self.service.runs if run.is_going]:
                self.finish(data.draw(st.sampled_from(going)), outcome)

    @precondition(lambda self: any(run.is_going for run in self.service.runs))
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES))
    def one_ends_in_the_year_9999(self, data: Any, outcome: Disposition) -> None:
        run = data.draw(st.sampled_from([run for run in self.service.runs if run.is_going]))
        self.finish(run, outcome)
        run.completed = YEAR_9999

    @precondition(lambda self: any(not run.is_going for run in self.service.newest_first()[:PAGE]))
    @rule(data=st.data(), outcome=st.none() | st.sampled_from(OUTCOMES))
    def one_goes_once_more(self, data: Any, outcome: Disposition | None) -> None:
        """Looked at in between, because a run that has left the page since is not seen to go again."""
        run = data.draw(st.sampled_from([run for run in self.service.newest_first()[:PAGE] if not run.is_going]))
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

    # -- what the follower does

    @rule()
    def polls(self) -> None:
        self.round()

    @rule()
    def a_verdict_gets_lost(self) -> None:
        """Whoever drives the follower fails before it tells anything."""
        self.is_owed = bool(self.step())

    @rule(count=st.integers(0, 3))
    def is_killed_while_it_tells(self, count: int) -> None:
        self.log_messages(self.step()[:count])
        self.starts_anew()

    @rule(error=st.sampled_from([ServerError, AuthenticationError]), after=st.integers(0, 3))
    def a_look_fails(self, error: type[ServerError], after: int) -> None:
        for _ in range(after):
            self.poll()
        step = self.follower.step(error("Service", "GET", "/x", 500, "down", None), self.service.now + self.ahead)
        assert step.result is None
        assert step.wait >= 60.0

    @rule()
    def starts_anew(self) -> None:
        saved = self.follower.to_json()
        assert saved is not None
        self.follower = self.made(saved)

    def step(self) -> tuple[RunSummary, ...]:
        step = self.follower.step(self.service.answer(self.follower.target), self.service.now + self.ahead)
        return step.result.runs if step.result else ()

    def poll(self) -> int:
        runs = self.step()
        ended_at = [at for run in runs if (at := str(run["completed_at"])) and not at.startswith("9999")]
        assert self.is_owed or ended_at == sorted(ended_at), "those of one look come in order"
        self.is_owed = self.is_owed and not runs
        self.log_messages(runs)
        return len(runs)

    def log_messages(self, runs: tuple[RunSummary, ...]) -> None:
        for told in runs:
            assert Disposition(told["disposition"]) in self.wanted
            started = datetime.fromisoformat(str(told["started_at"])).timestamp()
            run_id = str(told["run_id"])
            end = (run_id, self.end_of_start[run_id, started])
            assert end not in self.told, "told twice"
            assert end not in getattr(self, "passed", set()), "told of what had ended before"
            self.told.add(end)
            self.follower.mark_delivered([told])

    def round(self) -> int:
        told = self.poll()
        while self.follower.sleep == 0:
            told += self.poll()
        return told

    @rule()
    def looks_until_nothing_is_missing(self) -> None:
        """So often that each run which is not among the newest has its turn."""
        for _ in range(self.service.count // LOST_A_ROUND + 2):
            self.round()
        ends = {
            (run.run_id, run.ends) for run in self.service.runs if not run.is_going and run.disposition in self.wanted
        }
        assert ends - self.passed <= self.told, "not told"

    @invariant()
    def the_cursor_fits(self) -> None:
        if hasattr(self, "passed"):
            assert len(self.follower.to_json() or "") < AIRFLOWS_LIMIT


Histories.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
test_every_end_is_told_once = Histories.TestCase
