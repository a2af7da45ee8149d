"""A round while it runs: which arguments each step gets, and so what its result depends on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from filelock import FileLock, Timeout

from ..blocks.environment import running_services
from ..blocks.tracking import Tracking
from ..core.artifacts import ArtifactStore
from ..core.digests import digest_of
from ..core.errors import BusyError
from ..core.evaluation.gate import Decision, decide
from ..core.evaluation.scores import SuiteScores
from ..core.loops import Loop, Overrides, find_loop, load_loop
from ..core.models.encoder import ENCODING
from ..core.models.store import ModelFiles, ModelStore
from ..core.rounds import (
    Champion,
    Generated,
    Rehearsed,
    Report,
    Results,
    Round,
    Sifted,
    Site,
    TrainedAdapter,
    build_report,
)
from ..core.workspace import explaining_disk_errors, home
from .benchmark import BASE, CANDIDATE, CHAMPION, answer_suites
from .conclude import promote, publish, record_round
from .generate import teacher_fingerprint, write_samples
from .rehearse import answer_rehearsal
from .sift import filter_samples
from .steps import Steps
from .train import train_lora


@contextmanager
def opened(ref: str, samples: int | None, seed: int | None) -> Iterator["Turn"]:
    """Open a round of the loop that `ref` names and hold the loop's lock until it ends.

    Raises BusyError when another round of the loop is running here, and what `load_loop` raises.
    """
    loop = load_loop(find_loop(ref), Overrides(samples=samples, seed=seed))
    site = Site(loop=loop.folder, home=home())
    with _alone(loop.name, site):
        yield Turn(loop, site, seed)


class Turn:
    """The steps of one round, in order; each is a Prefect task that is looked up before it is done."""

    def __init__(self, loop: Loop, site: Site, seed: int | None) -> None:
        self._loop = loop
        self._site = site
        self._steps = Steps(site)
        self._tracking = Tracking(loop.name, site.home)
        self._base = self._model(loop.settings.model)
        self._engine = loop.engine_for(self._base).fingerprint(self._base)
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
        )

    def generate(self) -> Generated:
        return self._steps.run(
            write_samples,
            loop=self._loop.digest,
            round_id=self.round.id,
            teacher=teacher_fingerprint(self._loop),
            samples=self.round.samples,
            seed=self.round.seed,
        )

    def sift(self, generated: Generated) -> Sifted:
        return self._steps.run(
            filter_samples,
            candidates=generated.samples,
            funnel=self._loop.settings.funnel,
            seeds=self._loop.seeds_digest,
            suites=self._suites,
            encoder=f"{self._model(self._loop.settings.encoder).digest}-{ENCODING}",
        )

    def rehearse(self) -> Rehearsed:
        return self._steps.run(answer_rehearsal, prompts=self._loop.rehearsal_digest, engine=self._engine)

    def train(self, sifted: Sifted, rehearsed: Rehearsed) -> TrainedAdapter:
        return self._steps.run(
            train_lora,
            kept=sifted.kept,
            rehearsal=rehearsed.samples,
            seeds=self._loop.seeds_digest,
            prompts=self._prompt,
            base=self._base.digest,
            training=self._loop.settings.train,
            seed=self.round.seed,
        )

    def benchmark(self, candidate: TrainedAdapter) -> Results:
        return self._steps.run(
            answer_suites,
            candidate=candidate.adapter,
            champion=self._rival(candidate),
            suites=self._suites,
            prompts=self._prompt,
            engine=self._engine,
        )

    def decide(self, candidate: TrainedAdapter, results: Results) -> Decision:
        """Read the scores and judge them; how often these targets were looked at before comes from MLflow."""
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
                )
            )
        look = 1 + self._tracking.looks(self._targets, except_adapter=candidate.digest)
        return decide(scores, self._loop.settings.gate, look, seed=self.round.seed)

    def conclude(
        self,
        generated: Generated,
        sifted: Sifted,
        candidate: TrainedAdapter,
        results: Results,
        decision: Decision,
    ) -> Report:
        """Record the round, move the aliases as the verdict says, and return the report."""
        started = time.perf_counter()
        record_round(
            site=self._site,
            round_=self.round,
            generated=generated,
            sifted=sifted,
            trained=candidate,
            results=results,
        )
        version = promote(
            site=self._site,
            round_=self.round,
            sifted=sifted,
            trained=candidate,
            decision=decision,
            base=self._base.digest,
        )
        report = build_report(
            self.round,
            generated,
            sifted,
            candidate,
            decision,
            self._steps.times,
            adapter={"version": version, "digest": candidate.digest, "path": candidate.adapter.uri},
            mlflow={"run_id": self.round.run_id, "model_version": version, "url": self._run_url()},
            recording=time.perf_counter() - started,
            total=time.time() - psutil.Process().create_time(),
        )
        publish(site=self._site, run_id=self.round.run_id, report=report)
        return report

    @property
    def _targets(self) -> str:
        """Names the target suites: the holdout whose looks are counted."""
        return digest_of(sorted(s.digest for s in self._loop.suites.values() if s.settings.role == "target"))

    @property
    def _prompt(self) -> str:
        """Names the prompt that is trained on, benchmarked and served."""
        writing = self._loop.writing()
        return digest_of([writing.answer.digest, writing.instruction, list(writing.labels)])

    def _rival(self, candidate: TrainedAdapter) -> Champion | None:
        """The champion; the one before it when the candidate is in production already.

        So a round that is given again, or was killed after its promotion, ends as it did, not in a tie with itself.
        """
        champion = self.round.champion
        if champion is None or champion.digest != candidate.digest:
            return champion
        return self._tracking.champion_before(champion.version)

    def _model(self, name: str) -> ModelFiles:
        return ModelStore().get(self._loop.model_ref(name))

    def _run_url(self) -> str:
        address = running_services(self._site.home).get("mlflow", "http://127.0.0.1:5000")
        return f"{address}/#/experiments/{self._tracking.experiment}/runs/{self.round.run_id}"


@contextmanager
def _alone(name: str, site: Site) -> Iterator[None]:
    """One round of a loop at a time; the lock is the kernel's, so a killed round leaves none behind."""
    path = site.home / "locks" / f"{name}.lock"
    with explaining_disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BusyError(f"a round of the loop `{name}` is running already; wait for it, or stop it first") from None
    try:
        yield
    finally:
        lock.release()
