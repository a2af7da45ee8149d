"""Runs that Prefect believes to be under way though nobody works on them."""

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import StateType
from prefect.context import FlowRunContext
from prefect.states import Crashed


def end_stale_runs() -> None:
    """Mark the runs that bear the name of this one and are `Running`, or paused for people, as crashed.

    To be called by whoever holds the loop's lock: then no other run of the loop is alive, and one that was killed
    could not say so itself.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    alive = [StateType.RUNNING, StateType.PAUSED]
    running = FlowRunFilter.model_validate(
        {"name": {"any_": [context.flow_run.name]}, "state": {"type": {"any_": alive}}}
    )
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=running):
            if run.id != context.flow_run.id:
                client.set_flow_run_state(
                    run.id, Crashed(message="stopped or killed; the same command goes on from there"), force=True
                )
