"""Code that does not parse, fails its test, or is another row's code under other names."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
from pydantic import Field

from ...generation.code_checks import parses, run_test
from ...samples import Message, Sample
from ...settings import Setting
from ..alike import Likes, OneOfAlike, kept_of_each
from ..context import FunnelContext, Judgements
from ..duplicates import Hashed, hashes_of
from ..sketches import Heard, unheard
from .python_code import code_in, shape, tidied


class CodeChecks(Setting):
    """Drop a sample whose Python does not parse or does not pass its test.

    Judges the answers of the task `code` and of samples that bring a `test` among their `controls`; the others pass
    unscored. The test runs as `generation/code_checks.py` says: a process of its own, limited in time, memory and
    files, without network where the kernel allows it; no jail. Scores `test_passed`, 1 or 0, where a test was run.
    """

    kind: Literal["code"] = "code"
    run_tests: bool = Field(True, description="run the test that a sample brings; 60 to 140 ms each")
    seconds: float = Field(5, gt=0, le=600, description="longest time that a test may take")
    memory_mb: int = Field(512, ge=64, le=65536, description="most memory that a test may take, in MiB")
    workers: int = Field(1, ge=1, le=64, description="tests that run at the same time")
    tidy: bool = Field(
        True, description="dedent code and clear its line ends where it means the same or only then parses"
    )

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        judged = [row for row, sample in enumerate(batch) if _has_code(sample)]
        changed = {row: neat for row in judged if (neat := _tidied(batch[row])) is not None} if self.tidy else {}
        sources = {row: code_in(changed.get(row, batch[row]).completion) for row in judged}
        reasons: list[str | None] = [None] * len(batch)
        for row in judged:
            reasons[row] = parses(sources[row])
        passed = self._tests([row for row in judged if reasons[row] is None], sources, batch, reasons)
        return Judgements(reasons, {"test_passed": passed}, changed)

    def _tests(
        self, rows: Sequence[int], sources: dict[int, str], batch: Sequence[Sample], reasons: list[str | None]
    ) -> list[float | None]:
        """Runs the tests of `rows`, writes into `reasons` why one is not passed, and returns `test_passed`."""
        passed: list[float | None] = [None] * len(batch)
        tested = [row for row in rows if self.run_tests and batch[row].controls.get("test", "").strip()]

        def run(row: int) -> str | None:
            return run_test(sources[row], batch[row].controls["test"], self.seconds, self.memory_mb)

        with ThreadPoolExecutor(self.workers) as pool:
            for row, reason in zip(tested, pool.map(run, tested), strict=True):
                reasons[row], passed[row] = reason, float(reason is None)
        return passed


class CodeDuplicates(OneOfAlike):
    """Drop code that another kept row has too, whatever its names.

    Compared by the syntax tree, without the names that the code gives itself, comments and docstrings. Leave it out
    where several prompts rightly have one solution, as paraphrases do.
    """

    kind: Literal["code_duplicates"] = "code_duplicates"

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        return self.decide([self.gather(batch, context)], context)

    def gather(self, batch: Sequence[Sample], context: FunnelContext) -> Hashed:
        return Hashed(hashes_of(_form(sample) for sample in batch), self.ranks(batch))

    def decide(self, batches: Sequence[Hashed], context: FunnelContext, heard: Heard = unheard) -> Judgements:
        hashes = np.concatenate([batch.hashes for batch in batches])
        likes = Likes(len(hashes))
        kept = kept_of_each(hashes, np.concatenate([batch.ranks for batch in batches]))
        likes.among("duplicate_code", likes.left, kept)
        return likes.judgements()


def _form(sample: Sample) -> str:
    """What rows with the same code have in common; a row without code has only its own."""
    found = shape(code_in(sample.completion)) if _has_code(sample) else None
    return f"id {sample.id}" if found is None else f"code {found}"


def _has_code(sample: Sample) -> bool:
    return sample.label is None and (sample.task == "code" or "test" in sample.controls)


def _tidied(sample: Sample) -> Sample | None:
    """`sample` with its answer tidied; None where there is nothing to tidy."""
    answer = sample.completion
    if (neat := tidied(answer)) == answer:
        return None
    last = max(place for place, turn in enumerate(sample.messages) if turn.role == "assistant")
    turns = list(sample.messages)
    turns[last] = Message(role="assistant", content=neat)
    return sample.saying(turns)
