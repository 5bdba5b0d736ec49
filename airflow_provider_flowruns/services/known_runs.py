"""Runs by the bytes that they were read from, so that a poll that brings nothing new reads nothing."""

from __future__ import annotations

from weakref import WeakValueDictionary

from airflow_provider_flowruns.model.runs import FlowRun


class KnownRuns:
    """Finds the run that the same bytes were turned into before, as long as a wait holds it.

    Keys are hashes of 64 bits, because the bytes of thousands of runs would take too much memory. If two records of one
    run ever shared one, a poll would miss a change that the next change shows.
    """

    __slots__ = ("_runs",)

    def __init__(self) -> None:
        self._runs: WeakValueDictionary[int, FlowRun] = WeakValueDictionary()

    def get(self, key: int) -> FlowRun | None:
        """Return the run that is known by a key, None if there is none.

        :param key: the hash of the bytes, and of whatever else decides what is read from them.
        """
        return self._runs.get(key)

    def add(self, key: int, run: FlowRun) -> None:
        """Remember a run that has been read.

        :param key: the key for :meth:`get`.
        :param run: the run, with all that its summary needs, since later polls return the same object.
        """
        self._runs[key] = run
