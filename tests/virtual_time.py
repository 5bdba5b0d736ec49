"""An event loop in which waiting takes no time: when it is idle, the clock moves to the next timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

START = 1_800_000_000.0


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a virtual clock."""

    # What asyncio has and does not declare.
    _ready: Any
    _scheduled: Any

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Call a function at once: the clock would move on while a thread works."""
        done: asyncio.Future[Any] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def _run_once(self) -> None:
        if not self._ready:
            timers = [timer.when() for timer in self._scheduled if not timer.cancelled()]
            if not timers:
                raise RuntimeError("All tasks are waiting, and no timer is scheduled.")
            self.now = max(self.now, min(timers))
        super()._run_once()  # type: ignore[misc]


class VirtualClock:
    """Replaces ``client.clock.Clock`` in a virtual loop."""

    def now(self) -> float:
        return START + asyncio.get_running_loop().time()


def run(work: Coroutine[Any, Any, T], seconds: float = 100_000.0) -> T:
    """Run a coroutine in a new virtual loop, and check that it leaves no tasks behind.

    :raises TimeoutError: the coroutine has not finished within ``seconds`` of virtual time.
    """

    async def checked() -> T:
        async with asyncio.timeout(seconds):
            result = await work
        for _ in range(10):
            await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left
        return result

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(checked())
