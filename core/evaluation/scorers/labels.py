"""The scorer of classes: the reply is the label, or counts as another class."""

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field

from ...errors import DataError
from ...text import nearest
from .item import Item, Score, Scoring
from .spelling import bare, loose

NO_LABEL = "(no label)"
"""What a confusion matrix calls a reply that is no known label."""


class ExactLabel(Scoring):
    """1.0 when the reply is the item's label, else 0.0.

    Case, surrounding space, one pair of quotes or backticks and one full stop do not count. With `normalise: loose`
    `_`, `-` and space are the same, and Markdown, punctuation around the label and a `Label:` before it go too. With
    `other` a reply that is none of the known labels counts as that class. Raises DataError when the item has no label.
    """

    fields: ClassVar[tuple[str, ...]] = ("label",)

    kind: Literal["exact_label"] = Field("exact_label", description="the reply is the label and nothing else")
    normalise: Literal["light", "loose"] = Field("light", description="what of the spelling does not count")
    other: str | None = Field(None, min_length=1, description="the label that any other reply counts as")
    labels: tuple[str, ...] = Field((), description="the known labels, for `other`; unset: those of the loop")

    def knowing(self, labels: Sequence[str]) -> Self:
        """The same scorer with the known labels, where it needs to know them.

        Raises DataError for an `other` that is none of them, and for two that are spelled alike.
        """
        known = self.labels or tuple(labels)
        spelled: dict[str, str] = {}
        for label in known if self.normalise == "loose" else ():
            if (twin := spelled.setdefault(self._spelled(label), label)) != label:
                raise DataError(
                    f"`{twin}` and `{label}` are one label to `normalise: loose`; rename one, or use `light`"
                )
        if self.other is None:
            return self
        if self.other not in known:
            raise DataError(f"`scorer.other: {self.other}` is no label; {nearest(self.other, known)}")
        return self.model_copy(update={"labels": known})

    def __call__(self, reply: str, item: Item) -> Score:
        self.check(item)
        assert item.label is not None
        if self._spelled(reply) == self._spelled(item.label):
            return Score(1.0)
        lands = self.other is not None and self.predicted(reply, self.labels) == self.other
        return Score(float(lands and self._spelled(self.other or "") == self._spelled(item.label)))

    def predicted(self, reply: str, labels: Sequence[str]) -> str:
        """Which of `labels` the reply is; `other`, or NO_LABEL, where it is none."""
        said = self._spelled(reply)
        return next((label for label in labels if self._spelled(label) == said), self.other or NO_LABEL)

    def _spelled(self, text: str) -> str:
        # a label of signs alone has no loose spelling
        return (loose(text) or bare(text)) if self.normalise == "loose" else bare(text)
