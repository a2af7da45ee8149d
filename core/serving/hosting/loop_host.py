"""One loop: brings what is served into step with what is wanted, one change after another.

The watch tells who is champion, callers name versions, a trial wants its own; `_settle` has the keeper make them ready
and moves traffic when they are. Requests only ever read `route` and `slot`.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from ...errors import ServingError, WheelworkError
from ..exchange import BASE
from ..parts import Health, Routed, Served
from .admission import ABSENT, Admission
from .fleet import Fleet, state_of
from .keeper import Keeper
from .parts import Hosted, Standing
from .pins import Pins
from .refusals import Refusal
from .running import Slot
from .shelf import Remembered, Shelf
from .wanted import Wanted, wanted
from .warming import in_words
from .watch import Watch

log = logging.getLogger(__name__)
HEAD_START = 5.0  # seconds that what was served last has to come up before the registry is looked at: MLflow's import
# takes two, and one of two cores
PATIENCE = 30.0  # seconds that the registry may take at the start where nothing was
SILENT = 3  # looks at the engine without an answer, after which it counts as dead
BREATH = 0.05  # seconds between looks at an engine whose requests fail


class LoopHost:
    """Serves one loop. `home` is the state folder, `cache` where engines keep converted adapters."""

    def __init__(self, hosted: Hosted, home: Path, cache: Path) -> None:
        self.hosted = hosted
        self._trial = hosted.trial
        self._shelf = Shelf(home, hosted.name)
        self._watch = Watch(hosted.releases, hosted.settings.poll, self._wake)
        self._fleet = Fleet(hosted, cache)
        self._keeper = Keeper(hosted, Admission(hosted, self._shelf), self._fleet)
        self._pins = Pins(hosted.settings.pinned, hosted.settings.keep_pinned)
        last = self._shelf.last
        self._standing: Standing | None = last.stood if last else None
        self._answering = last.answering if last else None
        self._recent: tuple[str, ...] = ()
        self._routed: Routed | None = None
        self._notes = {"memory": "", "engine": ""}
        self._look_again = self._heard = self._offline = False
        self._woken, self._suspected, self._turn = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._begun = asyncio.Event()
        self.settled = asyncio.Event()
        """Set once all that could be brought up at the start has been."""

    # what requests ask

    def route(self, version: str | None, sticky: str) -> Routed:
        """See `Hosting.route`. Costs a look into a dictionary where there is no trial."""
        if version is not None:
            return self._named(version)
        if self._trial is not None and self._trial.known:
            routed = self._trial.route(sticky)
            if routed.shadow is not None and self._fleet.slot(routed.shadow) is None:
                routed = routed._replace(shadow=None)
            if self._fleet.slot(routed.version) is not None:
                return routed
        if self._routed is None:
            raise self._away("no version can be served now")
        return self._routed

    def slot(self, version: str) -> Slot | None:
        """Who answers as `version` now."""
        return self._fleet.slot(version)

    async def load(self, version: str) -> Slot:
        """Wait for a version that is not there yet. Raises ServingError, as `Hosting.lease` does."""
        end = asyncio.get_running_loop().time() + self.hosted.settings.pinned_wait
        while (slot := self._fleet.slot(version)) is None:
            if self._fleet.running is None or version == BASE:
                raise self._away("the engine is being started")
            if (refusal := self._keeper.refused.get(version)) is not None:
                self._pins.drop(version)
                raise self._gone(version, refusal)
            if version in self._keeper.pending:
                self._pins.drop(version)
                raise self._away(f"version {version} cannot be fetched now")
            self._pins.claim(version, asyncio.get_running_loop().time())
            self._wake()
            try:
                async with asyncio.timeout_at(end):
                    await self._turn.wait()
            except TimeoutError:
                raise self._away(f"version {version} is being loaded") from None
        return slot

    def suspect(self) -> None:
        """A request failed: look at the engine now."""
        self._suspected.set()

    def served(self) -> Sequence[Served]:
        """Every version that can be asked now."""
        roles = self._wanted().roles
        return [
            Served(self.hosted.name, version, roles.get(version, "pinned"), slot.since)
            for version, slot in self._fleet.table.items()
        ]

    def health(self) -> Health:
        """`down` where nobody answers, `degraded` where not all is served that should be, or the registry is away."""
        keeper, name = self._keeper, f"loop {self.hosted.name}"
        meant = self._meant()
        notes = [f"not served: {keeper.refused[version].reason}" for version in meant if version in keeper.refused]
        notes += [
            f"version {version} waits: {keeper.pending[version].reason}"
            for version in meant
            if version in keeper.pending
        ]
        notes += [note for note in (keeper.trouble, *self._notes.values()) if note]
        if self._watch.trouble:
            notes.append(f"the registry does not answer ({self._watch.trouble})")
        if self._routed is None or self._fleet.slot(self._routed.version) is None:
            return Health(name, "down", "; ".join(notes) or "the engine is being started")
        if not notes:
            return Health(name, "ok")
        answers = "the base" if self._routed.version == BASE else f"version {self._routed.version}"
        return Health(name, "degraded", "; ".join([*notes, f"{answers} answers"]))

    # what goes on beside them

    def nudge(self) -> None:
        """Something may have changed in the registry: look now, also at what was refused."""
        self._look_again = True
        self._watch.nudge()
        self._wake()

    async def run(self) -> None:
        """Serve until cancelled; then the engines are closed."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._look())
                tasks.create_task(self._guard())
                tasks.create_task(self._keep())
        except* Exception:
            log.exception("%s: is not served any more; start the gateway anew", self.hosted.name)
        finally:
            self._routed = None
            await asyncio.shield(self._fleet.close())

    async def _look(self) -> None:
        """Look at the registry, once what was served last has had its head start."""
        if self._at_hand():
            await _wait(self._begun, HEAD_START)
        await self._watch.run()

    async def _keep(self) -> None:
        if not self._at_hand():
            await _wait(self._watch.looked, PATIENCE)
        while True:
            self._woken.clear()
            try:
                while await self._settle():
                    self._tell()
            except Exception as error:  # who is served goes on being served
                log.exception("%s: what is served could not be changed", self.hosted.name)
                self._keeper.put_off(f"what is served could not be changed ({in_words(error)})")
            self._begun.set()
            if self._watch.looked.is_set() or self._watch.trouble:
                self.settled.set()
            self._tell()
            pause = min(self.hosted.settings.health, max(0.0, self._keeper.not_before - _now()) or 60.0)
            await _wait(self._woken, pause)

    async def _settle(self) -> bool:
        """One step; whether another should follow at once."""
        offline = bool(self._watch.trouble) or not self._watch.looked.is_set()
        news = await self._hear() or self._look_again or (self._offline and not offline)
        self._look_again, self._offline = False, offline
        await self._keeper.reconsider(() if offline else self._meant(), now=news)
        more = await self._keeper.bring_up(self._at_hand(), offline=offline)
        self._move_traffic()
        await self._tidy()
        return more

    def _at_hand(self) -> Sequence[str]:
        """Whom to bring up: before the registry's first word what lies on the shelf, which need not wait for it."""
        roles = tuple(self._wanted().roles)
        if self._watch.looked.is_set() or self._watch.trouble:
            return roles
        lying = [version for version in roles if version == BASE or self._shelf.recall(version) is not None]
        return lying if {self._answering, self._wanted().champion} & set(lying) else ()

    async def _guard(self) -> None:
        """Notice an engine that died."""
        silent = 0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.hosted.settings.health):
                    await self._suspected.wait()
                    await asyncio.sleep(BREATH)
            self._suspected.clear()
            if (running := self._fleet.running) is None:
                silent = 0
                continue
            state, note = await state_of(running)
            silent = silent + 1 if state == "unknown" else 0
            self._notes["engine"] = f"the engine: {note}" if state == "degraded" else ""
            if (state == "down" or silent >= SILENT) and running is self._fleet.running:
                self._keeper.lost(running, note)
                self._wake()

    async def _hear(self) -> bool:
        """Take in what the registry said, and tell the trial; whether the champion is another one."""
        before, standing, trial = self._standing, self._watch.standing, self._trial
        if standing is None or (standing == before and self._heard):
            return False
        if trial is not None:
            known = trial.champion if trial.known else before.version if before is not None else None
            kind = standing.kind if trial.known or before is not None else "start"  # nobody to try it against
            await asyncio.to_thread(trial.champion_moved, known, standing.version, kind)
        self._standing, self._heard = standing, True
        return before is None or before.version != standing.version

    def _move_traffic(self) -> None:
        """Let the champion answer whom no trial takes, once it is ready."""
        champion = self._wanted().champion
        if self._routed is None and champion not in self._fleet.table and self._answering in self._fleet.table:
            champion = self._answering  # who answered when the gateway ended goes on until the new one is there
        if champion is None:
            self._routed = None
            return
        if champion not in self._fleet.table or (self._routed is not None and self._routed.version == champion):
            return
        if (before := self._answering) is not None and before != champion:
            log.info("%s: %s answers after %s", self.hosted.name, champion, before)
            earlier = [one for one in (before, *self._recent) if one not in (champion, BASE)]
            self._recent = tuple(dict.fromkeys(earlier))[: self.hosted.settings.recent]
        self._answering = champion
        self._routed = Routed(champion, "base" if champion == BASE else "champion")

    async def _tidy(self) -> None:
        """Take out what nobody wants any more, and remember what is served."""
        roles, running, keeper = self._wanted().roles, self._fleet.running, self._keeper
        if running is None or self._routed is None:
            return
        if running.engine.live:
            for version in [one for one in self._fleet.table if one not in roles]:
                self._fleet.drop(version)
        keeper.forget(one for one in keeper.admitted if one not in roles and one not in self._fleet.table)
        standing = self._standing or Standing(None)
        last = Remembered(
            standing=standing.version,
            kind=standing.kind,
            answering=self._answering,
            kept=tuple(one.kept for version, one in sorted(keeper.admitted.items()) if version in self._fleet.table),
        )
        if last == self._shelf.last or self._standing is None:
            return
        try:
            await asyncio.to_thread(self._shelf.remember, last, [one.kept for one in keeper.admitted.values()])
            self._notes["memory"] = ""
        except (WheelworkError, OSError) as error:
            self._notes["memory"] = f"what is served is not remembered ({in_words(error)})"

    def _wanted(self) -> Wanted:
        pinned = self._pins.current(_now())
        return wanted(
            self._standing, self._tried(), self._answering, self._recent, pinned, refused=self._keeper.refused
        )

    def _meant(self) -> Sequence[str]:
        """Whom registry and trial want, whether or not they may be served."""
        return [version for version in wanted(self._standing, self._tried(), self._answering).roles if version != BASE]

    def _tried(self) -> Collection[str]:
        # before it is told who is champion, it knows of none
        return self._trial.wanted() if self._trial is not None and self._trial.known else ()

    def _named(self, version: str) -> Routed:
        number = version.removeprefix("v")
        if version == BASE:
            return Routed(BASE, "base")
        if not (number.isascii() and number.isdigit() and len(number) <= 18):
            raise self._gone(version[:40])
        if self._fleet.slot(number) is not None:
            self._pins.use(number, _now())
        elif (refusal := self._keeper.refused.get(number)) is not None:
            raise self._gone(number, refusal)
        return Routed(number, "pinned")

    def _gone(self, version: str, refusal: Refusal | None = None) -> ServingError:
        """404. Callers are not told of folders; operators read the reason in the health."""
        if refusal is None or refusal.grounds == ABSENT:
            message = f"there is no version {version} of `{self.hosted.name}`; ask for `{self.hosted.name}`"
        else:
            message = f"version {version} of `{self.hosted.name}` did not pass the check before it is served"
        return ServingError(404, message, code="model_not_found", param="model")

    def _away(self, what: str) -> ServingError:
        wait = max(1.0, self._keeper.not_before - _now(), min(self._fleet.load_seconds, 30.0))
        message = f"`{self.hosted.name}`: {what}; ask again in a moment"
        return ServingError(503, message, type="server_error", code="not_ready", retry_after=wait)

    def _wake(self) -> None:
        self._woken.set()

    def _tell(self) -> None:
        """Let whoever waits for a version look again."""
        self._turn.set()
        self._turn = asyncio.Event()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait until it is set, at most `seconds`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _now() -> float:
    return asyncio.get_running_loop().time()
