"""A round while it runs: which arguments each step gets, and so what its result depends on."""

import time

import psutil

from ..blocks.environment import running_services
from ..blocks.registry import ModelRegistry, moves_of
from ..blocks.tracking import Tracking
from ..core.attribution.telling import summary_of
from ..core.digests import digest_of
from ..core.engines.base import Adapter
from ..core.evaluation.gate import Decision
from ..core.ledger.told import LedgerTold
from ..core.loops import Loop
from ..core.micro import MicroRound
from ..core.models.encoder import ENCODING
from ..core.models.store import ModelFiles, ModelStore
from ..core.people.desk import turned_down_by
from ..core.pool.store import Pool
from ..core.quality.review.opening import Reviewed
from ..core.quality.scores.models import CHAMPION as BY_CHAMPION
from ..core.quality.scores.opening import scoring_identity
from ..core.registry.fingerprint import fingerprint_of
from ..core.rounds import (
    Attributed,
    Champion,
    Generated,
    Rehearsed,
    Replayed,
    Report,
    Results,
    Round,
    Sifted,
    Site,
    TrainedAdapter,
    build_report,
    funnel_summary,
)
from ..core.training.control.worth import Expectation
from ..core.training.keeping.former import refuse_misfit, uses_champion
from .attribute import Lacking, attributed, follows, record_attribution
from .benchmark import answer_suites, scored_by
from .champions import Champions
from .check import check_batch
from .compare import show_comparison
from .conclude import adapter_of, publish, record_round
from .expect import expected_of, refuse_nothing_kept, undecided
from .generate import varied, written
from .judge import judge
from .leaks import refuse_leaks_into
from .ledger import fill_ledger, open_ledger
from .looks import changed_since, look_of, looking_at
from .micro import corrections_for
from .notify import tell_verdict
from .pool import draw_replay, fill_pool
from .promote import present_run, registry_part, settled
from .rehearse import answer_rehearsal
from .review import reviewed_by_people
from .sift import calibration_of, filter_samples
from .steps import Steps
from .teachers import reviewers_identity
from .train import train_lora


class Turn:
    """The steps of one round, in order; each is a Prefect task that is looked up before it is done."""

    def __init__(
        self, loop: Loop, site: Site, steps: Steps, seed: int | None, excluded: tuple[str, ...] = (),
        micro: MicroRound | None = None,
    ) -> None:  # fmt: skip
        self._loop = loop
        self._site = site
        self._steps = steps
        self._tracking = Tracking(loop.name, site.home)
        self._base = self._model(loop.settings.model)
        loop.check_training(self._base)  # a scheduled round fails here, not after an hour of writing
        self._engine = loop.engine_for(self._base).fingerprint(self._base)
        self._waves: list[Generated] = []
        self._learnt: tuple[str, ...] = ()  # entries of the pool that are not replayed but learnt for the first time
        self._review = reviewers_identity(loop)
        self._scoring = scoring_identity(loop)
        self._scored_by = scored_by(loop)
        self._calibration = calibration_of(loop, site.home)
        self._reviewed = Reviewed()
        self._suites = {name: suite.digest for name, suite in loop.suites.items()}
        self._changed = changed_since(self._tracking, loop)
        seed = self._tracking.rounds() if seed is None else seed
        round_id = f"{seed:04d}-{loop.digest[:8]}"
        past = moves_of(loop.name, site.home, present_run()).catch_up()
        self._champions = Champions(ModelRegistry(loop.name), past, round_id)
        self._unlike = self._champions.refuse_misplaced(loop, self._base)
        self.round = Round(
            site=site,
            loop=loop.name,
            id=round_id,
            seed=seed,
            samples=loop.settings.generate.samples,
            champion=self._champions.present,
            run_id=self._tracking.open_run(round_id, looking_at(loop, self._targets, seed)),
            pool=Pool(site.home, loop.name).drawn_by(round_id),
            excluded=tuple(sorted({*excluded} - turned_down_by(site.home, loop.name, round_id))),
            follows=follows(loop, site, round_id),
            ledger=open_ledger(site, loop.name, round_id, loop.settings.ledger, anew=steps.anew("benchmark")),
            micro=micro,
        )
        self._lacking = Lacking(loop, site, self.round.follows)
        self._ledger = LedgerTold(lines=self.round.ledger.lines)
        if (champion := self._champion_of_training()) is not None:
            refuse_misfit(Adapter(champion.folder, champion.digest), self._base.name, loop.settings.train)

    def gather(self) -> Sifted:
        """Write and sift, and write again for what the funnel dropped, until the quotas are met or all is asked."""
        sifted: Sifted | None = None
        while wanted := self._next_wave(sifted.cells if sifted else {}):
            self._waves.append(written(self._steps, self._loop, self.round, wanted, len(self._waves)))
            sifted = self._sift()
        sifted = sifted or self._sift()
        if (augmentation := self._loop.settings.generate.augment) is not None:
            self._waves.append(varied(self._steps, self._loop, self.round, sifted, augmentation, self._encoder))
            sifted = self._sift()
        return sifted

    def corrections(self, most: int) -> Sifted:
        """At most so many of the corrections that no round has learnt; they went through the funnel already."""
        drawn = corrections_for(self._steps, self.round, self._loop, most)
        self._learnt = drawn.ids
        return drawn.sifted

    @property
    def _encoder(self) -> str:
        return f"{self._model(self._loop.settings.encoder).digest}-{ENCODING}"

    def _next_wave(self, kept: dict[str, int]) -> dict[str, int]:
        asked = sum(wave.samples.rows for wave in self._waves)
        return self._loop.material.next_wave(kept, asked, len(self._waves), self._lacking.cells)

    def _sift(self) -> Sifted:
        """What is left of all waves; what reviewers did is that of every pass so far."""
        sifted = self._steps.run(
            filter_samples,
            candidates=tuple(wave.samples for wave in self._waves),
            funnel=self._loop.settings.funnel,
            excluded=self.round.excluded,
            seeds=self._loop.material.seeds_digest,
            suites=self._suites,
            encoder=self._encoder,
            review=self._review,
            scoring=self._scoring,
            champion=self._scoring_champion(),
            pool=self.round.pool if "pool" in self._loop.settings.funnel.needs else None,
            calibration=self._calibration,
            ledger=self.round.ledger.items,
        )
        self._reviewed += sifted.reviewed
        return sifted.model_copy(update={"reviewed": self._reviewed})

    def review(self, sifted: Sifted) -> Sifted:
        """What people leave of the samples; the same where the loop asks nobody."""
        if self._loop.settings.review.mode == "off" or not sifted.kept.rows:
            return sifted
        return reviewed_by_people(self._steps, self.round, self._loop, sifted)

    def check(self, sifted: Sifted) -> Sifted:
        """Look at the kept as a whole beside the seeds; what is left is what the loop's corrections leave."""
        checked = self._steps.run(
            check_batch,
            kept=sifted.kept,
            dropped=sifted.dropped,
            embeddings=sifted.embeddings,
            batch=self._loop.settings.batch,
            planned=self._lacking.mix,
            left_out=self._loop.material.left_out,
            seeds=self._loop.material.seeds_digest,
            encoder=self._encoder,
            seed=self.round.seed,
        )
        return sifted.model_copy(
            update={
                "kept": checked.kept,
                "dropped": checked.dropped,
                "counts": (*sifted.counts, *checked.counts),
                "batch": checked,
            }
        )

    def replay(self, sifted: Sifted) -> Replayed | None:
        """Draw from the pool; None where there is nothing to draw, as in the first round."""
        settings = self._loop.settings.replay
        if self.round.pool is None or not settings.wanted(sifted.kept.rows):
            return None
        return self._steps.run(
            draw_replay,
            pool=self.round.pool,
            fresh=sifted.kept,
            replay=settings,
            funnel=self._loop.settings.funnel,
            excluded=self.round.excluded,
            seeds=self._loop.material.seeds_digest,
            suites=self._suites,
            prompts=self._loop.material.prompt_digest,
            seed=self.round.seed,
            ledger=self.round.ledger.items,
        )

    def rehearse(self) -> Rehearsed:
        return self._steps.run(answer_rehearsal, prompts=self._loop.rehearsal_digest, engine=self._engine)

    def train(self, sifted: Sifted, replayed: Replayed | None, rehearsed: Rehearsed) -> TrainedAdapter | Expectation:
        """The candidate; where the loop asks whether training is worth it, and it is not, what was expected."""
        refuse_nothing_kept(self._waves, sifted)
        self._looked = refuse_leaks_into(
            self._steps, self.round, self._loop, sifted, replayed, rehearsed.samples, self._suites, self._encoder
        )
        before, base = self._champions.before(), self._base.digest
        expected = expected_of(self._steps, self.round, self._loop, sifted, before, self._encoder, base)
        if expected is not None and expected.reason:
            return expected
        return self._steps.run(
            train_lora,
            kept=sifted.kept,
            replayed=replayed.samples if replayed else None,
            rehearsal=rehearsed.samples,
            left_out=self._loop.material.left_out,
            seeds=self._loop.material.seeds_digest,
            prompts=self._loop.material.prompt_digest,
            base=base,
            training=self._loop.settings.train,
            seed=self.round.seed,
            champion=self._champion_of_training(),
            about=self.round.run_id,
        )

    def benchmark(self, candidate: TrainedAdapter | Expectation) -> Results:
        if isinstance(candidate, Expectation):
            return Results(suites={}, calls=0, reused=0, seconds=0)
        return self._steps.run(
            answer_suites,
            candidate=candidate.adapter,
            champion=self._champions.rival(candidate.digest),
            suites=self._suites,
            prompts=self._loop.material.prompt_digest,
            engine=self._engine,
            scoring=self._scored_by,
            ledger=self.round.ledger.items,
        )

    def attribute(self, sifted: Sifted, replayed: Replayed | None, results: Results) -> Attributed | None:
        """Which items the candidate fails, and why; None where nothing was measured."""
        return attributed(self._steps, self.round, self._loop, sifted, replayed, results, self._encoder)

    def decide(self, candidate: TrainedAdapter | Expectation, results: Results) -> Decision:
        """Read the scores and judge them; how often these targets were looked at before comes from MLflow."""
        if isinstance(candidate, Expectation):
            return undecided(candidate)
        look = look_of(self._tracking, self._loop, self._targets, candidate.digest)
        decision, self._ledger = judge(self.round, self._loop, results, look)
        return decision

    def conclude(
        self,
        sifted: Sifted,
        replayed: Replayed | None,
        candidate: TrainedAdapter | Expectation,
        results: Results,
        decision: Decision,
        found: Attributed | None,
    ) -> Report:
        """Record the round, move the aliases and fill the pool as the verdict says, and return the report."""
        started = time.perf_counter()
        record_round(
            site=self._site,
            round_=self.round,
            waves=tuple(self._waves),
            sifted=sifted,
            replayed=replayed,
            trained=candidate,
            results=results,
        )
        digest = "" if isinstance(candidate, Expectation) else candidate.digest
        rival, measured = self._champions.rival(digest), fingerprint_of(self._loop, self._base, digest)
        adapter, moved = adapter_of(self._site, self.round, sifted, candidate, decision, rival, measured)
        decision = settled(decision, moved)
        pool = fill_pool(
            site=self._site,
            round_=self.round,
            funnel=funnel_summary(self._waves, sifted),
            kept=sifted.kept,
            dropped=sifted.dropped,
            used=(*self._learnt, *(replayed.ids if replayed else ())),
            verdict=decision.verdict,
            people=sifted.people,
        )
        flips = show_comparison(site=self._site, round_=self.round, results=results, decision=decision)
        explained = record_attribution(site=self._site, round_=self.round, found=found)
        filled = fill_ledger(
            site=self._site, round_=self.round, sifted=sifted, results=results, promoted=decision.verdict == "promoted"
        )
        report = build_report(
            self.round,
            self._waves,
            sifted,
            replayed,
            candidate,
            decision,
            self._steps.times,
            pool=pool,
            flips=flips,
            attribution=summary_of(explained, self.round.follows),
            adapter=adapter,
            registry=registry_part(moved, measured, self._unlike),
            mlflow={"run_id": self.round.run_id, "model_version": adapter["version"], "url": self._run_url()},
            ledger=self._ledger.then(filled),
            holdouts=self._looked.with_notes(self._changed),
            recording=time.perf_counter() - started,
            total=time.time() - psutil.Process().create_time(),
        )
        publish(site=self._site, run_id=self.round.run_id, report=report)
        tell_verdict(self._site.home, self._loop.settings, report)
        return report

    @property
    def _targets(self) -> str:
        """Names the target suites: the holdout whose looks are counted."""
        return digest_of(sorted(s.digest for s in self._loop.suites.values() if s.settings.role == "target"))

    def _scoring_champion(self) -> Champion | None:
        """The champion that a filter scores with; never what this round itself promoted, so that it ends as it did."""
        return self._champions.before() if BY_CHAMPION in self._loop.settings.funnel.scored_by else None

    def _champion_of_training(self) -> Champion | None:
        """The champion that samples are measured with, and that the training starts from or is held to.

        Never what this round itself promoted.
        """
        training = self._loop.settings.train
        if not (uses_champion(training) or training.measures):
            return None
        return self._champions.before()

    def _model(self, name: str) -> ModelFiles:
        return ModelStore().get(self._loop.model_ref(name))

    def _run_url(self) -> str:
        address = running_services(self._site.home).get("mlflow", "http://127.0.0.1:5000")
        return f"{address}/#/experiments/{self._tracking.experiment}/runs/{self.round.run_id}"
