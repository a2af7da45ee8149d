"""What samples are made from: a task, its categories, passages and seeds, read from files and checked."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from ..digests import digest_of
from ..errors import ConfigError, DataError
from ..labelled import check_labels, distinct
from ..prompts import load_phrases, load_template
from ..samples import Sample
from ..settings import read_yaml
from .documents import Documents, Passage, read_documents
from .example import Example
from .planning import Cell, Generation, Order, cells, next_wave, plan
from .seeds import read_seeds
from .tasks import AnyTask, Classify
from .writing import Writing

EVERYTHING = "any"  # the category of a task that has no topics


class Material:
    """The task of a loop, or of a single `wheelwork generate`, with all that its prompts are filled from.

    Paths are relative to `folder`; `config` is the file that a mistake in the task's settings is told of. Without
    `seeds` there are none, and prompts have no examples. `left_out` names those of the `excluded` ids that are seeds';
    these seeds are not read. Raises ConfigError and DataError naming file and line.
    """

    def __init__(
        self,
        folder: Path,
        task: AnyTask,
        settings: Generation,
        *,
        seeds: Path | None,
        language: str,
        template: str,
        config: Path,
        excluded: Collection[str] = (),
    ) -> None:
        self.task = task
        self.settings = settings
        self.passages = _passages(folder, task)
        self.categories = _categories(folder, task, self.passages, config)
        self.labels = self.categories if isinstance(task, Classify) else {}
        self.left_out: tuple[str, ...] = ()
        self.seeds = [] if seeds is None else self._read_seeds(seeds)
        if seeds is not None:
            self._require_every_label(seeds)
        self._seeds_name = seeds.name if seeds else ""
        self._templates = settings.templates or {template: 1.0}
        if unknown := [name for name in settings.quotas if name not in self.categories]:
            raise ConfigError(f"{config}: `generate.quotas.{unknown[0]}` is no category; {_listed(self.categories)}")
        overrides = folder / "prompts"
        self.writing = Writing(
            task=task,
            kind=task.kind,
            categories=self.categories,
            settings=settings,
            templates={name: load_template(task.kind, name, language, overrides) for name in self._templates},
            answer=load_template(task.kind, "answer", language, overrides),
            phrases=load_phrases(language, overrides),
            language=language,
        )
        self._require_listeners(config)
        if seeds and excluded:
            self._leave_out(excluded, seeds)

    @cached_property
    def seeds_digest(self) -> str:
        return digest_of([seed.model_dump(mode="json", exclude={"line"}) for seed in self.seeds])

    @cached_property
    def prompt_digest(self) -> str:
        """Names the prompt that is trained on, benchmarked and served."""
        passages = {name: passage.text for name, passage in self.passages.items()}
        return digest_of([self.writing.answer.digest, self.task.instruction, list(self.categories), passages])

    @cached_property
    def digest(self) -> str:
        """Names all of it: categories in their order, seeds, passages, templates and phrases."""
        templates = {name: template.digest for name, template in self.writing.templates.items()}
        categories = list(self.categories.items())
        return digest_of([categories, self.seeds_digest, self.prompt_digest, templates, self.writing.phrases])

    def next_wave(
        self, kept: Mapping[str, int], asked: int, waves: int, lacking: Mapping[str, float] | None = None
    ) -> dict[str, int]:
        """How many samples to ask for next, by cell; see `planning.next_wave`."""
        return next_wave(kept, asked, waves, list(self.categories), self.settings, lacking)

    @property
    def cells(self) -> dict[str, Cell]:
        """Every cell of the plan by its name."""
        return cells(list(self.categories), self.settings)

    def orders(self, wanted: Mapping[str, int], choices: int, seed: int) -> Iterator[Order]:
        """The calls that bring `wanted` samples by cell; see `planning.plan`."""
        return plan(
            wanted,
            list(self.categories),
            self.seeds,
            self.settings,
            templates=self._templates,
            choices=choices,
            seed=seed,
            passages=self._passages_by_category(),
            openings=isinstance(self.task, Classify),
        )

    def passage_text(self, names: Sequence[str]) -> str:
        """The passages of these ids, one after the other."""
        return "\n\n".join(self.passages[name].text for name in names)

    def seed_samples(self) -> list[Sample]:
        """The user's own examples as samples to train on."""
        return [self._seed_sample(seed) for seed in self.seeds]

    def _seed_sample(self, seed: Example) -> Sample:
        passage = self.passage_text((seed.passage,) if seed.passage else ())
        return self.writing.sample(seed, passage, origin="seed", source=f"{self._seeds_name}:{seed.line}")

    def _require_listeners(self, config: Path) -> None:
        """What samples are to be like is told in rules, so every template has to take some."""
        templates = self.writing.templates
        deaf = [
            name for name, share in self._templates.items() if share and "rules" not in templates[name].head.variables
        ]
        if deaf and (wishes := self.settings.wishes):
            raise ConfigError(
                f"{config}: `generate.{wishes[0]}` is told to the teacher as a rule, and the template `{deaf[0]}` "
                "takes none; leave it out, or let an endpoint write, whose template `write` takes rules; in a loop "
                "`generate.templates: {write: 1}` gives it to any teacher"
            )

    def _leave_out(self, excluded: Collection[str], path: Path) -> None:
        ids = [sample.id for sample in self.seed_samples()]
        self.left_out = tuple(sorted({*ids}.intersection(excluded)))
        self.seeds = [seed for id, seed in zip(ids, self.seeds, strict=True) if id not in self.left_out]
        self._require_every_label(path)

    def _passages_by_category(self) -> dict[str, list[Passage]]:
        """A category that is a document gets its own passages; any other may get each of them."""
        everything = list(self.passages.values())
        own: dict[str, list[Passage]] = {}
        for passage in everything:
            own.setdefault(passage.document, []).append(passage)
        return {category: own.get(category, everything) for category in self.categories}

    def _read_seeds(self, path: Path) -> list[Example]:
        known = () if EVERYTHING in self.categories else self.categories
        return distinct(read_seeds(path, self.task, known, self.passages), path)

    def _require_every_label(self, path: Path) -> None:
        counts = Counter(seed.label for seed in self.seeds)
        if empty := [label for label in self.labels if not counts[label]]:
            which = f" that is not excluded from the pool ({len(self.left_out)} are)" if self.left_out else ""
            raise DataError(f"{path}: no seed for the label `{empty[0]}`{which}; write at least one row for each label")


def _categories(folder: Path, task: AnyTask, passages: Mapping[str, Passage], where: Path) -> dict[str, str]:
    """Category → description: labels, topics, or the documents where there are neither; one of all without any."""
    given = task.labels if isinstance(task, Classify) else task.topics
    if isinstance(given, str):
        where = folder / given
        given = read_yaml(where)
        if not isinstance(given, dict) or not given:
            raise ConfigError(f"{where}: expected lines of `label: description`")
    categories = {str(name): str(description or name) for name, description in (given or {}).items()}
    if isinstance(task, Classify):
        check_labels(categories, where)
    documents = {passage.document: passage.document.replace("_", " ") for passage in passages.values()}
    return categories or documents or {EVERYTHING: ""}


def _passages(folder: Path, task: AnyTask) -> dict[str, Passage]:
    documents: Documents | None = getattr(task, "documents", None)
    if documents is None:
        return {}
    placed = documents.model_copy(update={"path": str(folder / documents.path)})
    return {passage.id: passage for passage in read_documents(placed)}


def _listed(names: Mapping[str, str]) -> str:
    return f"known here: {', '.join(list(names)[:20])}"
