"""`loop.yaml` as frozen settings: one object for the file, the form, the log and the code."""

from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from .digests import digest_of
from .engines.base import EngineSettings
from .engines.llamacpp import LlamaCpp
from .engines.transformers import Transformers
from .errors import ConfigError, DataError
from .evaluation.gate import GateSettings
from .evaluation.suites import SuiteSettings, read_suite
from .formats import LabelledText, read_labelled
from .generation.classify import Classifying, Generation
from .labelled import check_labels, distinct, refuse_leaks, require_known
from .models.store import ModelFiles
from .prompts import load_template
from .quality.funnel import Funnel
from .rows import read_rows
from .settings import Setting, parse, read_yaml
from .teachers import EmbeddedTeacher, Teacher
from .training.settings import Training

CONFIG = "loop.yaml"
AnyEngine = Annotated[LlamaCpp | Transformers, Field(discriminator="kind")]


class Classify(Setting):
    """Route a text to exactly one label."""

    kind: Literal["classify"] = "classify"
    instruction: str = Field(
        "Read the message.", min_length=1, description="first words of the system prompt that is trained on and served"
    )
    setting: str = Field(
        "People write short messages.", min_length=1, description="who writes, in one sentence; the teacher reads it"
    )
    labels: dict[str, str] | str = Field(description="label → one-line description, or a YAML file of that")


class LoopSettings(Setting):
    """Everything that a loop is, as it stands in `loop.yaml`; paths are relative to the loop's folder."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$", description="letters, digits, _ and -")
    description: str = Field("", description="one line for people")
    language: str = Field("en", min_length=2, max_length=8, description="language of the templates")
    task: Classify = Field(description="what the model is to do")
    model: str = Field("smollm2-135m-instruct", description="the base: a catalogue name, folder, .gguf or hub id")
    encoder: str = Field("all-minilm-l6-v2", description="the model that embeds texts for the funnel")
    engine: AnyEngine | None = Field(None, description="what serves; unset: llamacpp for GGUF, else transformers")
    teacher: Teacher = Field(EmbeddedTeacher(), description="the model that writes samples")
    seeds: str = Field("seeds.jsonl", description="labelled rows to start from")
    rehearsal: str | None = Field(
        None, description="general prompts; the base's answers are trained on too, so that it does not forget"
    )
    suites: dict[str, SuiteSettings] = Field(min_length=1, description="name → fixed benchmark set")
    generate: Generation = Field(Generation(), description="how samples are written")
    funnel: Funnel = Field(Funnel(), description="what is thrown away")
    train: Training = Field(Training(), description="how the adapter is trained")
    gate: GateSettings = Field(GateSettings(), description="when a candidate is better")

    @field_validator("suites")
    @classmethod
    def _one_target(cls, suites: dict[str, SuiteSettings]) -> dict[str, SuiteSettings]:
        if not any(suite.role == "target" for suite in suites.values()):
            raise ValueError("at least one suite needs `role: target`, or nothing can be shown to get better")
        return suites


class Loop:
    """A loop read from its folder: settings, labels, seeds and suites, checked against each other."""

    def __init__(self, folder: Path, settings: LoopSettings) -> None:
        self.folder = folder
        self.settings = settings
        self.labels = _labels(folder, settings.task)
        self.seeds = _seeds(folder / settings.seeds, self.labels)
        self.suites = {
            name: read_suite(name, suite, folder, tuple(self.labels)) for name, suite in settings.suites.items()
        }
        rehearsal = _prompts(folder / settings.rehearsal) if settings.rehearsal else []
        self.rehearsal = [row.text for row in rehearsal]
        for suite in self.suites.values():
            held_out = [(line, item.prompt) for line, item in zip(suite.lines, suite.items, strict=True)]
            refuse_leaks(held_out, suite.path, self.seeds, folder / settings.seeds)
            refuse_leaks(held_out, suite.path, rehearsal, folder / (settings.rehearsal or ""))
        self._writing = self._read_prompts()

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def seeds_digest(self) -> str:
        return digest_of([[seed.text, seed.label] for seed in self.seeds])

    @property
    def rehearsal_digest(self) -> str:
        return digest_of(self.rehearsal)

    def model_ref(self, name: str) -> str:
        """A model as the store wants it: a path in the loop's folder goes before a name."""
        return str(self.folder / name) if (self.folder / name).exists() else name

    def engine_for(self, model: ModelFiles) -> EngineSettings:
        """The engine that the loop names, or the one that fits the model's files."""
        return self.settings.engine or (LlamaCpp() if model.gguf else Transformers())

    def writing(self) -> Classifying:
        """The prompts of this loop, its own templates before the packaged ones."""
        return self._writing

    def _read_prompts(self) -> Classifying:
        settings, overrides = self.settings, self.folder / "prompts"
        name = settings.generate.template
        if name == "auto":
            name = "continue" if settings.teacher.kind == "embedded" else "write"
        return Classifying(
            instruction=settings.task.instruction,
            setting=settings.task.setting,
            labels=self.labels,
            settings=settings.generate,
            write=load_template("classify", name, settings.language, overrides),
            answer=load_template("classify", "answer", settings.language, overrides),
        )

    @property
    def digest(self) -> str:
        """Names the loop's content: settings, labels, seeds, suites and templates."""
        return digest_of(
            {
                "settings": self.settings.model_dump(mode="json"),
                "labels": list(self.labels.items()),  # in their order, which is that of the prompts
                "seeds": self.seeds_digest,
                "rehearsal": self.rehearsal_digest,
                "suites": {name: suite.digest for name, suite in self.suites.items()},
                "prompts": [self._writing.write.digest, self._writing.answer.digest],
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


def find_loop(ref: str) -> Path:
    """The folder that `ref` names: a folder of the user's, or a scenario that comes with the package."""
    packaged = Path(str(resources.files("wheelwork.scenarios")))
    if not Path(ref).exists() and (packaged / ref / CONFIG).is_file():
        return packaged / ref
    return Path(ref)


def load_loop(folder: Path, overrides: Overrides | None = None) -> Loop:
    """Read and check the loop in `folder`.

    Raises ConfigError, DataError or LeakError: one sentence that names the file, the line and the remedy.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder; `wheelwork init {folder}` makes a loop there")
    settings = parse(LoopSettings, read_yaml(folder / CONFIG), str(folder / CONFIG))
    return Loop(folder.resolve(), (overrides or Overrides()).apply(settings))


def _labels(folder: Path, task: Classify) -> dict[str, str]:
    if isinstance(task.labels, dict):
        labels, where = task.labels, folder / CONFIG
    else:
        where = folder / task.labels
        labels = read_yaml(where)
        if not isinstance(labels, dict):
            raise ConfigError(f"{where}: expected lines of `label: description`")
        labels = {str(label): str(description or label) for label, description in labels.items()}
    check_labels(labels, where)
    return labels


def _seeds(path: Path, labels: dict[str, str]) -> list[LabelledText]:
    rows = read_labelled(path)
    require_known(rows, labels, path)
    seeds = distinct(rows, path)
    counts = Counter(seed.label for seed in seeds)
    if empty := [label for label in labels if not counts[label]]:
        raise DataError(f"{path}: no seed for the label `{empty[0]}`; write at least one row for each label")
    return seeds


def _prompts(path: Path) -> list[LabelledText]:
    """The prompts of a rehearsal file, as rows without a label."""
    rows = []
    for line, row in read_rows(path):
        prompt = row.get("prompt")
        if not isinstance(prompt, str) or not prompt.strip():
            raise DataError(f"{path}:{line}: `prompt` is missing or empty; every row needs the question as text")
        rows.append(LabelledText(line, prompt, ""))
    return rows
