"""What hosting is told from outside: the loop that is served, what the registry says, who is on trial."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ...engines.base import EngineSettings
from ...models.store import ModelFiles
from ...registry.fingerprint import Fingerprint, fingerprint_of
from ...registry.journal import Kind
from ..parts import Routed
from .settings import HostSettings

if TYPE_CHECKING:
    from ...loops import Loop

Question = tuple[dict[str, Any], ...]


class Standing(NamedTuple):
    """Who is champion as the registry says, and by what kind of move; None: no adapter, the base answers."""

    version: str | None
    kind: Kind = "outside"


class Release(NamedTuple):
    """A version as the registry has it: its adapter's folder, the digest that was registered, what was measured."""

    version: str
    folder: Path
    digest: str
    measured: Fingerprint | None


class Releases(Protocol):
    """A loop's registry. Both may wait for a network, are called in threads, and raise DependencyError."""

    def champion(self) -> Standing:
        """Asked twice a second or so: what costs next to nothing should come first."""
        ...

    def release(self, version: str) -> Release | None:
        """None where there is none of this number."""
        ...


class Trial(Protocol):
    """Who of a loop is on trial. `core.serving.canary` has one; without any, all goes to the registry's champion."""

    @property
    def known(self) -> bool:
        """Whether it was ever told who is champion."""
        ...

    @property
    def champion(self) -> str | None:
        """The champion as it was last told; None: the base."""
        ...

    def champion_moved(self, before: str | None, after: str | None, kind: str) -> None:
        """Hear that the registry's champion is another one. Called in a thread, before any traffic moves."""
        ...

    def wanted(self) -> Collection[str]:
        """The versions that must be ready: who has most of the traffic, and who is on trial, if anybody is."""
        ...

    def route(self, sticky: str) -> Routed:
        """Who answers. A version that is not ready here is replaced by who has most of the traffic."""
        ...


class Hosted(NamedTuple):
    """A loop as it is served, with what tells who is champion and who is on trial."""

    name: str
    base: ModelFiles
    engine: EngineSettings
    releases: Releases
    fingerprint: Callable[[str], Fingerprint]
    """Of the base with the adapter of a digest, as it would be served now; empty: the base alone. Reads small files."""
    question: Question
    """What each version is asked before it gets traffic."""
    settings: HostSettings = HostSettings()
    trial: Trial | None = None

    @classmethod
    def of(
        cls,
        loop: "Loop",
        base: ModelFiles,
        releases: Releases,
        settings: HostSettings | None = None,
        trial: Trial | None = None,
    ) -> "Hosted":
        """As `loop` asks and serves `base`; the first question is its first seed."""
        text = loop.seeds[0].text if loop.seeds else "Hello."
        return cls(
            name=loop.name,
            base=base,
            engine=loop.engine_for(base),
            releases=releases,
            fingerprint=lambda adapter: fingerprint_of(loop, base, adapter),
            question=tuple(message.model_dump(mode="json") for message in loop.writing().ask(text)),
            settings=settings or HostSettings(),
            trial=trial,
        )

    def adapter_name(self, version: str) -> str:
        """The name of a version's adapter in an engine; it never means another one."""
        return f"{self.name}-v{version}"
