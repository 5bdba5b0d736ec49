"""Whether records that are decoded from their bytes give what their JSON values give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_provider_flowruns.model.calls import Call, Page
from airflow_provider_flowruns.model.clean import parse_json
from airflow_provider_flowruns.model.rows import Rows
from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.model.targets import BatchResult


def check_decoding(call: Call[Any], body: bytes) -> None:
    """Check that a call's result is the same as without its own way of decoding.

    :param call: any call.
    :param body: the body of a response to it, without the connection's secrets.
    :raises AssertionError: it is another one.
    """
    if call.decode is not parse_json:
        found, expected = (_read(call, decode, body) for decode in (call.decode, parse_json))
        assert found == expected, f"decoded {found}\ninstead of {expected}"


def _read(call: Call[Any], decode: Callable[[bytes], Any], body: bytes) -> str:
    """Return all that can be told from the result, as text: NaN is not equal to itself."""
    try:
        return repr(_describe(call.read(decode(body))))
    except Exception as error:
        return repr(error)


def _describe(result: Any) -> Any:
    if isinstance(result, Page):
        return _describe(result.items), result.next and result.next.request
    if isinstance(result, BatchResult):
        return _describe(result.runs), result.bytes_per_run
    if isinstance(result, tuple):
        return [_describe(one) for one in result], vars(result) if isinstance(result, Rows) else None
    return (result, result.raw, result.summary(), result.current_step()) if isinstance(result, FlowRun) else result
