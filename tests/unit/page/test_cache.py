"""One reading for all who ask, kept for a while."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_flowruns.page.cache import ReadingCache

KEEP_SECONDS = 30.0
TIMEOUT = 30.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Reader:
    """Counts its readings; each waits until it is released."""

    def __init__(self, is_released: bool = True) -> None:
        self.keys: list[str] = []
        self.release = threading.Event()
        self.began = threading.Semaphore(0)
        self.active = self.most_active = 0
        self._lock = threading.Lock()
        if is_released:
            self.release.set()

    def __call__(self, key: str) -> str:
        with self._lock:
            self.keys.append(key)
            self.active += 1
            self.most_active = max(self.most_active, self.active)
        self.began.release()
        assert self.release.wait(TIMEOUT)
        with self._lock:
            self.active -= 1
        return f"{key} {len(self.keys)}"


def build(reader, clock=None, max_readings=8):
    return ReadingCache(reader, keep_seconds=KEEP_SECONDS, max_readings=max_readings, clock=clock or Clock())


def test_a_value_is_kept_for_its_time_and_then_read_again() -> None:
    reader, clock = Reader(), Clock()
    cache = build(reader, clock)
    assert cache.get("a").result(TIMEOUT) == "a 1"
    clock.now += KEEP_SECONDS - 0.1
    assert cache.get("a").result(TIMEOUT) == "a 1"
    clock.now += 0.1
    assert cache.get("a").result(TIMEOUT) == "a 2"


def test_the_time_begins_when_the_reading_ends() -> None:
    reader, clock = Reader(is_released=False), Clock()
    cache = build(reader, clock)
    future = cache.get("a")
    clock.now += 10 * KEEP_SECONDS
    assert cache.get("a") is future
    reader.release.set()
    assert future.result(TIMEOUT) == "a 1"
    clock.now += KEEP_SECONDS - 0.1
    assert cache.get("a") is future


def test_many_who_ask_at_the_same_time_share_one_reading() -> None:
    reader = Reader(is_released=False)
    cache = build(reader)
    with ThreadPoolExecutor(50) as pool:
        futures = [*pool.map(lambda _: cache.get("a"), range(50))]
    reader.release.set()
    assert {future.result(TIMEOUT) for future in futures} == {"a 1"}
    assert reader.keys == ["a"]


def test_each_key_has_a_value_of_its_own() -> None:
    cache = build(Reader())
    assert cache.get("a").result(TIMEOUT).startswith("a")
    assert cache.get("b").result(TIMEOUT).startswith("b")


def test_an_error_is_kept_like_a_value() -> None:
    calls = []

    def fail(key: str) -> str:
        calls.append(key)
        raise OSError("down")

    cache = build(fail)
    for _ in range(2):
        with pytest.raises(OSError, match="down"):
            cache.get("a").result(TIMEOUT)
    assert calls == ["a"]


def test_a_slow_reading_delays_no_other() -> None:
    slow = Reader(is_released=False)
    cache = build(lambda key: slow(key) if key == "slow" else key)
    future = cache.get("slow")
    assert slow.began.acquire(timeout=TIMEOUT)
    assert cache.get("quick").result(TIMEOUT) == "quick"
    assert not future.done()
    slow.release.set()
    assert future.result(TIMEOUT) == "slow 1"


def test_the_number_of_readings_at_a_time_is_limited() -> None:
    reader = Reader(is_released=False)
    cache = build(reader, max_readings=2)
    futures = [cache.get(str(number)) for number in range(6)]
    for _ in range(2):
        assert reader.began.acquire(timeout=TIMEOUT)
    reader.release.set()
    assert len({future.result(TIMEOUT)[0] for future in futures}) == 6
    assert reader.most_active == 2


def test_what_nobody_asks_for_any_more_is_forgotten() -> None:
    clock = Clock()
    cache = build(Reader(), clock)
    for number in range(100):
        cache.get(str(number)).result(TIMEOUT)
        clock.now += KEEP_SECONDS
    assert len(cache._entries) <= 1
