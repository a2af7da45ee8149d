"""`loop.yaml` as frozen settings: one object for the file, the form, the log and the code."""

from collections import Counter
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from .attribution.attributing import Attributing
from .digests import digest_of
from .engines.base import EngineSettings
from .engines.llamacpp import LlamaCpp
from .engines.transformers import Transformers
from .engines.vllm import Vllm
from .errors import ConfigError, DataError
from .evaluation.gate import GateSettings
from .evaluation.holdouts.leaks import LeakCheck
from .evaluation.scorers import Item
from .evaluation.suites import Suite, SuiteSettings, read_suite
from .formats import LabelledText
from .generation.example import Example
from .generation.material import Material
from .generation.planning import Generation
from .generation.suitability import Acknowledged, Facts, Suitability, SuiteFacts, assess, bad_fits_of, refuse_bad_fits
from .generation.tasks import AnyTask
from .generation.writing import Writing
from .labelled import read_prompts, refuse_leaks
from .ledger.settings import LedgerSettings
from .models.store import ModelFiles, ModelStore, is_gguf
from .naming import CONFIG
from .people.settings import PeopleReview
from .pool.fitting import Present
from .pool.replay import Replay
from .prompts import Template, load_template
from .quality.batch.settings import Batch
from .quality.funnel import Funnel
from .quality.review.asking import TASK as REVIEW
from .samples import Message
from .serving.settings import Serving
from .settings import Setting, parse, read_yaml
from .teachers import EmbeddedTeacher, Role, Teacher, teachers_for
from .text import nearest
from .training.fitting import refuse_base, refuse_engine, refuse_machine
from .training.focus.order import ByDifficulty
from .training.settings import Training

APART = ("attribute", "serve")  # settings that change no round
AnyEngine = Annotated[LlamaCpp | Transformers | Vllm, Field(discriminator="kind")]


class LoopSettings(Setting):
    """Everything that a loop is, as it stands in `loop.yaml`; paths are relative to the loop's folder."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$", description="letters, digits, _ and -")
    description: str = Field("", description="one line for people")
    license: str = Field("unknown", description="licence of the seeds and documents, for the card of an exported pool")
    language: str = Field("en", min_length=2, max_length=8, description="language of the templates")
    task: AnyTask = Field(description="what the model is to do")
    acknowledge: tuple[Acknowledged, ...] = Field(
        (), description="uses that the suitability check refuses and somebody answers for, with the reason"
    )
    model: str = Field("smollm2-135m-instruct", description="the base: a catalogue name, folder, .gguf or hub id")
    encoder: str = Field("all-minilm-l6-v2", description="the model that embeds texts for the funnel")
    engine: AnyEngine | None = Field(None, description="what serves; unset: llamacpp for GGUF, else transformers")
    teacher: tuple[Teacher, ...] = Field(
        (EmbeddedTeacher(),), description="the model that writes samples, or a list: the first has the first say"
    )
    seeds: str = Field("seeds.jsonl", description="examples to start from, in the fields of the task")
    rehearsal: str | None = Field(
        None, description="general prompts; the base's answers are trained on too, so that it does not forget"
    )
    suites: dict[str, SuiteSettings] = Field(min_length=1, description="name → fixed benchmark set")
    generate: Generation = Field(Generation(), description="how samples are written")
    funnel: Funnel = Field(Funnel(), description="what is thrown away")
    review: PeopleReview = Field(PeopleReview(), description="whether people look at rows before the round trains")
    batch: Batch = Field(Batch(), description="how what is kept is looked at as a whole, and corrected")
    replay: Replay = Field(Replay(), description="which samples of earlier rounds are trained on again")
    train: Training = Field(Training(), description="how the adapter is trained")
    gate: GateSettings = Field(GateSettings(), description="when a candidate is better")
    attribute: Attributing = Field(Attributing(), description="how items that a candidate fails are explained")
    leaks: LeakCheck = Field(LeakCheck(), description="how near to a suite's rows what is trained on may come")
    ledger: LedgerSettings = Field(LedgerSettings(), description="how accepted corrections guard the gate")
    serve: Serving = Field(Serving(), description="how the loop is served; changes no round")

    @property
    def identity(self) -> dict[str, Any]:
        """What of the settings makes a round what it is: how long people may take, how it is explained and served, do
        not."""
        told = self.model_dump(mode="json", exclude={"review": {"wait", "on_timeout"}, **dict.fromkeys(APART, True)})
        return told if self.review.mode != "off" else {name: one for name, one in told.items() if name != "review"}

    def teachers(self, role: Role) -> tuple[Teacher, ...]:
        """The teachers of one role, in their order."""
        return teachers_for(role, self.teacher)

    @field_validator("teacher", mode="before")
    @classmethod
    def _one_is_a_list(cls, teacher: Any) -> Any:
        return [teacher] if isinstance(teacher, dict) else teacher

    @field_validator("teacher")
    @classmethod
    def _somebody_writes(cls, teacher: tuple[Teacher, ...]) -> tuple[Teacher, ...]:
        if not teachers_for("writer", teacher):
            raise ValueError("no teacher has the role `writer`, so nobody writes samples")
        return teacher

    @model_validator(mode="after")
    def _somebody_reviews(self) -> "LoopSettings":
        asking = [(f"`funnel.filters` has `{judge.kind}`", judge.role) for judge in self.funnel.asking]
        for name, suite in self.suites.items():
            if role := getattr(suite.scorer, "role", None):
                asking.append((f"`suites.{name}.scorer` is `{suite.scorer.kind}`", role))
        if self.serve.canary.judge.share:
            asking.append(("`serve.canary.judge.share` is above 0", "judge"))
        for what, role in asking:
            if not self.teachers(role):
                raise ValueError(
                    f"{what}, and no teacher has the role `{role}`; give one of `teacher` these roles: [{role}]"
                )
        return self

    @model_validator(mode="after")
    def _there_is_something_to_keep_to(self) -> "LoopSettings":
        if self.replay.share == 0:
            for one in self.train.keep:
                if one.kind == "champion_kl" or not self.rehearsal:
                    raise ValueError(
                        f"`train.keep` has `{one.kind}`, which keeps to the champion on {one.needs} samples, and there "
                        "are never any with `replay.share: 0`; raise it or leave this out"
                    )
        return self

    @model_validator(mode="after")
    def _nothing_is_remembered_outside(self) -> "LoopSettings":
        # a step that is given again must find what it found: the pool has versions, a file that remembers has none
        if self.funnel.remembering:
            raise ValueError(
                "`funnel.filters` has `bloom`, which is for files (`wheelwork filter`); a round remembers in its pool: "
                "write `pool: true` at `exact_duplicates`"
            )
        return self

    @model_validator(mode="after")
    def _focus_has_what_it_goes_by(self) -> "LoopSettings":
        if self.batch.class_weights and any(one.kind == "class_weights" for one in self.train.focus):
            raise ValueError(
                "`batch.class_weights` and `class_weights` of `train.focus` would weigh classes twice; leave one out"
            )
        order = self.train.order
        if isinstance(order, ByDifficulty) and order.difficulty == "grade" and not self.generate.controls.difficulty:
            raise ValueError(
                "`train.order` goes by `grade`, and `generate.controls.difficulty` asks for none; list grades there, "
                "such as [1, 3, 5], for a template that tells them, such as `write`, or take another `difficulty`"
            )
        return self

    @field_validator("suites")
    @classmethod
    def _one_target(cls, suites: dict[str, SuiteSettings]) -> dict[str, SuiteSettings]:
        if not any(suite.role == "target" for suite in suites.values()):
            raise ValueError("at least one suite needs `role: target`, or nothing can be shown to get better")
        if taken := [name for name in suites if name == "ledger" or name.startswith("ledger-")]:
            raise ValueError(f"`{taken[0]}` is the name of the loop's ledger; call the suite otherwise")
        return suites


class Loop:
    """A loop read from its folder: what samples are made from, suites and rehearsal, checked against each other.

    Seeds whose ids are `excluded` from the loop's pool are left out.
    """

    def __init__(self, folder: Path, settings: LoopSettings, excluded: Collection[str] = ()) -> None:
        self.folder = folder
        self.settings = settings
        self.material = Material(
            folder,
            settings.task,
            settings.generate,
            seeds=folder / settings.seeds,
            language=settings.language,
            template="continue" if settings.teachers("writer")[0].kind == "embedded" else "write",
            config=folder / CONFIG,
            excluded=excluded,
        )
        asking = (*settings.funnel.asking, *(suite.scorer for suite in settings.suites.values()))
        names = [template for one in asking if (template := getattr(one, "template", None))]
        self.review_templates: dict[str, Template] = {
            name: load_template(REVIEW, name, settings.language, folder / "prompts") for name in names
        }
        self.suites = {
            name: read_suite(name, suite, folder, tuple(self.labels)) for name, suite in settings.suites.items()
        }
        self._check_target()
        rehearsal = read_prompts(folder / settings.rehearsal) if settings.rehearsal else []
        self.rehearsal = [row.text for row in rehearsal]
        for suite in self.suites.values():
            self._check_suite(suite, rehearsal)
        engine = settings.engine.kind if settings.engine else "llamacpp" if is_gguf(settings.model) else "transformers"
        refuse_engine(settings.train, engine, str(folder / CONFIG))
        self.acknowledged = refuse_bad_fits(bad_fits_of(self._facts()), settings.acknowledge, str(folder / CONFIG))

    @property
    def name(self) -> str:
        return self.settings.name

    @cached_property
    def suitability(self) -> Suitability:
        """Whether the task suits a small model. Worked out when it is asked for: a start of the gateway never asks."""
        return assess(self._facts(), self.settings.gate)

    @property
    def labels(self) -> dict[str, str]:
        """Label → description; empty where the task has no labels."""
        return self.material.labels

    @property
    def seeds(self) -> list[Example]:
        return self.material.seeds

    @property
    def planned_mix(self) -> dict[str, float]:
        """Category → weight of its share of what is written, as the quotas say."""
        quotas = self.settings.generate.quotas
        return {category: quotas.get(category, 1.0) for category in self.material.categories}

    @property
    def present(self) -> Present:
        """What samples of earlier rounds must fit."""
        held_out = [item.prompt for suite in self.suites.values() for item in suite.items]
        return Present(self.material, held_out, self.settings.funnel)

    @property
    def rehearsal_digest(self) -> str:
        return digest_of(self.rehearsal)

    def model_ref(self, name: str) -> str:
        """A model as the store wants it: a path in the loop's folder goes before a name."""
        return str(self.folder / name) if (self.folder / name).exists() else name

    def engine_for(self, model: ModelFiles) -> EngineSettings:
        """The engine that the loop names, or the one that fits the model's files."""
        return self.settings.engine or (LlamaCpp() if model.gguf else Transformers())

    def check_training(self, base: ModelFiles) -> None:
        """Raise ModelError or ConfigError where `train` does not go with this base, its engine or this machine.

        Takes no model into memory: it is asked before anything is written, not only before the training.
        """
        refuse_engine(self.settings.train, self.engine_for(base).kind, str(self.folder / CONFIG))
        refuse_base(self.settings.train, base)
        refuse_machine(self.settings.train)

    def embedded(self, teacher: EmbeddedTeacher) -> ModelFiles:
        """The model of an embedded teacher: its own, or the base of the loop."""
        return ModelStore().get(self.model_ref(teacher.model or self.settings.model))

    def writing(self) -> Writing:
        """The prompts of this loop, its own templates before the packaged ones."""
        return self.material.writing

    def render(self, suite: Suite, item: Item) -> tuple[Message, ...]:
        """What a model is asked for one item of a suite."""
        if suite.settings.prompt == "task":
            return self.writing().ask(item.prompt, item.history, self.material.passage_text(item.passages))
        return (*item.history, Message(role="user", content=item.prompt))

    def _check_suite(self, suite: Suite, rehearsal: list[LabelledText]) -> None:
        held_out = [(line, item.prompt) for line, item in zip(suite.lines, suite.items, strict=True)]
        alone = [row for row, item in zip(held_out, suite.items, strict=True) if not item.history]
        refuse_leaks(alone, suite.path, self.seeds, self.folder / self.settings.seeds)
        refuse_leaks(held_out, suite.path, rehearsal, self.folder / (self.settings.rehearsal or ""))
        passages = self.material.passages
        for line, item in zip(suite.lines, suite.items, strict=True):
            if unknown := [name for name in item.passages if name not in passages]:
                raise DataError(f"{suite.path}:{line}: no passage `{unknown[0]}`; {nearest(unknown[0], passages)}")

    def _check_target(self) -> None:
        target = self.settings.batch.target
        known = self.material.categories
        if isinstance(target, dict) and (unknown := [name for name in target if name not in known]):
            raise ConfigError(
                f"{self.folder / CONFIG}: `batch.target.{unknown[0]}` is no category; {nearest(unknown[0], known)}"
            )

    def _facts(self) -> Facts:
        """What the suitability check looks at."""
        settings, material = self.settings, self.material
        return Facts(
            task=settings.task.kind,
            name=settings.name,
            description=settings.description,
            instruction=settings.task.instruction,
            setting=settings.task.setting,
            language=settings.language,
            labels=material.categories,
            counts=Counter(seed.label or seed.category for seed in material.seeds),
            seeds=[(seed.text, seed.label or seed.category) for seed in material.seeds],
            targets=[
                SuiteFacts(name, suite.settings.scorer.kind, len(suite.items))
                for name, suite in self.suites.items()
                if suite.settings.role == "target"
            ],
            passages=len(material.passages) or None,
            under_headings=sum(bool(passage.heading) for passage in material.passages.values()),
        )

    @property
    def digest(self) -> str:
        """Names the loop's content: settings, material, rehearsal, suites and the prompts of reviewers."""
        return digest_of(
            {
                "settings": self.settings.identity,
                "material": self.material.digest,
                "rehearsal": self.rehearsal_digest,
                "suites": {name: suite.digest for name, suite in self.suites.items()},
                "review": {name: template.digest for name, template in self.review_templates.items()},
            }
        )


class Overrides(Setting):
    """What one run may change without touching `loop.yaml`."""

    samples: int | None = Field(None, ge=0, le=1_000_000, description="how many samples to ask the teacher for")
    seed: int | None = Field(None, ge=0, description="seed of every random choice")

    def apply(self, settings: LoopSettings) -> LoopSettings:
        if self.samples is None:
            return settings
        return settings.model_copy(update={"generate": settings.generate.model_copy(update={"samples": self.samples})})


def load_loop(folder: Path, overrides: Overrides | None = None, excluded: Collection[str] = ()) -> Loop:
    """Read and check the loop in `folder`, without the seeds whose ids are `excluded`.

    Raises ConfigError, DataError or LeakError: one sentence that names the file, the line and the remedy.
    """
    settings = (overrides or Overrides()).apply(read_settings(folder))
    return Loop(folder.resolve(), settings, excluded)


def read_settings(folder: Path) -> LoopSettings:
    """The settings of the loop in `folder`, without its data. Raises ConfigError."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder; `wheelwork init {folder}` makes a loop there")
    return parse(LoopSettings, read_yaml(folder / CONFIG), str(folder / CONFIG))
