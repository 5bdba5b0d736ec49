"""The targets that are polled, and the waits scheduled on each of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from typing import NamedTuple

from airflow_provider_flowruns.model.targets import Target


class BatchRule(NamedTuple):
    """How a service polls a target together with others.

    :param key: equal for targets that one request can cover, None for a target that needs a request of its own.
    :param min_size: minimum number of targets for which one batch request is cheaper than single requests.
    :param by_id: whether a batch request names each target. Otherwise it reads a list, in which more targets cost
        nothing.
    """

    key: Hashable | None = None
    min_size: int = 2
    by_id: bool = False


class ScheduledWait:
    """When a wait is polled next. Times are Unix seconds; only the scheduler writes to them.

    :param deadline: time of its last poll, even while the scheduler backs off.
    :param error_budget: seconds for which backing off may keep it from polling.
    """

    __slots__ = (
        "deadline",
        "due",
        "error_budget",
        "first_poll_at",
        "interval",
        "is_last",
        "is_scheduled",
        "polled_at",
        "polled_target",
    )

    #: What it polls; set by the scheduler.
    polled_target: PolledTarget

    def __init__(self, deadline: float, error_budget: float) -> None:
        self.deadline = deadline
        self.error_budget = error_budget
        #: Whether it was added and not removed.
        self.is_scheduled = False
        #: Responses to requests sent earlier are not for this wait.
        self.first_poll_at = math.inf
        #: Infinite while it takes a response, and after it was removed.
        self.due = math.inf
        #: Seconds that it asked to sleep before its next poll.
        self.interval = 0.0
        #: When it last took a response.
        self.polled_at = -math.inf
        #: Whether its next poll is its last one, at its deadline.
        self.is_last = False


class PolledTarget:
    """A target and the waits that poll it.

    :param target: what is polled.
    :param batch_rule: how it is polled together with others.
    """

    __slots__ = ("batch_key", "batches_by_id", "can_batch", "in_flight", "min_batch_size", "target", "waits")

    def __init__(self, target: Target, batch_rule: BatchRule) -> None:
        self.target = target
        self.batch_key, self.min_batch_size, self.batches_by_id = batch_rule
        #: A list, because most have one wait, and thousands leave one after the other, the first one first.
        self.waits: list[ScheduledWait] = []
        #: Whether it is queued or requested, or its response has not been delivered yet.
        self.in_flight = False
        #: Whether it is polled in batches when it is due: not if the last one that had to include it did not.
        self.can_batch = self.batch_key is not None

    @property
    def is_shared(self) -> bool:
        """Whether one request may serve more than one wait."""
        return self.can_batch or len(self.waits) > 1


class PolledTargets:
    """All polled targets. One without waits is kept only while it is in flight, so that it is not requested twice.

    :param get_batch_rule: returns how a target is polled together with others.
    """

    def __init__(self, get_batch_rule: Callable[[Target], BatchRule]) -> None:
        self._get_batch_rule = get_batch_rule
        self._by_target: dict[Target, PolledTarget] = {}
        self._by_batch_key: dict[Hashable, dict[PolledTarget, None]] = {}

    def add_wait(self, wait: ScheduledWait, target: Target) -> None:
        """Add a wait to a target.

        :param wait: a wait that has no target yet, or has left it.
        :param target: what it polls.
        """
        polled_target = self._by_target.get(target)
        if polled_target is None:
            polled_target = self._by_target[target] = PolledTarget(target, self._get_batch_rule(target))
            if polled_target.batch_key is not None:
                self._by_batch_key.setdefault(polled_target.batch_key, {})[polled_target] = None
        polled_target.waits.append(wait)
        wait.polled_target = polled_target

    def remove_wait(self, wait: ScheduledWait) -> None:
        """Remove a wait from its target."""
        wait.polled_target.waits.remove(wait)
        self.discard_if_unused(wait.polled_target)

    def discard_if_unused(self, polled_target: PolledTarget) -> None:
        """Forget a target that has no waits and is not in flight."""
        target, batch_key = polled_target.target, polled_target.batch_key
        if polled_target.waits or polled_target.in_flight or self._by_target.get(target) is not polled_target:
            return
        del self._by_target[target]
        if batch_key is not None:
            batch = self._by_batch_key[batch_key]
            del batch[polled_target]
            if not batch:
                del self._by_batch_key[batch_key]

    def iter_batch(self, batch_key: Hashable | None) -> Iterator[PolledTarget]:
        """Return the targets that one request can cover together.

        :param batch_key: the key that they have in common.
        """
        return iter(self._by_batch_key.get(batch_key, ()))

    def clear(self) -> None:
        """Forget all targets."""
        self._by_target.clear()
        self._by_batch_key.clear()
