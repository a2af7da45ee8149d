"""Which versions are to be served, and who answers whom no trial takes. No effects."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from ..exchange import BASE, Role
from .parts import Standing


class Wanted(NamedTuple):
    """`champion` answers whom no trial takes; None: nobody may. `roles` are all to keep ready, most wanted first."""

    champion: str | None
    roles: Mapping[str, Role]


def wanted(
    standing: Standing | None,
    trial: Collection[str],
    answering: str | None,
    recent: Sequence[str] = (),
    pinned: Sequence[str] = (),
    refused: Collection[str] = (),
) -> Wanted:
    """What to serve, from what the registry and the trial say and what callers name.

    In a trial the registry's champion is who is tried, and the other of the `trial` has most of the traffic.
    `answering` had it until now: it goes on where whoever should have it is refused, for a candidate must not get it
    by that. None of `refused` is in what comes out; the base always is.
    """
    named = (standing.version or BASE) if standing is not None else None
    stable = next((version for version in sorted(trial) if version != named), named)
    champion = next((one for one in (stable, answering) if one is not None and one not in refused), None)
    roles: dict[str, Role] = {}

    def want(version: str, role: Role) -> None:
        if version not in refused:
            roles.setdefault(version, "base" if version == BASE else role)

    if champion is not None:
        want(champion, "champion")
    for version in sorted(trial):
        want(version, "champion" if version == stable else "candidate")
    for version in (*([answering] if answering is not None else []), *recent, *pinned):
        want(version, "pinned")
    want(BASE, "base")
    return Wanted(champion, roles)
