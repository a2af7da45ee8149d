"""Whether a sample of an earlier round still fits its loop: prompt, labels, passages and suites may have changed."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..generation.material import Material
from ..quality.context import FunnelContext, Judgements
from ..quality.duplicates import ExactDuplicates, NearDuplicates
from ..quality.funnel import Funnel
from ..samples import Message, Sample
from ..text import normalised


class Present(NamedTuple):
    """What a loop is now: its material, the texts of its suites, and the filters that keep these apart."""

    material: Material
    held_out: Sequence[str]
    funnel: Funnel

    def fit(self, samples: Sequence[Sample], new: Iterable[Sample] = ()) -> list[Sample | str]:
        """Each of `samples` as it is to be trained on now, or the reason why it is not.

        Its prompt is the present one. Held-out texts are told exactly and nearly, as the funnel tells them (by its
        own settings, or by the defaults where it has no such filter); so is what the seeds, the `new` samples or an
        earlier one of `samples` say already.
        """
        fitted: list[Sample | str] = [renewed(sample, self.material) for sample in samples]
        known = [seed.text for seed in self.material.seeds]
        context = FunnelContext(
            _NoEncoder(), [(text, "") for text in [*known, *(s.prompt for s in new)]], self.held_out
        )
        for judge in (self._filter(ExactDuplicates), self._filter(NearDuplicates)):
            places = [place for place, fit in enumerate(fitted) if isinstance(fit, Sample)]
            batch = [fit for fit in fitted if isinstance(fit, Sample)]
            reasons = judge(batch, context).reasons if batch else []
            for place, reason in zip(places, reasons, strict=True):
                if reason is not None:
                    fitted[place] = reason if reason in ("held_out", "near_held_out") else "said_already"
        return fitted

    def also(self, held_out: Iterable[str]) -> "Present":
        """The same with more texts that are held out."""
        return self._replace(held_out=[*self.held_out, *held_out])

    def leaks(self, text: str) -> bool:
        """Whether `text` is a held-out one, but for case and spacing."""
        return normalised(text) in {normalised(held) for held in self.held_out}

    def _filter(
        self, kind: type[ExactDuplicates] | type[NearDuplicates]
    ) -> Callable[[Sequence[Sample], FunnelContext], Judgements]:
        return next((judge for judge in self.funnel.filters if isinstance(judge, kind)), kind())


def renewed(sample: Sample, material: Material) -> Sample | str:
    """`sample` under the prompt that is trained on and served now, or the reason why that cannot be.

    A sample whose prompt changed gets another id and keeps the old one as its parent's.
    """
    writing, turns = material.writing, [turn for turn in sample.messages if turn.role != "system"]
    passage = sample.controls.get("passage", "")
    if sample.task != writing.kind:
        return "other_task"
    if material.labels and sample.label not in material.labels:
        return "unknown_label"
    if passage and passage not in material.passages:
        return "passage_gone"
    if len(turns) < 2 or [turn.role for turn in turns[-2:]] != ["user", "assistant"]:
        return "no_answer"
    asked = writing.ask(turns[-2].content, turns[:-2], material.passage_text((passage,) if passage else ()))
    if asked[-1] != turns[-2]:  # a template of the user's that wraps what is said: it cannot be put on again
        return sample if _system(asked) == _system(sample.messages) else "other_prompt"
    if sample.messages == (*asked, turns[-1]):
        return sample
    kept = sample.model_dump(exclude={"id", "messages", "parent_id"})
    return Sample.make((*asked, turns[-1]), parent_id=sample.id, **kept)


def _system(turns: Iterable[Message]) -> list[Message]:
    return [turn for turn in turns if turn.role == "system"]


class _NoEncoder:
    """The duplicate filters embed nothing."""

    fingerprint = "none"

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise AssertionError("no text is embedded here")
