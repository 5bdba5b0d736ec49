"""The steps in the definition of an Activepieces flow, which a run shows in the version that ran."""

from __future__ import annotations

from typing import Any, NamedTuple

from airflow_provider_flowruns.services.parsing import is_object, parse_name

#: Keys of a step's definition under which other steps follow it; those of the last two are from old versions.
_FOLLOWING_STEPS = ("nextAction", "onFailureAction", "onSuccessAction")


class StepDefinition(NamedTuple):
    """One step of a flow.

    :param title: the name people gave it, None without one.
    :param loops: names of the loops around it, outermost first.
    """

    title: str | None
    loops: tuple[str, ...]


def read_definition(version: Any) -> dict[str, StepDefinition]:
    """Return the steps of a flow by name, in their order; empty where the response does not define them.

    :param version: the run's ``flowVersion`` as sent; steps hold the steps that follow them.
    """
    found: dict[str, StepDefinition] = {}
    rest: list[tuple[Any, tuple[str, ...]]] = [(version.get("trigger") if is_object(version) else None, ())]
    while rest:
        step, loops = rest.pop()
        if not is_object(step):
            continue
        rest += [(step.get(key), loops) for key in _FOLLOWING_STEPS]
        branches = step.get("children")
        rest += [(branch, loops) for branch in (reversed(branches) if isinstance(branches, list) else ())]
        name = parse_name(step.get("name"))
        if name is not None:
            found.setdefault(name, StepDefinition(parse_name(step.get("displayName")), loops))
            rest.append((step.get("firstLoopAction"), (*loops, name)))
    return found
