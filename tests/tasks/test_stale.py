"""A run that was killed does not stay `Running` on Prefect's page."""

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Paused, Running
from wheelwork.tasks.stale import end_stale_runs


@flow(name="improve", flow_run_name="improve {loop}")
def turn(loop: str) -> None:
    end_stale_runs()


def left_running(loop: str, paused: bool = False) -> FlowRun:
    """What a killed process leaves; `paused` where it was waiting for people."""
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(turn, parameters={"loop": loop}, name=f"improve {loop}", state=Running())
        if paused:
            client.set_flow_run_state(run.id, Paused(pause_key="review"))
        return run


def state_of(run: FlowRun) -> str:
    with get_client(sync_client=True) as client:
        return str(client.read_flow_run(run.id).state_name)


@pytest.mark.usefixtures("prefect")
def test_what_a_killed_round_left_is_ended_by_the_next_round_of_its_loop() -> None:
    own, waiting, other = left_running("stale/own"), left_running("stale/own", paused=True), left_running("stale/other")
    assert state_of(waiting) == "Paused"
    state = turn("stale/own", return_state=True)
    assert state.name == "Completed"
    assert (state_of(own), state_of(waiting), state_of(other)) == ("Crashed", "Crashed", "Running")


def test_outside_a_flow_there_is_nothing_to_end() -> None:
    end_stale_runs()
