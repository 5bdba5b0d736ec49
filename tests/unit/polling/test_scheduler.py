"""Tests of the scheduler, with numbers only: what is polled when, and what shares a request."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from airflow_provider_flowruns.model.errors import AuthenticationError, InvalidRequestError, NotFoundError
from airflow_provider_flowruns.model.targets import BatchResult, FlowStatusTarget, RunTarget, Target
from airflow_provider_flowruns.polling import scheduler as scheduler_module
from airflow_provider_flowruns.polling.backoff import INITIAL_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS, Backoff
from airflow_provider_flowruns.polling.intervals import MAX_SHARED_ALIGNMENT_SECONDS
from airflow_provider_flowruns.polling.polled_targets import ScheduledWait
from airflow_provider_flowruns.polling.scheduler import (
    MAX_BATCH_SIZE,
    MAX_CONCURRENT_REQUESTS,
    MIN_BATCH_SIZE,
    Poll,
    PollReason,
)
from tests.unit.polling.fake_schedule import (
    BY_ID,
    FROM_LIST,
    START,
    Driver,
    create_scheduler,
    create_target,
    find_all,
    rate_limit,
    server_error,
)


def list_targets(count: int, service: str) -> list[Target]:
    return [create_target(number, service) for number in range(count)]


def sizes(driver: Driver) -> list[int]:
    return [len(poll.targets) for poll in driver.sent]


# -- when to poll


def test_a_wait_is_polled_at_its_interval() -> None:
    driver = Driver()
    wait = driver.add(create_target(1), first=3.0, interval=10.0)
    driver.run(100)
    first, *_ = driver.steps[wait]
    assert first == pytest.approx(3.0, abs=0.25)
    assert all(10.0 <= after - before <= 10.25 for before, after in pairwise(driver.steps[wait]))
    assert len(driver.steps[wait]) == 10


def test_individual_polls_are_aligned_to_a_quarter_of_a_second() -> None:
    driver = Driver()
    for number in range(50):
        driver.add(create_target(number), first=1.0 + number / 50)
    driver.run(8)
    assert {poll.at % 0.0625 for poll in driver.sent} == {0.0}
    driver.run(50)
    assert {poll.at % 0.25 for poll in driver.sent[50:]} == {0.0}


def test_the_last_poll_is_at_most_one_alignment_after_the_deadline() -> None:
    driver = Driver(latency=1.0)
    waits = [driver.add(create_target(n, BY_ID), interval=600.0, deadline=START + 50 + n) for n in range(100)]
    driver.run(200)
    assert len(driver.scheduler) == 0
    late = [driver.steps[wait][-1] - (50 + number) for number, wait in enumerate(waits)]
    assert all(0 <= seconds <= MAX_SHARED_ALIGNMENT_SECONDS + 2 for seconds in late)


def test_nothing_is_scheduled_without_waits() -> None:
    scheduler = create_scheduler()
    assert scheduler.next_wakeup() == math.inf
    assert scheduler.due(START) == []


def test_a_removed_wait_is_not_polled() -> None:
    driver = Driver()
    wait = driver.add(create_target(1))
    assert wait.is_scheduled
    driver.remove(wait)
    assert not wait.is_scheduled
    driver.run(100)
    assert not driver.sent


def test_outdated_entries_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "MAX_OUTDATED_ENTRIES", 10)
    driver = Driver()
    kept = driver.add(create_target(0), first=5.0)
    for number in range(1, 1_000):
        driver.remove(driver.add(create_target(number), first=1e6))
        assert len(driver.scheduler._heap) <= 10 + 2 * 2 + 1
    driver.run(10)
    assert driver.steps[kept]


# -- which targets share a request


def test_waits_for_one_target_share_its_polls() -> None:
    driver = Driver()
    waits = [driver.add(create_target(1), interval=5.0 + number) for number in range(10)]
    driver.run(21)
    assert sizes(driver) == [1] * len(driver.sent)
    assert len(driver.sent) <= 5
    assert {tuple(driver.steps[wait]) for wait in waits} == {tuple(driver.steps[waits[0]])}


def test_runs_are_polled_by_the_hundred() -> None:
    driver = Driver()
    for target in list_targets(250, BY_ID):
        driver.add(target)
    driver.run(2)
    assert sizes(driver) == [MAX_BATCH_SIZE, MAX_BATCH_SIZE, 50]


@pytest.mark.parametrize(("service", "count", "expected"), [(BY_ID, 1, [1]), (BY_ID, 2, [2]), (FROM_LIST, 4, [1] * 4)])
def test_a_batch_is_requested_only_if_it_is_cheaper(service: str, count: int, expected: list[int]) -> None:
    driver = Driver()
    for target in list_targets(count, service):
        driver.add(target)
    driver.run(2)
    assert sizes(driver) == expected


def test_a_wait_joins_a_batch_early_only_in_the_last_fifth_of_its_interval() -> None:
    driver = Driver()
    driver.add(create_target(1, BY_ID), first=50.0)
    driver.add(create_target(2, BY_ID), first=58.0)
    driver.add(create_target(3, BY_ID), first=90.0)
    for wait in driver.intervals:
        wait.first_poll_at = START  # as after a first poll
    driver.run(55)
    assert [poll.targets for poll in driver.sent] == [(create_target(1, BY_ID), create_target(2, BY_ID))]


def test_every_wait_joins_where_a_list_is_read() -> None:
    driver = Driver()
    for target in list_targets(20, FROM_LIST):
        driver.add(target, first=1.0)
    driver.run(2)
    driver.add(create_target(20, FROM_LIST), first=0.0)
    driver.run(9)
    assert len(driver.sent[1].targets) == 21


def test_a_last_poll_does_not_join_early() -> None:
    driver = Driver()
    driver.add(create_target(1, BY_ID), first=94.0)
    early = driver.add(create_target(2, BY_ID), first=100.0, deadline=START + 100)
    early.first_poll_at = START
    driver.run(99)
    assert [poll.targets for poll in driver.sent] == [(create_target(1, BY_ID),)]


def test_a_target_missing_from_a_batch_is_polled_individually_from_then_on() -> None:
    missing = create_target(0, BY_ID)

    def respond(poll: Poll, now: float) -> Any:
        result = find_all(poll)
        return BatchResult({t: () for t in result.found if t != missing}) if isinstance(result, BatchResult) else None

    driver = Driver(respond=respond)
    waits = [driver.add(target, interval=10.0) for target in list_targets(5, BY_ID)]
    driver.run(60)
    assert [poll.targets for poll in driver.sent if missing in poll.targets and poll.is_batch] == [
        tuple(list_targets(5, BY_ID))
    ]
    assert {poll.targets for poll in driver.sent if not poll.is_batch} == {(missing,)}
    assert all(len(driver.steps[wait]) >= 5 for wait in waits)


def test_a_target_that_a_list_shows_again_is_batched_again() -> None:
    returning = create_target(0, FROM_LIST)

    def respond(poll: Poll, now: float) -> Any:
        result = find_all(poll)
        hidden = now < START + 5
        if isinstance(result, BatchResult) and hidden:
            return BatchResult({target: () for target in result.found if target != returning})
        return result

    driver = Driver(respond=respond)
    for target in list_targets(10, FROM_LIST):
        driver.add(target)
    driver.run(60)
    assert sizes(driver)[:2] == [10, 1]
    assert set(sizes(driver)[4:]) == {10}


@pytest.mark.parametrize("error", [server_error(), AuthenticationError("Service", "GET", "/x", 401, "no")])
def test_an_error_that_concerns_all_targets_of_a_batch_is_delivered_to_all(error: Any) -> None:
    driver = Driver(respond=lambda poll, now: error)
    waits = [driver.add(target) for target in list_targets(5, BY_ID)]
    driver.run(2)
    assert sizes(driver) == [5]
    assert all(driver.steps[wait] for wait in waits)


def test_after_a_rejected_batch_each_target_is_polled_individually() -> None:
    rejected = InvalidRequestError("Service", "GET", "/x", 400, "no such list")
    driver = Driver(respond=lambda poll, now: rejected if poll.is_batch else None)
    for target in list_targets(5, BY_ID):
        driver.add(target)
    driver.run(30)
    assert sizes(driver)[0] == 5
    assert set(sizes(driver)[1:]) == {1}


def test_an_error_amid_a_list_concerns_only_what_was_due_and_not_found() -> None:
    *due, joining = list_targets(6, FROM_LIST)

    def respond(poll: Poll, now: float) -> Any:
        return BatchResult(dict.fromkeys(due[:2], ()), error=server_error()) if poll.is_batch else None

    driver = Driver(respond=respond)
    waits = [driver.add(target, first=10.0) for target in due]
    early = driver.add(joining, first=5.0, interval=100.0)
    driver.run(22)
    assert sizes(driver) == [1, 6, 6]
    assert [len(driver.steps[wait]) for wait in waits] == [2] * 5
    assert len(driver.steps[early]) == 1


def test_batches_shrink_where_runs_are_large_and_grow_again() -> None:
    bytes_per_run = 26_000

    def respond(poll: Poll, now: float) -> Any:
        return BatchResult({polled.target: () for polled in poll.targets}, bytes_per_run=bytes_per_run)

    driver = Driver(respond=respond)
    for target in list_targets(100, BY_ID):
        driver.add(target)
    driver.run(5)
    assert driver.scheduler.max_batch_size == 10
    bytes_per_run = 10**9
    driver.run(20)
    assert driver.scheduler.max_batch_size == MIN_BATCH_SIZE
    bytes_per_run = 100
    driver.run(20)
    assert driver.scheduler.max_batch_size == MAX_BATCH_SIZE


def test_a_wait_that_changes_its_target_is_polled_by_the_new_one() -> None:
    scheduler = create_scheduler()
    old, new = create_target(1), create_target(2)
    wait = ScheduledWait(math.inf, 900.0)
    scheduler.add(wait, old, 0.0, START)
    (poll,) = scheduler.due(START)
    seen = scheduler.on_result(poll, (), START)
    assert scheduler.take_recipients(poll, seen, START) == [wait]
    scheduler.reschedule(wait, new, 5.0, START)
    (poll,) = scheduler.due(START + 6)
    assert [polled.target for polled in poll.targets] == [new]
    assert list(scheduler._targets._by_target) == [new]


@pytest.mark.parametrize("single", [NotFoundError("Service", "GET", "/x", 404, "no such run"), ()])
def test_targets_missing_from_a_batch_are_polled_individually_at_once(single: Any) -> None:
    driver = Driver(respond=lambda poll, now: BatchResult({}) if poll.is_batch else single)
    for target in list_targets(3, BY_ID):
        driver.add(target)
    driver.run(2)
    assert [(len(poll.targets), poll.is_batch) for poll in driver.sent] == [(3, True), *[(1, False)] * 3]


def test_a_wait_with_a_long_interval_takes_the_responses_of_others() -> None:
    driver = Driver()
    slow = driver.add(create_target(1), interval=3_000.0)
    driver.add(create_target(1), interval=5.0)
    driver.run(100)
    assert len(driver.steps[slow]) >= 19


def test_waits_that_are_due_soon_come_to_poll_together() -> None:
    driver = Driver(latency=0.05)
    for number, target in enumerate(list_targets(100, BY_ID)):
        driver.add(target, first=1.0 + 0.009 * number, interval=5.0)
    driver.run(600)
    last_rounds = [len(poll.targets) for poll in driver.sent if poll.at > 300]
    assert Counter(last_rounds) == {100: len(last_rounds)}


@pytest.mark.parametrize(
    ("targets", "most"),
    # Waits join in the last fifth of their interval, so waits that share requests make five groups at most.
    [
        ([FlowStatusTarget("portable", str(number % 10)) for number in range(1_000)], 10),
        ([RunTarget("portable", str(number), str(number % 10)) for number in range(1_000)], 50),
        ([create_target(number, BY_ID) for number in range(1_000)], 20),
    ],
    ids=["10 flows", "100 attempts of each of 10 flows", "1,000 runs by id"],
)
def test_a_round_of_a_thousand_waits_takes_few_requests(targets: list[Target], most: int) -> None:
    driver, numbers = Driver(latency=0.05), Random(1)
    for target in targets:
        driver.add(target, first=numbers.uniform(5.5, 10.5), interval=60.0)
    driver.run(1_200)
    rounds = Counter(int(poll.at // 60) for poll in driver.sent)
    assert max(rounds[number] for number in range(1, 20)) <= most


# -- requests in flight


def test_at_most_twenty_requests_are_in_flight() -> None:
    driver = Driver(latency=3.0)
    for target in list_targets(50, "portable"):
        driver.add(target, interval=100.0)
    driver.run(3)
    assert len(driver.sent) == MAX_CONCURRENT_REQUESTS
    driver.run(10)
    assert len(driver.sent) == 50


def test_at_most_four_batches_are_in_flight() -> None:
    driver = Driver(latency=3.0)
    for target in list_targets(1_000, BY_ID):
        driver.add(target, interval=100.0)
    driver.run(3)
    assert sizes(driver) == [MAX_BATCH_SIZE] * 4


def test_a_target_in_flight_is_not_requested_again_and_its_response_is_not_for_later_waits() -> None:
    driver = Driver(latency=10.0)
    early = driver.add(create_target(1), first=1.0, interval=100.0)
    driver.run(2)
    late = driver.add(create_target(1), first=3.0, interval=100.0)
    driver.run(8)
    assert len(driver.sent) == 1
    driver.run(10)
    assert (driver.steps[early][0], driver.steps[late]) == (11.0, [])
    assert [poll.at for poll in driver.sent] == [1.0, 11.0]
    driver.run(2)
    assert driver.steps[late] == [21.0]


def test_a_wait_that_came_while_its_run_was_found_missing_keeps_its_first_poll() -> None:
    driver = Driver(respond=lambda poll, now: BatchResult({}) if poll.is_batch else (), latency=2.0)
    for target in list_targets(2, BY_ID):
        driver.add(target)
    driver.run(2)
    late = driver.add(create_target(0, BY_ID), first=20.0)
    driver.run(100)
    assert driver.steps[late][0] >= 22


def test_a_target_stays_in_flight_until_its_response_is_delivered() -> None:
    scheduler = create_scheduler()
    first, second = (ScheduledWait(math.inf, 900.0) for _ in range(2))
    scheduler.add(first, create_target(1), 0.0, START)
    (poll,) = scheduler.due(START)
    seen = scheduler.on_result(poll, (), START + 1)
    scheduler.add(second, create_target(1), 0.0, START + 1)
    assert scheduler.due(START + 1) == []
    assert scheduler.take_recipients(poll, seen, START + 1) == [first]
    assert len(scheduler.due(START + 1)) == 1


def test_results_after_a_clear_are_ignored() -> None:
    scheduler = create_scheduler()
    wait = ScheduledWait(math.inf, 900.0)
    scheduler.add(wait, create_target(1), 0.0, START)
    (poll,) = scheduler.due(START)
    scheduler.remove(wait)
    scheduler.clear()
    assert scheduler.on_result(poll, rate_limit(100.0), START) == {}
    scheduler.on_failure(poll)
    scheduler.add(wait, create_target(1), 0.0, START + 1)
    assert len(scheduler.due(START + 1)) == 1


def test_a_failed_poll_leaves_room_for_others() -> None:
    scheduler = create_scheduler()
    waits = [ScheduledWait(math.inf, 900.0) for _ in range(MAX_CONCURRENT_REQUESTS + 1)]
    for number, wait in enumerate(waits):
        scheduler.add(wait, create_target(number), 0.0, START)
    polls = scheduler.due(START)
    assert scheduler.due(START) == []
    scheduler.on_failure(polls[0])
    (last,) = scheduler.due(START)
    assert [polled.target for polled in last.targets] == [create_target(MAX_CONCURRENT_REQUESTS)]


def test_a_queued_poll_whose_waits_have_left_is_not_sent() -> None:
    driver = Driver(latency=3.0)
    waits = [driver.add(target, interval=100.0) for target in list_targets(MAX_CONCURRENT_REQUESTS + 5, "portable")]
    driver.run(2)
    for wait in waits[MAX_CONCURRENT_REQUESTS:]:
        driver.remove(wait)
    driver.run(20)
    assert len(driver.sent) == MAX_CONCURRENT_REQUESTS
    assert driver.scheduler._load == 0


# -- backing off


def refuse_first(error: Any, count: int = 1) -> Driver:
    """Return a driver whose first polls get an error."""
    driver = Driver()
    driver.respond = lambda poll, now: error if len(driver.sent) <= count else None
    return driver


def test_retry_after_concerns_all_polls() -> None:
    driver = refuse_first(rate_limit(60.0))
    waits = [driver.add(create_target(number), first=1.0 + number) for number in range(50)]
    driver.run(200)
    assert driver.sent[1].at >= 61.0
    assert all(driver.steps[wait] for wait in waits)


def test_polls_are_spread_after_backing_off() -> None:
    spread = iter(range(1_000_000))
    driver = refuse_first(rate_limit(60.0))
    driver.scheduler._spread = lambda: next(spread) % 10 / 10
    for number in range(50):
        driver.add(create_target(number), first=1.0 + number, interval=10.0)
    driver.run(62)
    assert len(driver.sent) <= 10


def test_without_retry_after_the_delay_doubles_up_to_a_minute_and_starts_again_after_a_success() -> None:
    driver = refuse_first(rate_limit(), count=6)
    driver.scheduler._spread = lambda: 0.0
    driver.add(create_target(1), interval=1.0)
    driver.run(300)
    gaps = [after.at - before.at for before, after in pairwise(driver.sent)]
    assert gaps[:6] == pytest.approx([INITIAL_BACKOFF_SECONDS * 2**n for n in range(4)] + [MAX_BACKOFF_SECONDS] * 2)
    count = len(driver.sent)
    driver.respond = lambda poll, now: rate_limit() if len(driver.sent) == count + 1 else None
    driver.run(20)
    assert driver.sent[count + 1].at - driver.sent[count].at == pytest.approx(INITIAL_BACKOFF_SECONDS)


def test_a_success_during_a_backoff_does_not_shorten_the_next_one() -> None:
    backoff = Backoff()
    backoff.on_error(rate_limit(), START)
    backoff.on_success()
    backoff.on_error(rate_limit(), START + 4)
    assert backoff.until == START + 4 + INITIAL_BACKOFF_SECONDS


@pytest.mark.parametrize("requested", [86_400.0, 2.5e11])
@pytest.mark.parametrize("error", [rate_limit, lambda seconds: server_error(503, seconds)], ids=["429", "503"])
def test_a_service_is_left_alone_for_five_minutes_at_most(error: Any, requested: float) -> None:
    driver = refuse_first(error(requested))
    waits = [driver.add(create_target(number), first=1.0 + number) for number in range(20)]
    driver.run(400)
    assert 300.0 <= driver.sent[1].at <= 320.0
    assert all(driver.steps[wait] for wait in waits)


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError("Service", "GET", "/x", 404, "no", None, 86_400.0),
        server_error(500, 86_400.0),
        server_error(502, 86_400.0),
        server_error(503),
    ],
    ids=["404", "500", "502", "503 without Retry-After"],
)
def test_other_errors_hold_nothing_back(error: Any) -> None:
    driver = refuse_first(error)
    waits = [driver.add(create_target(number)) for number in range(5)]
    driver.run(20)
    assert all(len(driver.steps[wait]) == 2 for wait in waits)


def test_queued_polls_are_held_back_too() -> None:
    driver = Driver(latency=3.0)
    driver.respond = lambda poll, now: rate_limit(60.0) if len(driver.sent) <= MAX_CONCURRENT_REQUESTS else None
    waits = [driver.add(target) for target in list_targets(2 * MAX_CONCURRENT_REQUESTS, "portable")]
    driver.run(2)
    late = driver.add(create_target(2 * MAX_CONCURRENT_REQUESTS - 1), first=200.0)
    driver.run(58)
    assert len(driver.sent) == MAX_CONCURRENT_REQUESTS
    driver.run(200)
    assert all(driver.steps[wait] for wait in waits)
    assert driver.steps[late][0] >= 202


def test_deadlines_are_kept_while_backing_off_and_polled_individually() -> None:
    driver = refuse_first(rate_limit(280.0))
    waits = [driver.add(create_target(n, BY_ID), first=1.0 + n, deadline=START + 50.0 * (n + 1)) for n in range(5)]
    driver.run(260)
    assert [poll.targets for poll in driver.sent[1:]] == [(create_target(number, BY_ID),) for number in range(5)]
    for number, wait in enumerate(waits):
        assert 0 <= driver.steps[wait][-1] - 50.0 * (number + 1) <= MAX_SHARED_ALIGNMENT_SECONDS


def test_backing_off_does_not_use_up_an_error_budget_unnoticed() -> None:
    driver = refuse_first(rate_limit(280.0))
    patient = [driver.add(create_target(number), first=1.0 + number) for number in range(10)]
    impatient = driver.add(create_target(99), first=5.0, error_budget=20.0)
    driver.run(250)
    # Once per budget, not at every alignment: the service still asks for fewer requests.
    gaps = [after - before for before, after in pairwise([1.0, *driver.steps[impatient]])]
    assert all(20.0 <= gap <= 21.0 for gap in gaps)
    assert {poll.targets for poll in driver.sent[1:]} == {(create_target(99),)}
    driver.run(60)
    assert all(driver.steps[wait] for wait in patient)


# -- why


def test_a_poll_says_why_it_is_sent() -> None:
    driver = Driver(latency=0.5)
    reasons: list[dict[PollReason, int]] = []

    def respond(poll: Poll, now: float) -> None:
        reasons.append(dict(poll.count_reasons()))

    driver.respond = respond
    driver.add(create_target(1, BY_ID), first=10.0, interval=100.0)
    driver.add(create_target(2, BY_ID), first=20.0, interval=100.0, deadline=START + 150)
    driver.run(115)
    assert reasons == [{PollReason.FIRST: 1}, {PollReason.FIRST: 1}, {PollReason.DUE: 1, PollReason.JOINED_EARLY: 1}]
    driver.run(40)
    assert reasons[-1] == {PollReason.DEADLINE: 1}


def test_a_wait_whose_first_poll_is_not_due_is_no_reason() -> None:
    driver = Driver()
    reasons: list[int] = []
    driver.respond = lambda poll, now: reasons.append(poll.count_reasons().total())
    driver.add(FlowStatusTarget("portable", "1"), first=1.0)
    driver.add(FlowStatusTarget("portable", "1"), first=50.0)
    driver.run(5)
    assert reasons == [1]
