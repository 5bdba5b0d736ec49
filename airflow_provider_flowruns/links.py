"""The link from a task to the run it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey

#: Key of the XCom with the run's address.
RUN_URL = "run_url"


class FlowRunLink(BaseOperatorLink):
    """Button on a task that opens its run in the service.

    On Activepieces it opens the run's page. Portable and TableFlow document no address of a run, so there it opens the
    service's app.

    The address is XCom ``run_url``, which the task pushes as soon as it knows its run. Drawing the button reads this
    XCom and looks up no connection.
    """

    name = "Flow run"
    #: Airflow 3 draws the button from this XCom alone, also while the task is still running.
    xcom_key = RUN_URL

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """Return the run's address, empty if the task never knew it.

        Airflow 3 calls this in the worker when a process of the task ends, Airflow 2 whenever the button is drawn.
        XCom is read only if it may have the address, because Airflow logs an error about a missing XCom.

        :param operator: the task; in the worker it knows what it has pushed (``tasks.base.RunTask.pushed_url``).
        :param ti_key: identifies the task instance.
        """
        pushed: str | None = getattr(operator, "pushed_url", None)
        if pushed is not None:
            return pushed
        from airflow.providers.common.compat.sdk import XCom

        return XCom.get_value(ti_key=ti_key, key=RUN_URL) or ""
