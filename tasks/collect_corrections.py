"""Corrections of users into the ledger and the pool."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence

from prefect import task

from ..core.evaluation.holdouts.leaks import find_leaks
from ..core.evaluation.holdouts.texts import Said, held_out_in, learnt_from, said_of
from ..core.ledger.corrections import corrected_samples
from ..core.ledger.entries import Origin
from ..core.ledger.store import Ledger
from ..core.ledger.suites import NAME
from ..core.loops import Loop, load_loop, read_settings
from ..core.pool.store import Pool
from ..core.pool.versions import Added, Version
from ..core.quality.context import FunnelContext
from ..core.quality.known import Text
from ..core.quality.thresholds import read_calibration
from ..core.rounds import Site
from ..core.samples import Sample
from ..core.traffic.archive import Mark
from ..core.traffic.corrections import (
    SOURCE,
    TAKEN,
    Correction,
    against_reviewers,
    against_seeds,
    choose,
    corrections_in,
    fresh,
    sample_of,
    sifting,
)
from ..core.traffic.reaching import reached
from ..core.traffic.told import CORRECTIONS, Part
from .sift import encoder_of, load_encoder
from .steps import RETRIED, recorded

WHY = "corrections of users"
MARKED = "correction"


@task(**recorded("take_corrections"), **RETRIED)
def take_corrections(site: Site) -> Part:
    """Take what users say is right into ledger and pool; killed half-way, the same again brings the rest.

    What is held out is refused, and said. Nothing is marked as done before both have it.
    """
    name = read_settings(site.loop).name
    pool = Pool(site.home, name)
    loop = load_loop(site.loop, excluded=pool.excluded())
    with reached(site.home) as archive:
        found = ((one.exchange, one.said) for one in archive.corrected(name))
        read, outcomes = corrections_in(found, list(loop.labels), loop.material.passages)
        done = archive.marks(name, MARKED)
        chosen = choose(read, done, loop.settings.serve.traffic.collect.agree, labelled=bool(loop.labels))
        taken = _Taking(site, loop, pool, chosen.taken) if chosen.taken else None
        outcomes |= chosen.outcomes
        if taken is not None:
            fates = {one.question.key: taken.fates[f"{SOURCE}{one.exchange}"] for one in chosen.taken}
            of = {one.id: one.question.key for one in read}
            outcomes |= {id: fates[of[id]] for id, outcome in chosen.outcomes.items() if outcome == TAKEN}
        news = {id: outcome for id, outcome in outcomes.items() if done.get(id) != outcome}
        archive.mark(name, [Mark(MARKED, id, outcome) for id, outcome in news.items()], time.time())
        counts = Counter(news.values())
        figures = {CORRECTIONS: counts.pop(TAKEN, 0)} | {f"corrections left, {why}": n for why, n in counts.items()}
        return Part(figures=figures, notes=tuple(taken.notes) if taken else ())


class _Taking:
    """Corrections on their way into ledger and pool; `fates` says by source what became of each."""

    def __init__(self, site: Site, loop: Loop, pool: Pool, chosen: Sequence[Correction]) -> None:
        self._site, self._loop, self._pool = site, loop, pool
        self._ledger = Ledger(site.home, loop.name)
        self.notes: list[str] = []
        samples = [sample_of(one, loop) for one in chosen]
        self.fates = dict.fromkeys((sample.source for sample in samples), TAKEN)
        self._held = self._held_out()
        samples = self._without(samples, dict.fromkeys(against_seeds(samples, loop), "a seed says otherwise"))
        samples = self._without(samples, self._leaks(samples))
        if samples:
            samples = self._into_ledger(samples)
        if samples:
            self._into_pool(samples)

    def _held_out(self) -> list[Said]:
        fixed = [one.entry for one in self._ledger.held().values() if one.entry.held_out]
        return held_out_in(self._loop.suites) + [said_of(one.item, NAME, f"item {one.id}") for one in fixed]

    def _leaks(self, samples: Sequence[Sample]) -> dict[str, str]:
        """By id what is held out: never trained on, and no item of the ledger either."""
        if not samples:
            return {}
        check = self._loop.settings.leaks
        embed = load_encoder(self._loop) if check.cosine is not None else None
        leaks = find_leaks(learnt_from(samples, "corrections"), self._held, check, embed).leaks
        for leak in leaks:
            self.notes.append(
                f"A correction asks what `{leak.held.part}` holds out ({leak.held.place}), so it is never trained on."
            )
        return {leak.row.id: "held out to measure on" for leak in leaks}

    def _into_ledger(self, samples: list[Sample]) -> list[Sample]:
        """Those that the ledger does not contradict."""
        settings = self._loop.settings.ledger
        if settings.off:
            return samples
        origin = Origin(kind="feedback", by="users")
        fitting = corrected_samples(samples, self._loop, origin, settings.right_from)
        against = against_reviewers(fitting.entries, self._ledger.held())
        disputed = {one.origin.source for one in fitting.entries if one.id in against}
        left = self._without(samples, {one.id: "reviewers say otherwise" for one in samples if one.source in disputed})
        taken = self._ledger.add([one for one in fitting.entries if one.id not in against], replace=True, why=WHY)
        if taken.added or taken.replaced:
            self.notes.append(f"Ledger: {taken.sentence}.")
        if fitting.note:
            self.notes.append(f"{fitting.note[0].upper()}{fitting.note[1:]}.")
        return left

    def _into_pool(self, samples: list[Sample]) -> None:
        """What the funnel leaves of them, under the loop as it is."""
        kept = self._sifted(samples)
        present = self._loop.present.also(text.text for text in self._ledger.held_out())
        fitted = []
        for sample, fit in zip(kept, present.fit(kept), strict=True):
            if isinstance(fit, str):
                self.fates[sample.source] = f"in the ledger, not in the pool ({fit.replace('_', ' ')})"
            else:
                fitted.append(fit)
        new = fresh(fitted, self._pool.view(self._pool.head()))
        by_id = {sample.id: sample.source for sample in fitted}
        for id, why in new.left.items():
            if why != "there already":  # a collection that was killed has brought it
                self.fates[by_id[id]] = why
        if not new.samples:
            return
        file = self._pool.store.write_samples(new.samples)
        change = Version(excluded=new.excluded, added=(Added(digest=file.digest, rows=file.rows),))
        if (line := self._pool.review(change, why=WHY)) is not None:
            self.notes.append(f"Pool: {len(new.samples)} came in; it is at {(line.version or '')[:12]}.")

    def _sifted(self, samples: list[Sample]) -> list[Sample]:
        loop, funnel = self._loop, sifting(self._loop.settings.funnel)
        encodes = {"encoder", "threshold"} & set(funnel.needs)
        context = FunnelContext(
            load_encoder(loop) if encodes else None,
            seeds=[(seed.text, seed.label or "") for seed in loop.seeds],
            held_out=[Text(one.text, one.place, one.part) for one in self._held],
            pool=self._accepted() if "pool" in funnel.needs else (),
            calibration=read_calibration(self._site.home, encoder_of(loop).digest) if encodes else None,
        )
        kept, dropped, _ = funnel.split(samples, context)
        for sample in dropped:
            why = (sample.reject_reason or "").replace("_", " ")
            self.fates[sample.source] = f"in the ledger, not in the pool ({why})"
        return list(kept)

    def _accepted(self) -> list[Text]:
        """What is compared with, but for what these samples said themselves before a kill."""
        own = set(self.fates)
        found = self._pool.samples(self._pool.view(self._pool.head()).accepted)
        return [Text(one.prompt, one.id) for one in found if one.source not in own]

    def _without(self, samples: Sequence[Sample], gone: Mapping[str, str]) -> list[Sample]:
        for sample in samples:
            if sample.id in gone:
                self.fates[sample.source] = gone[sample.id]
        return [sample for sample in samples if sample.id not in gone]
