"""Lets versions in or refuses them, and changes the engine of one loop, one step at a time."""

import asyncio
import logging
from collections.abc import Iterable, Sequence

from ...errors import DependencyError, ModelError, WheelworkError
from ..exchange import BASE
from .admission import ABSENT, Admission, Admitted, Look
from .fleet import Fleet
from .parts import Hosted
from .refusals import Refusal, Refusals
from .running import Running
from .warming import NotReadyError, in_words

log = logging.getLogger(__name__)
PATIENCE = 60.0  # seconds that the registry may take to hand out an adapter
SOON = 5.0  # seconds after which one that it did not hand out is asked for again


class Keeper:
    """What is let in, what is refused, and what is wrong with the engine. Used by one task."""

    def __init__(self, hosted: Hosted, admission: Admission, fleet: Fleet) -> None:
        self._hosted = hosted
        self._admission = admission
        self._fleet = fleet
        self.admitted: dict[str, Admitted] = {}
        self.refused = Refusals()
        self.pending = Refusals()
        """Versions that the registry did not hand out, or the disk did not take."""
        self.trouble = ""
        """What is wrong with the engine itself."""
        self.not_before = 0.0
        """When an engine may be started again, in the event loop's time."""
        self._failed = 0
        self._up_since = 0.0
        self._proven: set[str] = set()
        self._unproven: set[str] = set()  # refused before an engine ran: it may have been the engine's fault
        self._cautious = False
        self._check_admitted = False
        self._looked = 0.0

    async def bring_up(self, versions: Sequence[str], *, offline: bool = False) -> bool:
        """One step towards having these ready, the most wanted first; `base` is among them.

        Returns whether what is wanted should be worked out anew at once: a version was refused, or more can be done.
        `offline`: the registry is known not to answer.
        """
        self.pending.passed(_now())
        if self._check_admitted:
            await self._check_again()
        for version in versions:
            if version != BASE and version not in self.admitted and version not in self.pending:
                await self._admit(version, offline)
        if any(version in self.refused for version in versions):
            return True
        ready = [version for version in versions if version == BASE or version in self.admitted]
        missing = [version for version in ready if version not in self._fleet.table]
        if not missing:
            self.trouble = ""
        if not missing or _now() < self.not_before:
            return False
        running = self._fleet.running
        if running is not None and running.engine.live:
            return await self._add(missing[0])
        return await self._replace(ready)

    async def reconsider(self, versions: Iterable[str], *, now: bool = False) -> None:
        """Let those of `versions` be tried again that were refused on other grounds than there are now."""
        due = now or _now() >= self._looked + self._hosted.settings.retry
        self.refused.passed(_now())
        if not due:
            return
        self._looked = _now()
        if now:
            self.pending.clear()
        for version in versions:
            if (refusal := self.refused.get(version)) is None:
                continue
            try:
                look = await self._look(version, offline=False)
            except (ModelError, DependencyError, TimeoutError):
                continue
            if look.grounds != refusal.grounds:
                del self.refused[version]

    def lost(self, running: Running, note: str) -> None:
        """The engine died. The first time it is started again at once, then after longer and longer waits."""
        settings, up = self._hosted.settings, _now() - self._up_since
        log.warning("%s: the engine is gone (%s)", self._hosted.name, note or "it says nothing")
        self._fleet.lose(running)
        self._check_admitted = True
        if up > settings.restart_longest:
            self._failed = 0
        self.put_off(f"the engine is gone{f' ({note})' if note else ''} and is started again")
        if self._failed == 1:
            self.not_before = 0.0

    def forget(self, versions: Iterable[str]) -> None:
        """Nobody wants these any more; they are looked at anew when somebody does."""
        for version in list(versions):
            del self.admitted[version]

    def put_off(self, trouble: str) -> None:
        """Try the engine again later."""
        settings = self._hosted.settings
        self._failed += 1
        self.trouble = trouble
        wait = min(settings.restart * 2.0 ** min(max(self._failed - 2, 0), 20), settings.restart_longest)
        self.not_before = _now() + wait

    async def _look(self, version: str, *, offline: bool) -> Look:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.to_thread(self._admission.look, version, offline=offline)

    async def _admit(self, version: str, offline: bool) -> None:
        grounds = ""
        try:
            look = await self._look(version, offline=offline)
            grounds = look.grounds
            self.admitted[version] = await asyncio.to_thread(self._admission.admit, look)
        except ModelError as error:
            self._refuse(version, str(error), grounds, lasting=grounds != ABSENT)
        except (WheelworkError, OSError, TimeoutError) as error:
            self.pending[version] = Refusal(in_words(error), "", _now() + SOON)

    async def _check_again(self) -> None:
        """What was let in may have changed on the disk since: what did is looked at as if it were new."""
        for version, admitted in list(self.admitted.items()):
            try:
                await asyncio.to_thread(self._admission.check_again, admitted)
            except (ModelError, OSError):
                del self.admitted[version]
                self._proven.discard(version)
        self._check_admitted = False

    async def _add(self, version: str) -> bool:
        admitted = self.admitted.get(version)
        assert admitted is not None, "a live engine has its base from the start"
        try:
            await self._fleet.add(admitted)
        except NotReadyError as error:
            if not error.blamed:
                self.put_off(f"version {version} could not be added: {error.reason}")
                return False
            self._refuse(version, error.reason, admitted.grounds, lasting=error.lasting)
            return True
        self._came_up([version])
        return True

    async def _replace(self, versions: Sequence[str]) -> bool:
        new = [version for version in versions if version != BASE and version not in self._proven]
        if self._cautious:  # one at a time, so that it is known which one fails
            versions = [version for version in versions if version not in new[1:]]
        trying = new[:1] if self._cautious else new
        try:
            await self._fleet.replace([self.admitted[one] for one in versions if one != BASE], trying)
        except NotReadyError as error:
            return self._blame(error)
        self._came_up(versions)
        self._cautious = self._cautious and len(new) > 1
        return self._cautious

    def _blame(self, error: NotReadyError) -> bool:
        """Refuse the version at fault; where it may be any of several, try them one by one."""
        if len(error.blamed) > 1:
            self._cautious = True
            return True
        if not error.blamed:
            for version in self._unproven:
                self.refused.pop(version, None)
            self._unproven.clear()
            self.put_off(f"the engine does not come up: {error.reason}")
            return False
        version = error.blamed[0]
        if self._fleet.running is None:
            self._unproven.add(version)
        self._refuse(version, error.reason, self.admitted[version].grounds, lasting=error.lasting)
        return True

    def _came_up(self, versions: Sequence[str]) -> None:
        self._proven.update(versions)
        self._unproven.clear()
        self.trouble = ""
        self._up_since = _now()

    def _refuse(self, version: str, reason: str, grounds: str, *, lasting: bool) -> None:
        what = f"{self._hosted.name} version {version}"
        reason = reason if what in reason else f"{what}: {reason}"
        log.warning("refused: %s", reason)
        again = None if lasting else _now() + self._hosted.settings.retry
        self.refused[version] = Refusal(reason, grounds, again)
        self.admitted.pop(version, None)


def _now() -> float:
    return asyncio.get_running_loop().time()
