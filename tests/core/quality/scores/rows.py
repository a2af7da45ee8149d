"""Rows and contexts for the tests of scores."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wheelwork.core.digests import digest_of
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.quality.context import FunnelContext
from wheelwork.core.quality.funnel import FilterCount, Funnel
from wheelwork.core.quality.scores.models import Found, Models
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.fakes import FakeEncoder


def row(prompt: str, answer: str | None = None, label: str | None = None, **controls: str) -> Sample:
    """One question and, where there is one, its answer."""
    turns = [Message(role="user", content=prompt)]
    if answer is not None or label is not None:
        turns.append(Message(role="assistant", content=answer if answer is not None else label or ""))
    return Sample.make(turns, task="qa", label=label, origin="import", controls=controls)


def found(folder: Path) -> Found:
    """The model in `folder`, as the store would find it."""
    return Found(ModelFiles(folder.name, folder, None, digest_of(str(folder))))


def context(models: Mapping[str, Path | Found] | None = None, folder: Path = Path()) -> FunnelContext:
    """A context with these models by name."""

    def find(name: str) -> Found:
        asked = (models or {})[name]
        return asked if isinstance(asked, Found) else found(asked)

    return FunnelContext(FakeEncoder(), models=Models(find, folder, folder))


def through(judge: Any, samples: list[Sample], within: FunnelContext) -> tuple[list[Sample], list[Sample], FilterCount]:
    """Kept, dropped and what the filter says, through a whole funnel."""
    kept, dropped, (count,) = Funnel(filters=(judge,)).split(samples, within)
    return kept, dropped, count
