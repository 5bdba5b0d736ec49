"""The link from a task to the run it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey

#: XCom under which a task keeps its run's address.
RUN_URL = "run_url"


class FlowRunLink(BaseOperatorLink):
    """Button on a task that opens its run.

    On Activepieces it opens the run's own page; on Portable and TableFlow, which document no address of a run, the
    service's app.

    The address is XCom ``run_url``, which the task pushes as soon as it knows its run; drawing the button reads that
    and looks up no connection.
    """

    name = "Flow run"
    #: Airflow 3 draws the button from this XCom alone, while the task is still running too.
    xcom_key = RUN_URL

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """Return the run's address, empty when the task never knew it.

        Airflow 3 calls this in the worker when a process of the task ends, Airflow 2 whenever the button is drawn.
        XCom is asked only if it may hold the address: Airflow logs an error about one that it does not have.

        :param operator: the task; in the worker it knows what it has pushed (``task.RunTask.pushed_url``).
        :param ti_key: which task instance.
        """
        pushed: str | None = getattr(operator, "pushed_url", None)
        if pushed is not None:
            return pushed
        return XCom.get_value(ti_key=ti_key, key=RUN_URL) or ""
