"""A registry in memory that counts its effects and can end the process at any of them, as a kill would."""

from collections.abc import Mapping
from pathlib import Path

from wheelwork.core.registry.fingerprint import Fingerprint
from wheelwork.core.registry.journal import Journal, Move, Who
from wheelwork.core.registry.moves import Judged, Moves
from wheelwork.core.registry.record import Version

ANN = Who(user="ann", host="desk", run="brave-fox")


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs that a kill would not leave running."""


class Effects:
    """Counts down to the kill; None never kills. What is dead has no further effect."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.dead = False

    def alive(self) -> None:
        """To be called before an effect."""
        if self.dead:
            raise Killed

    def one(self) -> None:
        """To be called right after an effect."""
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                self.left, self.dead = None, True
                raise Killed


class FakeRegistry:
    """Aliases, versions and tags of a registered model; `versions` are number → tags."""

    def __init__(self, effects: Effects | None = None) -> None:
        self.effects = effects or Effects()
        self.versions: dict[str, dict[str, str]] = {}
        self.pointing: dict[str, str] = {}
        self.told: dict[str, str] = {}

    def aliases(self) -> dict[str, str]:
        return dict(self.pointing)

    def point(self, alias: str, version: str | None) -> None:
        self.effects.alive()
        if version is None:
            self.pointing.pop(alias, None)
        else:
            assert version in self.versions
            self.pointing[alias] = version
        self.effects.one()

    def version(self, version: str) -> Version | None:
        tags = self.versions.get(version)
        return None if tags is None else Version(dict(tags), run=f"run-{version}", round=f"000{version}-abc")

    def tag_version(self, version: str, tags: Mapping[str, str]) -> None:
        for name, value in tags.items():
            self.effects.alive()
            self.versions[version][name] = value
            self.effects.one()

    def tags(self) -> dict[str, str]:
        return dict(self.told)

    def tag(self, name: str, value: str | None) -> None:
        self.effects.alive()
        if value is None:
            self.told.pop(name, None)
        else:
            self.told[name] = value
        self.effects.one()

    def registered(self, *versions: str) -> "FakeRegistry":
        for version in versions:
            self.versions.setdefault(version, {"adapter_digest": f"adapter-{version}"})
        return self


class KillableJournal(Journal):
    """A journal whose lines are effects too."""

    effects: Effects

    def append(self, *told: object, **more: object):  # type: ignore[no-untyped-def,override]
        self.effects.alive()
        entry = super().append(*told, **more)  # type: ignore[arg-type]
        self.effects.one()
        return entry


def moves(home: Path, registry: FakeRegistry, who: Who = ANN, clock: "Ticking | None" = None) -> Moves:
    """The moves of the loop `tiny`, whose journal can be killed with its registry."""
    ticking = clock or Ticking()
    made = Moves("tiny", registry, home, who, ticking, lambda seconds: None)
    journal = KillableJournal(made.journal.path, ticking)
    journal.effects = registry.effects
    made.journal = journal
    return made


class Ticking:
    """A clock that goes on by a second each time it is looked at."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self.now = start

    def __call__(self) -> float:
        self.now += 1
        return self.now


def judged(version: str, against: str | None, verdict: str = "promoted", **told: object) -> Judged:
    return Judged.model_validate(
        {
            "version": version,
            "adapter": f"adapter-{version}",
            "against": against,
            "verdict": verdict,
            "figures": {"holdout": {"candidate": 0.9, "delta": 0.1, "p_value": 0.01}},
            "reason": f"holdout: version {version} is {verdict}",
            "round": f"000{version}-abc",
            "fingerprint": fingerprint(adapter=f"adapter-{version}"),
        }
        | told
    )


def fingerprint(**parts: str) -> Fingerprint:
    same = dict.fromkeys(Fingerprint.model_fields, "as ever")
    return Fingerprint.model_validate(same | parts)


def move(after: str | None = "1", **told: object) -> Move:
    return Move.model_validate({"kind": "promote", "alias": "champion", "after": after} | told)
