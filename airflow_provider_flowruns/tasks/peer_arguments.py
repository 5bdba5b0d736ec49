"""Name our argument where somebody passes that of another provider."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from airflow_provider_flowruns.model.errors import InvalidArgumentError

#: What other providers call an argument, to what it is called here.
_OUR_NAMES = {
    "asynchronous": "wait",  # Airbyte
    "wait_for_completion": "wait",  # Amazon, Azure, Fivetran
    "wait_for_termination": "wait",  # Azure, Databricks, dbt Cloud
    "check_interval": "poll_interval",  # Azure, dbt Cloud
    "poke_interval": "poll_interval",  # sensors
    "poll_frequency": "poll_interval",  # Fivetran
    "polling_interval": "poll_interval",
    "polling_interval_seconds": "poll_interval",
    "polling_period_seconds": "poll_interval",  # Databricks
    "wait_seconds": "poll_interval",  # Airbyte
    "waiter_delay": "poll_interval",  # Amazon
    "completed_after_time": "completed_after",  # Fivetran
}
#: Those that mean the opposite of ours.
_REVERSED = frozenset({"asynchronous"})


def reject_peer_arguments(task_class: type[Any], names: Iterable[str]) -> None:
    """Check that there is no argument among unknown ones that has another name here.

    Airflow reports all other unknown arguments, and those that a task is mapped over.

    :param task_class: class of the sensor or operator.
    :param names: names of arguments that may be unknown.
    :raises InvalidArgumentError: there is one; the message names ours.
    """
    for name in names:
        ours = _get_our_name(task_class, name)
        if ours is None or _takes(task_class, name):
            continue
        if _takes(task_class, ours):
            meaning = f", with the opposite value ({name}=True is {ours}=False)" if name in _REVERSED else ""
            raise InvalidArgumentError(f"{name} is called {ours} in {task_class.__name__}: pass {ours}{meaning}")
        if ours == "wait" and _takes(task_class, "poke_interval"):
            raise InvalidArgumentError(f"{name} is not needed: {task_class.__name__} always waits, leave it out")


def _get_our_name(task_class: type[Any], name: str) -> str | None:
    if name == "conn_id" or name.endswith("_conn_id"):
        return str(task_class.info.conn_id_argument)
    return _OUR_NAMES.get(name)


def _takes(task_class: type[Any], name: str) -> bool:
    bases: list[Any] = task_class.mro()
    return any(name in inspect.signature(base.__init__).parameters for base in bases)
