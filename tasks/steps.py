"""How a step runs: one cache key, retries for what can be retried, a time and a hit or miss."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from prefect import Task
from prefect.cache_policies import NONE
from prefect.context import TaskRunContext
from pydantic import BaseModel

from ..core.artifacts import Artifact, ArtifactStore
from ..core.digests import digest_of
from ..core.errors import DependencyError
from ..core.rounds import Site, StepTime
from ..core.steps import Step, from_step

R = TypeVar("R", bound=BaseModel)


def cached(step: str, version: int) -> dict[str, Any]:
    """Options of a Prefect task whose result is kept under what it was made from.

    The key holds step, version and every argument of the task but `site` and `about`: settings, digests of inputs and
    prompts, fingerprints of models, the seed. Raise `version` when the code of the step would give another result.
    """

    def key(context: TaskRunContext, arguments: dict[str, Any]) -> str:
        identity = {name: value for name, value in arguments.items() if name not in ("site", "about")}
        return f"{step}-{digest_of([step, version, _plain(identity)])[:32]}"

    return {"name": step, "cache_key_fn": key, "persist_result": True, "result_serializer": "json"}


def recorded(step: str) -> dict[str, Any]:
    """Options of a Prefect task that is done anew each time: its effect lies outside, and is idempotent."""
    return {"name": step, "cache_policy": NONE, "persist_result": False}


def retryable(task: Task[Any, Any], run: Any, state: Any) -> bool:
    """Whether trying again can help: a service that did not answer; never memory, validation or a verdict."""
    try:
        state.result()
    except DependencyError:
        return True
    except BaseException:
        return False
    return False


RETRIED: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": [2, 8, 30],
    "retry_jitter_factor": 0.3,
    "retry_condition_fn": retryable,
}


class Steps:
    """Runs the steps of one round and remembers how long each took and whether it was there already.

    The step `anew` and those that come after it are done again, whatever is kept of them.
    """

    def __init__(self, site: Site, anew: Step | None = None) -> None:
        self._site = site
        self._first = anew
        self._anew = from_step(anew)
        self._store = ArtifactStore(site.artifacts)
        self.times: dict[str, StepTime] = {}

    def from_here(self, step: Step) -> bool:
        """Whether the round was told to begin anew with just this step."""
        return self._first == step

    def anew(self, step: Step) -> bool:
        """Whether this step is done again, whatever is kept of it."""
        return step in self._anew

    def run(self, step: Callable[..., R], **arguments: Any) -> R:
        """The result of a task, from its cache when every artefact that it names is still there."""
        started = time.perf_counter()
        task: Any = step
        if task.name in self._anew:
            task = task.with_options(refresh_cache=True)
        state = task(site=self._site, **arguments, return_state=True)
        result = state.result()
        hit = state.name == "Cached"
        if hit and not all(self._store.exists(artifact) for artifact in artifacts_in(result)):
            result = task.with_options(refresh_cache=True)(site=self._site, **arguments)
            hit = False
        before = self.times.get(task.name, StepTime(seconds=0.0, cache="hit"))  # a step may be done in several waves
        self.times[task.name] = StepTime(
            seconds=before.seconds + time.perf_counter() - started,
            cache="hit" if hit and before.cache == "hit" else "miss",
        )
        return result  # type: ignore[no-any-return]


def artifacts_in(value: Any) -> Iterator[Artifact]:
    """Every artefact that a result refers to, however deep."""
    if isinstance(value, Artifact):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from artifacts_in(getattr(value, name))
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from artifacts_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from artifacts_in(inner)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
