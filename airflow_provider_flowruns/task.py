"""What sensors and operators share: the hook behind their connection id."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from airflow_provider_flowruns.hooks.base import FlowRunsHook


class ServiceTask:
    """Mixin of a sensor or operator on one service; the connection id is the attribute its hook names."""

    hook_class: ClassVar[type[FlowRunsHook[Any]]]

    @property
    def conn_id(self) -> str:
        """Id of the Airflow connection, rendered."""
        return str(getattr(self, self.hook_class.conn_name_attr))

    @cached_property
    def hook(self) -> Any:
        """The hook for the connection, made on first use."""
        return self.hook_class(self.conn_id)
