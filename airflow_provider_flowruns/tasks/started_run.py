"""What a task knows of the run it started, retried or joined, and keeps between its tries."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass
class StartedRun:
    """The run this task started or is about to start.

    :param flow_id: the flow's id.
    :param marker: what was noted about the start, None for a run that was not started but retried or joined.
    :param run_id: the run's id as soon as it is certain.
    :param candidates: ids of the runs that may be the one, while that is not certain.
    :param ended_before: Unix time; an end of the run up to then belongs to an earlier attempt of it.
    :param sent_at: Unix time, on the service's clock as far as that is known, at which the start was sent.
    :param is_accepted: the start was accepted, or its run was seen: there is a run, and no other is started for it.
    :param is_joined: somebody else started the run.
    :param problem: why it is not known whether the service accepted the start.
    :param generation: generation of the task (see ``task_state.generation``) that sent the start.
    :param delivered: generation of the task that has had this run's result.
    """

    flow_id: str | None
    marker: dict[str, Any] | None = None
    run_id: str | None = None
    candidates: list[str] = field(default_factory=list)
    ended_before: float | None = None
    sent_at: float | None = None
    is_accepted: bool = False
    is_joined: bool = False
    problem: str | None = None
    generation: int | None = None
    delivered: int | None = None

    def to_record(self) -> dict[str, Any]:
        """Return it as plain JSON; :meth:`from_record` reads it."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Any) -> Self | None:
        """Rebuild it from :meth:`to_record`, also of an older release; None when nothing was kept.

        :param record: what was kept.
        """
        if not isinstance(record, dict) or not record:
            return None
        return cls(**{name: value for name, value in record.items() if name in cls.__dataclass_fields__})
