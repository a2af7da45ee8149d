"""A round that waits for people: paused on the page of Prefect with a form, and looking at its desk for a sheet."""

import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.client.schemas.responses import SetStateStatus
from prefect.context import FlowRunContext
from prefect.input import RunInput, keyset_from_paused_state
from prefect.input.run_input import Keyset
from prefect.states import Paused
from prefect.utilities.urls import url_for
from rich.console import Console
from rich.markup import escape

from ..core.artifacts import ArtifactStore
from ..core.errors import DataError, DependencyError, UserError
from ..core.loops import Loop
from ..core.people.desk import Asked, Desk
from ..core.people.form import decisions_in, form_of
from ..core.people.giving import check_decisions
from ..core.people.settings import PeopleReview
from ..core.rounds import Site

POLL = 2.0  # seconds between two looks at the desk and at the page


def wait_for_people(desk: Desk, settings: PeopleReview, loop: Loop, site: Site, poll: float = POLL) -> str:
    """Wait until every row is decided or somebody says that the rest stays as it is; returns what ended it.

    `there` when nothing was left to wait for, else `sheet`, `form` or `timeout`. The clock of the longest wait begins
    anew when the round is started again. Raises UserError when it runs out and the round is not to go on.
    """
    if not desk.left():
        return "there"
    waiting = _Waiting(desk, loop, site, time.monotonic() + settings.seconds, poll)
    waiting.announce(settings)
    while (ended := waiting.once()) != "timeout":
        if not desk.left():
            return ended
    if settings.on_timeout == "go_on":
        return ended
    raise UserError(
        f"nobody decided on {len(desk.left())} of the rows in {desk.sheet} within {settings.wait}, so the round ends "
        "untrained (`review.on_timeout: reject`); what was decided is kept, and the same command waits again"
    )


def how_to_answer(desk: Desk, site: Site, review: PeopleReview) -> str:
    """What people do with a sheet, as Markdown."""
    lines = [
        f"Sheet: `{desk.sheet}` (and `sheet.jsonl` beside it)",
        "Write accept or reject under `decision`, or a better text or answer under `new_text` and `new_answer`. Then:",
        f"```\n{import_command(desk, site)}\n```",
    ]
    if review.mode == "required":
        then = "it trains on the rows as they are" if review.on_timeout == "go_on" else "it ends untrained"
        lines.append(f"Or press **Resume** on this run and fill in the form. After {review.wait} {then}.")
    else:
        lines.append("The round does not wait. What comes while it trains changes the pool when it ends.")
    return "\n\n".join(lines)


def import_command(desk: Desk, site: Site) -> str:
    """The command that brings the sheet in, for another terminal in this folder."""
    where = f"WHEELWORK_HOME={shlex.quote(str(site.home))} " if "WHEELWORK_HOME" in os.environ else ""
    return f"{where}wheelwork review import {shlex.quote(str(site.loop))} {shlex.quote(str(desk.sheet))}"


class _Waiting:
    """One wait, which may be several pauses: a form that leaves rows undecided is followed by one with the rest."""

    def __init__(self, desk: Desk, loop: Loop, site: Site, deadline: float, poll: float) -> None:
        self._desk = desk
        self._loop = loop
        self._site = site
        self._deadline = deadline
        self._poll = poll
        self._problems: list[str] = []
        context = FlowRunContext.get()
        if context is None or context.flow_run is None:
            raise RuntimeError("only a flow run can wait for people")
        self._run: UUID = context.flow_run.id

    def announce(self, settings: PeopleReview) -> None:
        """Say on the error stream what is waited for, how to answer, and how long."""
        console = Console(stderr=True, highlight=False)
        left = len(self._desk.left())
        then = "it trains on the rows as they are" if settings.on_timeout == "go_on" else "the round ends untrained"
        lines = [
            f"{self._loop.name}: {left} rows wait for people before the round trains, at most {settings.wait}; "
            f"then {then}.",
            f"  sheet   {self._desk.sheet}",
            "          accept or reject under `decision`, or a better text or answer under `new_…`",
            f"  then    {import_command(self._desk, self._site)}",
        ]
        if page := url_for("flow-run", obj_id=self._run):
            lines.append(f"  or      {page}  (Resume)")
        elif not sys.stdin.isatty():
            lines.append(
                f"  Nobody sits at this terminal, and no page is served: without a sheet it ends in {settings.wait}."
            )
        for line in lines:
            console.print(escape(line), soft_wrap=True)

    def once(self) -> str:
        """One pause: until a sheet decides every row, a form comes, or the time is up."""
        asked = self._asked()
        form = self._form(asked)
        with get_client(sync_client=True) as client:
            keys = self._pause(client, form)
            ended = ""
            while not ended:
                try:
                    state = client.read_flow_run(self._run).state
                except httpx.TransportError:  # a page that is away for a while is no reason to end a long wait
                    time.sleep(self._poll)
                    self._require_time()
                    continue
                if state is not None and state.is_running():
                    ended = "form"
                elif state is None or not state.is_paused():
                    raise UserError("the round was ended on Prefect's page while it waited for people")
                elif not self._desk.left():
                    ended = self._resume(client, "sheet")
                elif (left := self._deadline - time.monotonic()) <= 0:
                    ended = self._resume(client, "timeout")
                else:
                    time.sleep(min(self._poll, left))
        if ended == "form":
            given: Any = form.load(keys, flow_run_id=self._run)
            self._take_form(asked, given)
        return ended

    def _require_time(self) -> None:
        if time.monotonic() >= self._deadline:
            raise DependencyError("Prefect's server does not answer, and the time of the review is up; start it again")

    def _pause(self, client: SyncPrefectClient, form: type[RunInput]) -> Keyset:
        # without a time limit of Prefect's own, after which its server would fail the run before it could go on
        state: State[Any] = Paused(reschedule=False, pause_key=f"review-{uuid4().hex[:12]}")
        keys = keyset_from_paused_state(state)
        state.state_details.run_input_keyset = dict(keys)  # type: ignore[arg-type]
        form.save(keys, flow_run_id=self._run)  # before the pause, so that nobody meets one without its form
        answer = client.set_flow_run_state(self._run, state)
        if answer.status != SetStateStatus.ACCEPT:
            raise DependencyError(f"Prefect does not let the round wait for people: {answer.details}")
        return keys

    def _resume(self, client: SyncPrefectClient, why: str) -> str:
        """Go on; `form` when one came just before, which is then the one to read."""
        answer = client.resume_flow_run(self._run, run_input={})
        return why if answer.status == SetStateStatus.ACCEPT else "form"

    def _take_form(self, asked: Asked, form: RunInput) -> None:
        given, rest = decisions_in(asked, form)
        self._problems, right = [], []
        samples = self._desk.samples(ArtifactStore(self._site.artifacts))
        for decision in given:
            try:
                check_decisions([decision], samples, Path("form"), self._loop.present)
            except DataError as error:
                self._problems.append(str(error))
            else:
                right.append(decision)
        self._desk.give(right, rest=rest and not self._problems)

    def _form(self, asked: Asked) -> type[RunInput]:
        form = form_of(asked, self._desk.left(), RunInput)
        told = [f"- not taken: {problem}" for problem in self._problems]
        told.append(f"Each row is a message and, below it, its answer. The sheet has them too: `{self._desk.sheet}`.")
        form._description = "\n".join(told)
        return form

    def _asked(self) -> Asked:
        asked = self._desk.asked()
        if asked is None:
            raise UserError(f"{self._desk.folder}: the sheet is gone; run the same command again")
        return asked
