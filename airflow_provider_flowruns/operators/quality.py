"""Judge a flow by the history of its runs, so that what follows starts only after a plausible one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, get_args

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_flowruns.model.choices import OnFailure
from airflow_provider_flowruns.model.quality_limits import DEFAULT_LAST, QualityLimits
from airflow_provider_flowruns.tasks.arguments import (
    check_choice,
    check_when_known,
    get_given_arguments,
    is_known,
    require_rendered,
)
from airflow_provider_flowruns.tasks.explained_errors import explains_errors
from airflow_provider_flowruns.tasks.run_summaries import check_runs

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowruns.model.quality import QualityReport

_LIMITS = (
    "last",
    "require_newest_success",
    "allow_zero_rows",
    "min_success_rate",
    "min_rows",
    "min_rows_ratio",
    "max_rows_ratio",
    "max_duration_ratio",
    "max_age",
)


class FlowRunQualityCheckOperator(BaseOperator):
    """Judge a flow by the history of its runs, and fail unless it is plausible. Needs no connection.

    Always checked: there is a run that has ended, and all runs are of one flow. Further checks are switched on by
    their argument. One without enough history is skipped: a rate or a median needs 3 runs, or ``last`` runs if that is
    fewer. Runs that have not ended are left out; a cancelled run is neither a success nor a failure.

    The result is ``{"passed", "service", "flow_id", "run_id", "checks"}``, where ``run_id`` is the newest run that has
    ended, and each check is ``{"name", "status", "value", "limit", "message"}`` with the status ``passed``, ``failed``
    or ``skipped``. It is in XCom and, as a table, in the task's log even if the task fails.

    :param runs: the runs to judge, in any order, usually another task's output: a list of run summaries, one summary,
        either of them as JSON text, or the manifest of a history operator with ``output_path``; templated.
    :param last: number of runs, 1 to 1000, for the success rate, and of earlier successes for the medians; templated.
    :param require_newest_success: fail unless the newest run that has ended succeeded.
    :param allow_zero_rows: accept a newest success that loaded no rows. By default it fails, if any run has row counts.
    :param min_success_rate: minimum share of successes among the last runs that succeeded or failed, 0 to 1; templated.
    :param min_rows: minimum number of rows loaded by the newest success; fails, too, without row counts; templated.
    :param min_rows_ratio: minimum of the rows loaded by the newest success, as a multiple of the median of the ``last``
        successes before it; templated.
    :param max_rows_ratio: maximum of the same ratio; templated.
    :param max_duration_ratio: maximum duration of the newest run that succeeded or failed, as a multiple of the median
        of the ``last`` successes before it; templated.
    :param max_age: maximum time since the newest success ended, in seconds or as timedelta; templated.
    :param on_failure: ``fail`` with ``FlowRunQualityFailed``, or ``warn`` in the log and succeed.
    :raises InvalidArgumentError: a bad argument, at DAG parse where its value is known by then.
    :raises FlowRunQualityFailed: a check failed; the message has each failed check with its value and limit.
    """

    template_fields: Sequence[str] = (
        "runs",
        "last",
        "min_success_rate",
        "min_rows",
        "min_rows_ratio",
        "max_rows_ratio",
        "max_duration_ratio",
        "max_age",
    )
    ui_color = "#dff3ef"

    def __init__(
        self,
        *,
        runs: Any,
        last: int | str = DEFAULT_LAST,
        require_newest_success: bool = True,
        allow_zero_rows: bool = False,
        min_success_rate: float | str | None = None,
        min_rows: int | str | None = None,
        min_rows_ratio: float | str | None = None,
        max_rows_ratio: float | str | None = None,
        max_duration_ratio: float | str | None = None,
        max_age: float | timedelta | str | None = None,
        on_failure: OnFailure = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.runs = runs
        self.last = last
        self.require_newest_success = require_newest_success
        self.allow_zero_rows = allow_zero_rows
        self.min_success_rate = min_success_rate
        self.min_rows = min_rows
        self.min_rows_ratio = min_rows_ratio
        self.max_rows_ratio = max_rows_ratio
        self.max_duration_ratio = max_duration_ratio
        self.max_age = max_age
        self.on_failure = on_failure
        check_choice(on_failure, argument="on_failure", choices=get_args(OnFailure))
        check_when_known(runs, check_runs)
        QualityLimits(**{name: getattr(self, name) for name in _LIMITS if is_known(getattr(self, name))})
        self._given = get_given_arguments(self, *self.template_fields)

    @explains_errors
    def execute(self, context: Context) -> QualityReport:
        """Judge the runs, and return the result unless a check failed."""
        from airflow_provider_flowruns.operators.quality_check import judge

        for name in self._given:
            require_rendered(getattr(self, name), argument=name)
        return judge(self, QualityLimits(**{name: getattr(self, name) for name in _LIMITS}), context)
