"""What users disliked, as an attribution: groups with remedies in the form that the next round's plan reads. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from ..attribution.findings import Attribution, Evidence, Found, SuiteAttribution
from ..attribution.journal import Entry
from ..attribution.proposing import FEWEST, MOST, PER_ITEM
from ..attribution.remedies import MoreSamples
from ..digests import digest_of
from .archive import Intent, Voiced
from .said import correction_in, opinion

TRAFFIC = "traffic"
"""The name under which an attribution holds what users disliked, beside the suites."""
NAMED = "traffic-"
"""How the name of a line of the journal begins that no round left."""


class Rated(NamedTuple):
    """An exchange that users spoke of: what it wanted, the category of the plan for that, and whether it pleased."""

    id: str
    intent: str
    category: str
    content: bool


def rated(found: Iterable[Voiced], intents: Mapping[str, Intent], categories: Mapping[str, str]) -> list[Rated]:
    """Exchanges with a thumb, a rating or a correction, whose intent is known, and the category of that.

    A correction says that the answer was wrong, unless a later thumb is up.
    """
    told = []
    for one in found:
        content = opinion(one)
        if content is None and correction_in(one) is None:
            continue
        intent = intents.get(one.exchange.id)
        category = categories.get(intent.label) if intent else None
        if intent and category:
            told.append(Rated(one.exchange.id, intent.label, category, bool(content)))
    return told


def attribution_of(told: Sequence[Rated], least: int) -> SuiteAttribution | None:
    """Groups of at least `least` disliked answers, by what the questions wanted; None where there is none.

    The remedy is as for a group of failing items: PER_ITEM samples of its category for each, within bounds.
    """
    from ..evaluation.statistics import wilson_interval

    members, groups = Counter(one.intent for one in told), defaultdict[str, list[Rated]](list)
    for one in told:
        if not one.content:
            groups[one.intent].append(one)
    found = []
    for intent, bad in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        if len(bad) < least:
            continue
        count = min(MOST, max(FEWEST, PER_ITEM * len(bad)))
        low, _ = wilson_interval(len(bad), members[intent])
        evidence = Evidence(
            cause="missing_coverage",
            strength=low,
            said=f"users disliked {len(bad)} of {members[intent]} answers that they spoke of",
            figures={"disliked": len(bad), "spoken_of": members[intent]},
        )
        found.append(
            Found(
                axis="label" if bad[0].category == intent else "cluster",
                # the name of a cluster is a question of a user's, which is for the database alone
                name=intent if bad[0].category == intent else f"{bad[0].category}, {digest_of(intent)[:6]}",
                members=members[intent],
                failing=len(bad),
                p_value=None,
                items=tuple(sorted(one.id for one in bad)),
                cause="missing_coverage",
                evidence=(evidence,),
                remedies=(MoreSamples(category=bad[0].category, count=count),),
            )
        )
    if not found:
        return None
    grouped = {id for group in found for id in group.items}
    failing = [one.id for one in told if not one.content]
    return SuiteAttribution(
        role="target",
        scored=len(told),
        unscored=0,
        failing=len(failing),
        tried=len(groups),
        groups=tuple(found),
        other=tuple(sorted(set(failing) - grouped)),
    )


def answered_for(entries: Sequence[Entry], read: Callable[[str], Attribution]) -> set[str]:
    """Exchanges that the plan of a round has read already, by the attributions that rounds followed."""
    ours = {entry.attribution for entry in entries if entry.round.startswith(NAMED)}
    followed = {entry.followed for entry in entries if entry.followed in ours}
    suites = [read(digest).suites.get(TRAFFIC) for digest in followed if digest]
    return {id for suite in suites if suite for group in suite.groups for id in group.items}


def last_of_a_round(entries: Sequence[Entry]) -> str | None:
    """The digest of what the last round found; None before the first."""
    found = [one.attribution for one in entries if one.attribution and not one.round.startswith(NAMED)]
    return found[-1] if found else None


def joined(before: Attribution | None, disliked: SuiteAttribution) -> Attribution:
    """What the last round found, and beside it what users disliked."""
    return Attribution(suites={**(before.suites if before else {}), TRAFFIC: disliked})
