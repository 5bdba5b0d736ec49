"""What holds for all waits, however they come and leave and whatever their polls bring."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flowruns.model.errors import RateLimitError
from airflow_provider_flowruns.model.targets import BatchResult
from airflow_provider_flowruns.polling.backoff import INITIAL_BACKOFF_SECONDS
from airflow_provider_flowruns.polling.intervals import MAX_SHARED_ALIGNMENT_SECONDS
from airflow_provider_flowruns.polling.polled_targets import PolledTarget, ScheduledWait
from airflow_provider_flowruns.polling.scheduler import EARLY_JOIN_FRACTION, Poll
from tests.unit.polling.fake_schedule import (
    BY_ID,
    FROM_LIST,
    SINGLE,
    START,
    Driver,
    create_target,
    find_all,
    rate_limit,
    server_error,
)

#: Seconds for which polls go wrong, and after which every wait has long been polled again.
TROUBLE, RECOVERY = 300.0, 400.0
MAX_INTERVAL, MAX_LATENCY, MAX_RETRY_AFTER = 60.0, 5.0, 40.0
#: Polls that may have to end before a wait's own one: of its target, of other batches, and one that left it out.
POLLS_BEFORE = 6


@dataclass(frozen=True)
class Plan:
    """When a wait comes and leaves, and how often it polls."""

    service: str
    number: int
    enters: float
    first: float
    interval: float
    lasts: float | None
    leaves: float | None


seconds = st.floats(0.0, TROUBLE)
plans = st.builds(
    Plan,
    service=st.sampled_from([BY_ID, FROM_LIST, SINGLE]),
    number=st.integers(0, 7),
    enters=seconds,
    first=st.floats(0.0, 30.0),
    interval=st.floats(0.5, MAX_INTERVAL),
    lasts=st.none() | st.floats(0.5, 200.0),
    leaves=st.none() | seconds,
)


class StrictDriver(Driver):
    """Fails if a poll is not justified by one of its waits, or is sent while the service asks for fewer requests."""

    def __init__(self, seed: int, latency: float) -> None:
        super().__init__(respond=self._respond, latency=latency)
        self._random = Random(seed)
        #: When the service asked for fewer requests, and until when.
        self._quiet: list[tuple[float, float]] = []

    def _respond(self, poll: Poll, now: float) -> Any:
        is_quiet = any(since < now < until for since, until in self._quiet)
        for number, polled_target in enumerate(poll.targets):
            joins_list = poll.is_batch and not polled_target.batches_by_id and number >= poll.required_count
            assert joins_list or any(self._is_due(wait, polled_target) for wait in polled_target.waits)
            assert not is_quiet or any(now >= wait.deadline for wait in polled_target.waits)
        chance = self._random.random() if now < START + TROUBLE else 1.0
        if chance < 0.05:
            return self._ask_for_fewer_requests(now + self.latency)
        if chance < 0.2:
            return server_error()
        if chance < 0.5 and poll.is_batch:
            return BatchResult({polled.target: () for polled in poll.targets if self._random.random() < 0.5})
        return find_all(poll)

    def _ask_for_fewer_requests(self, at: float) -> RateLimitError:
        retry_after = self._random.choice([None, self._random.uniform(1.0, MAX_RETRY_AFTER)])
        self._quiet.append((at, at + (retry_after or INITIAL_BACKOFF_SECONDS)))
        return rate_limit(retry_after)

    def _is_due(self, wait: ScheduledWait, polled_target: PolledTarget) -> bool:
        if self.now >= wait.deadline:
            return True
        if not self.steps[wait]:
            return self.now >= wait.first_poll_at
        elapsed = self.now - START - self.steps[wait][-1]
        interval = min(self.intervals[wait], wait.deadline - START - self.steps[wait][-1])
        fraction = 1.0 - EARLY_JOIN_FRACTION if polled_target.batches_by_id else 1.0
        return elapsed >= fraction * interval - 1e-6


@settings(max_examples=200, deadline=None)
@given(plans=st.lists(plans, min_size=1, max_size=40), seed=st.integers(0, 2**32), latency=st.floats(0.0, MAX_LATENCY))
def test_no_wait_is_forgotten_polled_too_often_or_past_its_deadline(
    plans: list[Plan], seed: int, latency: float
) -> None:
    driver = StrictDriver(seed, latency)
    waits: dict[ScheduledWait, Plan] = {}
    events = sorted(
        [(plan.enters, number, "enters") for number, plan in enumerate(plans)]
        + [(plan.leaves, number, "leaves") for number, plan in enumerate(plans) if plan.leaves is not None]
    )
    entered: dict[int, ScheduledWait] = {}
    left: set[ScheduledWait] = set()
    for at, number, event in events:
        driver.run(START + at - driver.now)
        plan = plans[number]
        if event == "enters":
            deadline = math.inf if plan.lasts is None else driver.now + plan.lasts
            first = min(plan.first, plan.lasts or math.inf)
            wait = driver.add(create_target(plan.number, plan.service), first, plan.interval, deadline)
            entered[number], waits[wait] = wait, plan
        elif number in entered and entered[number] in driver.intervals:
            left.add(entered[number])
            driver.remove(entered[number])
    driver.run(START + TROUBLE + RECOVERY - driver.now)

    slack = MAX_SHARED_ALIGNMENT_SECONDS + POLLS_BEFORE * latency
    for wait, plan in waits.items():
        steps = driver.steps[wait]
        if wait in left:
            continue
        assert steps, "never polled"
        assert steps[0] >= wait.first_poll_at - START
        if plan.lasts is not None:
            assert not wait.is_scheduled, "not polled at its deadline"
            assert wait.deadline <= START + steps[-1] <= max(wait.deadline, wait.first_poll_at) + slack
        else:
            assert steps[-1] >= TROUBLE + RECOVERY - plan.interval - slack, "not polled any more"
