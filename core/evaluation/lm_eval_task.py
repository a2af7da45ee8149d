"""A task of EleutherAI's lm-eval: its items, and its own code over our engine and our training stack.

lm-eval makes the prompts, filters the replies and computes the metrics; all that is ours is what answers. Data files of
a task (`dataset_kwargs.data_files`) are looked for beside its YAML file first.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..chat.messages import ChatRequest, Reply
from ..digests import digest_of
from ..errors import ConfigError, DataError
from ..text import nearest
from .benchmark import Answered
from .scorers import Item, LmEval, Score
from .scorers.item import Stack, finite

if TYPE_CHECKING:
    from ..quality.scores.likelihood import Heard, Likelihood

Ask = Callable[[Sequence[ChatRequest]], list[Reply]]


def answers_with(path: Path) -> Stack:
    """Where what the task asks for comes from."""
    return (
        "serving engine" if _config(path).get("output_type", "generate_until") == "generate_until" else "training stack"
    )


def read_items(path: Path, scorer: LmEval) -> list[tuple[int, Item]]:
    """The documents of the task as items, numbered from 1. Raises ConfigError or DataError."""
    task = load_task(path)
    if scorer.metric is not None and scorer.metric not in (known := list(task.aggregation())):
        raise ConfigError(f"{path}: the task has no metric `{scorer.metric}`; {nearest(scorer.metric, known)}")
    with _in_our_words(path):
        found = []
        for number, document in enumerate(_documents(task, scorer.limit), 1):
            prompt, target = str(task.doc_to_text(document)), task.doc_to_target(document)
            choices = list(task.doc_to_choice(document)) if task.OUTPUT_TYPE == "multiple_choice" else []
            right = choices[target] if choices and isinstance(target, int) else target
            told = digest_of([prompt, str(right), _plain(task.dump_config())])
            answers = (str(right),) if str(right).strip() else ()
            # the same question may stand in a public set twice
            found.append((number, Item(id=f"{told[:12]}-{number}", prompt=prompt or " ", answers=answers)))
    if not found:
        raise DataError(f"{path}: the task has no items; look at its splits")
    return found


class Harness:
    """One lm-eval task with what answers it."""

    def __init__(self, path: Path, scorer: LmEval) -> None:
        self._path = path
        self._scorer = scorer

    def by_replies(self, ask: Ask, longest: int) -> Answered:
        """Scores of replies; `ask` answers requests, of at most `longest` tokens unless the task says otherwise."""
        from .lm_eval_model import Served

        return self._evaluated(Served(self._path, ask, longest), chat=True)

    def by_likelihood(self, model: "Likelihood", heard: "Heard") -> Answered:
        """Scores of log-likelihoods under `model`."""
        from .lm_eval_model import Read

        return self._evaluated(Read(self._path, model, heard), chat=self._scorer.chat)

    def _evaluated(self, model: Any, chat: bool) -> Answered:
        from lm_eval.evaluator import simple_evaluate
        from lm_eval.tasks import TaskManager

        with _in_our_words(self._path):
            told = simple_evaluate(
                model=model,
                tasks=[load_task(self._path)],
                task_manager=TaskManager(include_defaults=False),
                limit=self._scorer.limit,
                apply_chat_template=chat,
                bootstrap_iters=0,
                log_samples=True,
            )
        (samples,) = told["samples"].values()
        wanted = self._scorer.filter or samples[0]["filter"]
        rows = sorted((one for one in samples if one["filter"] == wanted), key=lambda one: one["doc_id"])
        if not rows:
            filters = list(dict.fromkeys(one["filter"] for one in samples))
            raise ConfigError(f"{self._path}: the task has no filter `{wanted}`; {nearest(wanted, filters)}")
        return Answered(tuple(map(_reply, rows)), tuple(self._score(one) for one in rows))

    def _score(self, row: dict[str, Any]) -> Score:
        metric = self._scorer.metric or row["metrics"][0]
        value = row.get(metric)
        if not isinstance(value, int | float):
            raise ConfigError(
                f"{self._path}: the metric `{metric}` has no number for each item, one for all at most; take another"
            )
        return finite(-float(value) if self._scorer.lower_is_better else float(value))


@cache
def load_task(path: Path) -> Any:
    """The task of a YAML file. Raises ConfigError where lm-eval is not installed or the file is no task."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    _config(path)  # or it is no task at all
    try:
        import datasets
        from lm_eval.tasks import TaskManager
        from lm_eval.tasks._yaml_loader import load_yaml
    except ImportError:
        raise ConfigError(
            f"{path}: the scorer `lm_eval` needs the library lm-eval; pip install 'wheelwork[lm-eval]'"
        ) from None
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    with _in_our_words(path):
        whole = load_yaml(path)
        if files := (whole.get("dataset_kwargs") or {}).get("data_files"):
            whole["dataset_kwargs"] = whole["dataset_kwargs"] | {"data_files": _beside(path.parent, files)}
        tasks = TaskManager(include_defaults=False).load([whole])["tasks"]
    if len(tasks) != 1:
        raise ConfigError(f"{path}: holds {len(tasks)} tasks; make a suite of each")
    (task,) = tasks.values()
    return task


def _config(path: Path) -> dict[str, Any]:
    """The task's own keys, without functions and what it includes."""
    import yaml

    class Keys(yaml.SafeLoader):
        """Takes a tag such as `!function` for the text behind it."""

    Keys.add_multi_constructor("!", lambda loader, tag, node: str(getattr(node, "value", "")))
    try:
        config = Keys(path.read_text(encoding="utf-8")).get_single_data()
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; check its name") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(f"{path}: this is no YAML file of an lm-eval task ({reason})") from None
    if not isinstance(config, dict) or "task" not in config:
        raise ConfigError(f"{path}: this is no task of lm-eval; it needs at least `task: NAME`")
    return config


def _beside(folder: Path, files: Any) -> Any:
    """Data files that lie beside the task by their whole path."""
    if isinstance(files, dict):
        return {split: _beside(folder, one) for split, one in files.items()}
    if isinstance(files, list):
        return [_beside(folder, one) for one in files]
    return str(folder / files) if (folder / str(files)).is_file() else files


def _documents(task: Any, limit: int | None) -> Iterator[Any]:
    for _, document in task.doc_iterator(rank=0, limit=limit, world_size=1):
        yield document


def _reply(row: dict[str, Any]) -> str:
    """What was said, for people; of log-likelihoods the figures."""
    first = row["filtered_resps"][0] if row["filtered_resps"] else ""
    return first if isinstance(first, str) else str(row["filtered_resps"])


def _plain(config: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in config.items() if name != "metadata"}


@contextmanager
def _in_our_words(path: Path) -> Iterator[None]:
    try:
        yield
    except (ConfigError, DataError):
        raise
    except Exception as error:  # tasks are anybody's code, and their data may not be here
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ConfigError(f"{path}: lm-eval cannot run this task ({reason}); are its data files there?") from error
