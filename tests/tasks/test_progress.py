"""What the Prefect page says of a step that is under way."""

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from wheelwork.tasks.progress import progress, stages


@pytest.mark.usefixtures("prefect")
def test_the_page_tells_share_and_cost() -> None:
    @flow
    def step() -> None:
        with progress("generate", 4, lambda: 0.25) as advance:
            for done in range(1, 5):
                advance(done)
        with progress("train", 1) as advance:
            advance(1.0, "step 4 of 4, loss 0.5")

    step()
    with get_client(sync_client=True) as client:
        found = client.request("POST", "/artifacts/filter", json={"artifacts": {"type": {"any_": ["progress"]}}}).json()
    pages = {page["description"]: page["data"] for page in found}
    assert pages["generate: 100%, cost 0.25"] == 100.0
    assert pages["train: step 4 of 4, loss 0.5, 100%"] == 100.0


@pytest.mark.usefixtures("prefect")
def test_each_part_of_a_step_has_a_bar_of_its_own() -> None:
    @flow
    def step() -> None:
        with stages() as advance:
            for part in ("measure", "train"):
                advance(part, 0.5)
                advance(part, 1.0)

    step()
    with get_client(sync_client=True) as client:
        found = client.request("POST", "/artifacts/filter", json={"artifacts": {"type": {"any_": ["progress"]}}}).json()
    pages = {page["description"].partition(":")[0]: page["data"] for page in found}
    assert pages["measure"] == pages["train"] == 100.0
