"""A round that waits for people: on the page of Prefect, at its desk, and never for ever."""

import contextvars
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from wheelwork.core.artifacts import ArtifactStore
from wheelwork.core.errors import UserError
from wheelwork.core.loops import load_loop
from wheelwork.core.people.desk import Asked, Decision, Desk, shown_rows
from wheelwork.core.people.settings import PeopleReview
from wheelwork.core.pool.sheet import pick, sheet_rows
from wheelwork.core.rounds import Site
from wheelwork.tests.core.pool.rows import samples
from wheelwork.tests.e2e.command import rows, tiny_loop

Person = Callable[["Page"], None]
pytestmark = pytest.mark.usefixtures("prefect")


class Page:
    """What a person sees and does on the page of Prefect while a round waits."""

    def __init__(self, run: UUID, desk: Desk) -> None:
        from prefect.client.orchestration import get_client

        self.run = run
        self.desk = desk
        self._client = get_client(sync_client=True)

    def paused(self, besides: str = "") -> str:
        """Wait for a pause; the name of its form. `besides` is one that was answered already."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            state = self._client.read_flow_run(self.run).state
            keys = state.state_details.run_input_keyset if state and state.is_paused() else None
            if keys and keys["schema"] != besides:
                return str(keys["schema"])
            time.sleep(0.05)
        raise AssertionError("the round does not wait")

    def read(self, key: str) -> Any:
        from prefect.input import read_flow_run_input

        return read_flow_run_input(key, flow_run_id=self.run)

    def send(self, **fields: Any) -> str:
        """Press Resume; what the server says of it."""
        return str(self._client.resume_flow_run(self.run, run_input=fields).status.value)


class Waiting:
    """A desk with four rows, and a flow that waits at it."""

    def __init__(self, folder: Path) -> None:
        self.site = Site(loop=tiny_loop(folder / "loop", models=False), home=folder / "home")
        self.samples = samples(4)
        kept = ArtifactStore(self.site.artifacts).write_samples(self.samples)
        self.desk = Desk(self.site.home / "reviews" / "tiny" / "0000-abcdef01-0")
        shown = sheet_rows(pick(self.samples, 4, "", 0), {one.id: one for one in self.samples}, "")
        labels = ("line", "wifi", "bill")
        self.desk.lay(Asked(round="0000-abcdef01", digest=kept.digest, kept=4, labels=labels, rows=shown_rows(shown)))

    def decide(self, count: int = 4) -> None:
        ids = self.desk.left()[:count]
        self.desk.give([Decision(id=id, by="s.csv", line=2, votes={"": "accept"}) for id in ids])

    def until_ended(self, person: Person, **settings: Any) -> tuple[str, str]:
        """How the wait ended, and the state that the run ended in; `person` acts meanwhile."""
        from prefect import flow
        from prefect.context import FlowRunContext
        from wheelwork.tasks.waiting import wait_for_people

        loop, failed = load_loop(self.site.loop), list[BaseException]()

        def act(run: UUID) -> None:
            try:
                person(Page(run, self.desk))
            except BaseException as error:
                failed.append(error)
                self.decide()  # so that the round ends and the test fails with this error

        @flow
        def waits() -> str:
            context = FlowRunContext.get()
            assert context is not None and context.flow_run is not None
            held = contextvars.copy_context()
            thread = threading.Thread(target=held.run, args=(act, context.flow_run.id))
            thread.start()
            try:
                review = PeopleReview.model_validate({"mode": "required", "wait": "60s"} | settings)
                return wait_for_people(self.desk, review, loop, self.site, poll=0.05)
            finally:
                thread.join()

        state = waits(return_state=True)
        if failed:
            raise failed[0]
        return state.result(), state.name  # raises what the flow raised


@pytest.fixture
def waiting(tmp_path: Path) -> Waiting:
    return Waiting(tmp_path)


def nobody(page: Page) -> None:
    """Does nothing."""


def test_a_sheet_that_decides_every_row_ends_the_wait(waiting: Waiting) -> None:
    def person(page: Page) -> None:
        page.paused()
        waiting.decide(2)
        time.sleep(0.3)
        assert len(waiting.desk.left()) == 2 and page.paused()
        waiting.decide()

    assert waiting.until_ended(person) == ("sheet", "Completed")


def test_a_form_is_sent_half_done_and_asks_again_for_the_rest(waiting: Waiting) -> None:
    def person(page: Page) -> None:
        first = page.paused()
        assert {"row_01", "row_02", "row_03", "row_04"} <= set(page.read(first)["properties"])
        assert page.send(row_01="perhaps") == "REJECT" and page.paused() == first
        assert page.send(row_01="reject", row_02_answer="bill") == "ACCEPT"
        second = page.paused(besides=first)
        assert "row_01" not in page.read(second)["properties"]
        page.send(row_03="accept", row_04="accept")

    assert waiting.until_ended(person) == ("form", "Completed")
    asked, given = waiting.desk.asked(), waiting.desk.given()
    assert asked is not None
    first, second, third, _ = (given[id] for id in asked.ids)
    assert first.votes == {"form": "reject"} and second.new_answer == "bill" and third.votes == {"form": "accept"}


def test_somebody_may_leave_the_rest_as_it_is(waiting: Waiting) -> None:
    def person(page: Page) -> None:
        page.paused()
        page.send(row_02="reject", go_on_with_the_rest=True)

    assert waiting.until_ended(person) == ("form", "Completed")
    assert len(waiting.desk.given()) == 1 and waiting.desk.left() == ()


def test_a_correction_that_is_held_out_is_told_on_the_next_form(waiting: Waiting) -> None:
    def person(page: Page) -> None:
        first = page.paused()
        page.send(row_01_text=rows(1, start=100)[0]["text"], row_02="accept", go_on_with_the_rest=True)
        second = page.paused(besides=first)
        assert "form:1: the corrected text is held out" in page.read(second.replace("schema", "description"))
        assert "row_02" not in page.read(second)["properties"]
        page.send(row_01="reject", row_03="accept", row_04="accept")

    assert waiting.until_ended(person) == ("form", "Completed")


def test_nobody_is_waited_for_when_everything_is_decided(waiting: Waiting) -> None:
    waiting.decide()
    assert waiting.until_ended(nobody) == ("there", "Completed")


def test_when_the_time_is_up_the_round_goes_on_or_ends_untrained(
    waiting: Waiting, capsys: pytest.CaptureFixture[str]
) -> None:
    assert waiting.until_ended(nobody, wait="1s", on_timeout="go_on") == ("timeout", "Completed")
    with pytest.raises(
        UserError, match=r"nobody decided on 4 of the rows in .* within 1s, so the round ends untrained"
    ):
        waiting.until_ended(nobody, wait="1s")
    said = " ".join(capsys.readouterr().err.split())
    assert "tiny: 4 rows wait for people before the round trains, at most 1s; then it trains on the rows" in said
    assert f"wheelwork review import {waiting.site.loop} {waiting.desk.sheet}" in said


def test_a_round_that_is_cancelled_on_the_page_stops_waiting(waiting: Waiting) -> None:
    def person(page: Page) -> None:
        from prefect.states import Cancelled

        page.paused()
        page._client.set_flow_run_state(page.run, Cancelled())

    with pytest.raises(Exception, match=r"(?i)ended on Prefect's page|cancelled"):
        waiting.until_ended(person)
