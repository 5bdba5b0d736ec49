"""Start and retry flows of Activepieces, and read their steps, for its operators; imported when a task runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_flowruns.exceptions import FlowRunNotFailed, StepNotEnded, StepOutputMissing
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, RunSummary
from airflow_provider_flowruns.polling.messages import describe
from airflow_provider_flowruns.services.activepieces_arguments import validate_run_id
from airflow_provider_flowruns.services.activepieces_starts import shows_start
from airflow_provider_flowruns.tasks.started_run import StartedRun

if TYPE_CHECKING:
    from airflow_provider_flowruns.hooks.activepieces import ActivepiecesHook
    from airflow_provider_flowruns.operators.activepieces import ActivepiecesRunFlowOperator
    from airflow_provider_flowruns.tasks.starting import RunStarter


def start_flow(
    hook: ActivepiecesHook,
    flow_id: str,
    payload: dict[str, Any] | list[Any],
    correlation_key: str,
    starter: RunStarter,
) -> StartedRun:
    """Call a flow's webhook.

    :param hook: the service's hook.
    :param flow_id: the flow's id.
    :param payload: what the flow is started with.
    :param correlation_key: key under which the value that identifies the run travels with the start.
    :param starter: sends the start once, and saves what is known of the run.
    :raises ApiError: the service rejected a request.
    """
    # The run will be looked for in this list: a token that may not read it has to fail before there is a run.
    newest = hook.client.send(hook.api.list_flow_runs(flow_id=flow_id, limit=1).first).items
    marker = starter.new_marker(correlation_key, newest[0].run_id if newest else None)
    own = {marker.correlation_key: marker.correlation}
    if isinstance(payload, list):
        call = hook.api.run_flow(flow_id, payload, query=own)
    else:
        call = hook.api.run_flow(flow_id, {**payload, **own})
    return starter.start(StartedRun(flow_id, marker), call)


def get_failed_run(hook: ActivepiecesHook, run_id: str) -> FlowRun:
    """Return a run that can be retried.

    :param hook: the service's hook.
    :param run_id: the run's id.
    :raises FlowRunNotFailed: it has neither failed nor been cancelled.
    """
    run: FlowRun = hook.get_flow_run(run_id)
    if run.disposition not in {Disposition.FAILED, Disposition.CANCELED}:
        raise FlowRunNotFailed(
            f"Activepieces {describe(run)}: only one that failed or was cancelled can be retried; nothing was sent"
        )
    return run


def retry_run(hook: ActivepiecesHook, failed: FlowRun, strategy: str, starter: RunStarter) -> StartedRun:
    """Retry a run and return the run that results; an end that it had before does not count.

    :param hook: the service's hook.
    :param failed: the run to retry.
    :param strategy: ``FROM_FAILED_STEP`` or ``ON_LATEST_VERSION``.
    :param starter: sends the retry once, and saves what is known of the run.
    :raises ApiError: the service rejected the request.
    """
    failed_run_id = validate_run_id(failed.run_id)
    call = hook.api.retry_flow_run(failed_run_id, strategy)
    if strategy == "ON_LATEST_VERSION":
        run_id = hook.client.send(call).run_id
        generation = starter.store.generation
        return starter.store.save(StartedRun(failed.flow_id, run_id=run_id, is_accepted=True, generation=generation))
    ended = failed.completed_at.timestamp() if failed.completed_at else None
    return starter.start(StartedRun(failed.flow_id, run_id=failed_run_id, ended_before=ended), call)


def read_returned_step(task: ActivepiecesRunFlowOperator, summary: RunSummary, step: str) -> Any:
    """Return what a step of a task's run returned.

    :param task: the operator, whose run has succeeded.
    :param summary: the run's summary.
    :param step: the step's name.
    :raises StepOutputMissing: the run may be another start's, or the step has no output.
    """
    run = task.read_again(summary)
    if not task.is_certainly_own(run, shows_start):
        raise StepOutputMissing(
            f"Activepieces {describe(run)} does not show that this task started it, because the flow's trigger "
            "does not pass on its input, so its steps may be those of another start: read them with "
            "ActivepiecesGetStepOutputOperator if there is no other start"
        )
    try:
        return task.hook.read_step_outputs(run, (step,))[step]
    except (StepOutputMissing, StepNotEnded) as error:
        # Of a run that counts as a success, so that a retry would not wait for it. A cleared task starts a new run.
        task.waiting.save_delivered()
        raise StepOutputMissing(str(error)) from None
