"""The champion as one round sees it: who is in production, whom it set out from, whom its candidate must beat."""

from ..blocks.registry import ModelRegistry
from ..core.engines.base import Adapter
from ..core.loops import Loop
from ..core.models.store import ModelFiles
from ..core.registry.fingerprint import check_fitting, fingerprint_of, recorded_in
from ..core.registry.past import Past
from ..core.rounds import Champion


class Champions:
    """What the registry and its journal say as the round opens.

    A round that is given again after its promotion meets whom it met then, so that it ends as it did.
    """

    def __init__(self, registry: ModelRegistry, past: Past, round_id: str) -> None:
        self._registry = registry
        self._past = past
        self._round = round_id
        self.present = registry.champion()

    def before(self) -> Champion | None:
        """The champion that the round set out from, also after it promoted its own."""
        return self._adapter(self._past.set_out_from(self._round, self._number))

    def rival(self, digest: str) -> Champion | None:
        """Whom the candidate with this digest has to beat; None: the base."""
        its_own = self.present.digest if self.present else ""
        return self._adapter(self._past.rival(digest, self._number, its_own))

    def refuse_misplaced(self, loop: Loop, base: ModelFiles) -> tuple[str, ...]:
        """Raise ModelError where the champion is of another base, or its files are not those that were registered.

        Returns in words what else differs from when it was measured: the round measures it anew.
        """
        champion = self.present
        if champion is None or (version := self._registry.version(champion.version)) is None:
            return ()
        found = fingerprint_of(loop, base, Adapter.at(champion.folder).digest)
        known = {"base": version.tags.get("base_digest", base.digest), "adapter": champion.digest}
        recorded = recorded_in(version.tags) or found.model_copy(update=known)
        return check_fitting(
            recorded,
            found,
            f"{loop.name}: the champion, version {champion.version}",
            f"put back what changed, or begin anew with `wheelwork rollback {loop.folder} --to base`",
        )

    @property
    def _number(self) -> str | None:
        return self.present.version if self.present else None

    def _adapter(self, version: str | None) -> Champion | None:
        if version is None:
            return None
        if self.present is not None and version == self.present.version:
            return self.present
        return self._registry.adapter(version)
