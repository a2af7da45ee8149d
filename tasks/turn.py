"""A round while it runs: which arguments each step gets, and so what its result depends on."""

import time

import psutil

from ..blocks.environment import running_services
from ..blocks.tracking import Tracking
from ..core.artifacts import ArtifactStore
from ..core.digests import digest_of
from ..core.engines.base import Adapter
from ..core.evaluation.gate import Decision, decide
from ..core.evaluation.scores import SuiteScores
from ..core.generation.augment.settings import Augmentation
from ..core.loops import Loop
from ..core.models.encoder import ENCODING
from ..core.models.store import ModelFiles, ModelStore
from ..core.people.desk import turned_down_by
from ..core.pool.store import Pool
from ..core.quality.review.opening import Reviewed
from ..core.quality.scores.models import CHAMPION as BY_CHAMPION
from ..core.quality.scores.opening import scoring_identity
from ..core.rounds import (
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
from .benchmark import BASE, CANDIDATE, CHAMPION, answer_suites, scored_by
from .check import check_batch
from .conclude import adapter_of, publish, record_round
from .expect import expected_of, refuse_nothing_kept, undecided
from .generate import vary_samples, write_samples
from .pool import draw_replay, fill_pool
from .rehearse import answer_rehearsal
from .review import reviewed_by_people
from .sift import calibration_of, filter_samples
from .steps import Steps
from .teachers import reviewers_identity, teachers_of
from .train import train_lora


class Turn:
    """The steps of one round, in order; each is a Prefect task that is looked up before it is done."""

    def __init__(self, loop: Loop, site: Site, steps: Steps, seed: int | None, excluded: tuple[str, ...] = ()) -> None:
        self._loop = loop
        self._site = site
        self._steps = steps
        self._tracking = Tracking(loop.name, site.home)
        self._base = self._model(loop.settings.model)
        loop.check_training(self._base)  # a scheduled round fails here, not after an hour of writing
        self._engine = loop.engine_for(self._base).fingerprint(self._base)
        self._waves: list[Generated] = []
        self._review = reviewers_identity(loop)
        self._scoring = scoring_identity(loop)
        self._scored_by = scored_by(loop)
        self._calibration = calibration_of(loop, site.home)
        self._reviewed = Reviewed()
        self._suites = {name: suite.digest for name, suite in loop.suites.items()}
        seed = self._tracking.rounds() if seed is None else seed
        round_id = f"{seed:04d}-{loop.digest[:8]}"
        self.round = Round(
            site=site,
            loop=loop.name,
            id=round_id,
            seed=seed,
            samples=loop.settings.generate.samples,
            champion=self._tracking.champion(),
            run_id=self._tracking.open_run(round_id, {"wheelwork.suites": self._targets, "wheelwork.seed": str(seed)}),
            pool=Pool(site.home, loop.name).drawn_by(round_id),
            excluded=tuple(sorted({*excluded} - turned_down_by(site.home, loop.name, round_id))),
        )
        if (champion := self._champion_of_training()) is not None:
            refuse_misfit(Adapter(champion.folder, champion.digest), self._base.name, loop.settings.train)

    def gather(self) -> Sifted:
        """Write and sift, and write again for what the funnel dropped, until the quotas are met or all is asked."""
        sifted: Sifted | None = None
        while wanted := self._next_wave(sifted.cells if sifted else {}):
            self._waves.append(self._generate(wanted))
            sifted = self._sift()
        sifted = sifted or self._sift()
        if (augmentation := self._loop.settings.generate.augment) is not None:
            self._waves.append(self._vary(sifted, augmentation))
            sifted = self._sift()
        return sifted

    def _vary(self, sifted: Sifted, augmentation: Augmentation) -> Generated:
        return self._steps.run(
            vary_samples,
            parents=sifted.kept,
            augmentation=augmentation,
            left_out=self._loop.material.left_out,
            round_id=self.round.id,
            teacher=teachers_of(self._loop).fingerprint(),
            seeds=self._loop.material.seeds_digest,
            encoder=self._encoder,
        )

    @property
    def _encoder(self) -> str:
        return f"{self._model(self._loop.settings.encoder).digest}-{ENCODING}"

    def _next_wave(self, kept: dict[str, int]) -> dict[str, int]:
        return self._loop.material.next_wave(kept, sum(wave.samples.rows for wave in self._waves), len(self._waves))

    def _generate(self, wanted: dict[str, int]) -> Generated:
        return self._steps.run(
            write_samples,
            loop=self._loop.digest,
            left_out=self._loop.material.left_out,
            round_id=self.round.id,
            teacher=teachers_of(self._loop).fingerprint(),
            wanted=wanted,
            wave=len(self._waves),
            seed=self.round.seed,
        )

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
            planned=self._loop.planned_mix,
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
        )

    def rehearse(self) -> Rehearsed:
        return self._steps.run(answer_rehearsal, prompts=self._loop.rehearsal_digest, engine=self._engine)

    def train(self, sifted: Sifted, replayed: Replayed | None, rehearsed: Rehearsed) -> TrainedAdapter | Expectation:
        """The candidate; where the loop asks whether training is worth it, and it is not, what was expected."""
        refuse_nothing_kept(self._waves, sifted)
        before, base = self._champion_before(), self._base.digest
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
            champion=self._rival(candidate),
            suites=self._suites,
            prompts=self._loop.material.prompt_digest,
            engine=self._engine,
            scoring=self._scored_by,
        )

    def decide(self, candidate: TrainedAdapter | Expectation, results: Results) -> Decision:
        """Read the scores and judge them; how often these targets were looked at before comes from MLflow."""
        if isinstance(candidate, Expectation):
            return undecided(candidate)
        store = ArtifactStore(self._site.artifacts)
        scores = []
        for name, answers in results.suites.items():
            suite = self._loop.suites[name]
            by_model = {model: tuple(store.read_json(artifact)) for model, artifact in answers.scores.items()}
            scores.append(
                SuiteScores(
                    name=name,
                    role=suite.settings.role,
                    digest=suite.digest,
                    ids=tuple(item.id for item in suite.items),
                    groups=tuple(item.cluster for item in suite.items),
                    base=by_model[BASE],
                    champion=by_model.get(CHAMPION),
                    candidate=by_model[CANDIDATE],
                    margin=suite.settings.margin,
                    slices=tuple(item.slice for item in suite.items),
                    floor=suite.settings.floor,
                    digests=dict.fromkeys(by_model, answers.digest) if answers.digest else {},
                )
            )
        look = 1 + self._tracking.looks(self._targets, except_adapter=candidate.digest)
        return decide(scores, self._loop.settings.gate, look, seed=self.round.seed)

    def conclude(
        self,
        sifted: Sifted,
        replayed: Replayed | None,
        candidate: TrainedAdapter | Expectation,
        results: Results,
        decision: Decision,
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
        adapter = adapter_of(self._site, self.round, sifted, candidate, decision, self._base.digest)
        pool = fill_pool(
            site=self._site,
            round_=self.round,
            funnel=funnel_summary(self._waves, sifted),
            kept=sifted.kept,
            dropped=sifted.dropped,
            used=replayed.ids if replayed else (),
            verdict=decision.verdict,
            people=sifted.people,
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
            adapter=adapter,
            mlflow={"run_id": self.round.run_id, "model_version": adapter["version"], "url": self._run_url()},
            recording=time.perf_counter() - started,
            total=time.time() - psutil.Process().create_time(),
        )
        publish(site=self._site, run_id=self.round.run_id, report=report)
        return report

    @property
    def _targets(self) -> str:
        """Names the target suites: the holdout whose looks are counted."""
        return digest_of(sorted(s.digest for s in self._loop.suites.values() if s.settings.role == "target"))

    def _rival(self, candidate: TrainedAdapter) -> Champion | None:
        """The champion; the one before it when the candidate is in production already.

        So a round that is given again, or was killed after its promotion, ends as it did, not in a tie with itself.
        """
        champion = self.round.champion
        if champion is None or champion.digest != candidate.digest:
            return champion
        return self._tracking.champion_before(champion.version)

    def _scoring_champion(self) -> Champion | None:
        """The champion that a filter scores with; never what this round itself promoted, so that it ends as it did."""
        return self._champion_before() if BY_CHAMPION in self._loop.settings.funnel.scored_by else None

    def _champion_before(self) -> Champion | None:
        """The champion that this round set out from, also after it promoted its own."""
        return self._tracking.champion_before_run(self.round.run_id)

    def _champion_of_training(self) -> Champion | None:
        """The champion that samples are measured with, and that the training starts from or is held to.

        Never what this round itself promoted.
        """
        training = self._loop.settings.train
        if not (uses_champion(training) or training.measures):
            return None
        return self._champion_before()

    def _model(self, name: str) -> ModelFiles:
        return ModelStore().get(self._loop.model_ref(name))

    def _run_url(self) -> str:
        address = running_services(self._site.home).get("mlflow", "http://127.0.0.1:5000")
        return f"{address}/#/experiments/{self._tracking.experiment}/runs/{self.round.run_id}"
