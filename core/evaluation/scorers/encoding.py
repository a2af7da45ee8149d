"""BERTScore of replies, by a local encoder."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from ...errors import ConfigError
from .context import Opened
from .item import Answer, Need, Score, Scoring


class ReplyBertScore(Scoring):
    """How well the tokens of a reply and of the nearest right answer match, in [-1, 1]: the F1 of BERTScore.

    As the funnel's `bert_score` (Zhang et al. 2020): no weights, no rescaling, so that scores lie close together.
    Compare those of one encoder only. An empty reply has 0. A text beyond what the encoder reads is cut.
    """

    needs: ClassVar[tuple[Need, ...]] = ("models",)
    fields: ClassVar[tuple[str, ...]] = ("answers",)
    bounded: ClassVar[bool] = True

    kind: Literal["bert_score"] = Field("bert_score", description="tokens that match the answer's, by an encoder")
    model: str = Field(
        "encoder", min_length=1, description="`encoder` of the loop, a catalogue name, folder or hub id of an encoder"
    )
    layer: int | None = Field(None, ge=0, le=200, description="the layer whose states are matched; unset: the last")

    @property
    def scored_by(self) -> tuple[str, ...]:
        """The models that are asked."""
        return (self.model,)

    def score_all(self, answers: Sequence[Answer], opened: Opened) -> list[Score]:
        from ...quality.scores.matching import greedy_match, load_encoder

        assert opened.models is not None
        encoder = opened.models(self.model, load_encoder)
        if self.layer is not None and self.layer > encoder.layers:
            raise ConfigError(
                f"bert_score: `layer: {self.layer}` is beyond the {encoder.layers} layers of {self.model}"
            )
        texts = list(dict.fromkeys(text for one in answers for text in (one.reply, *one.item.answers)))
        found = dict(zip(texts, encoder.by_token(texts, self.layer), strict=True))
        if cut := sum(found[one.reply].cut for one in answers):
            opened.note(f"bert_score: {cut} replies were cut at {encoder.most_tokens} tokens.")

        def score(one: Answer) -> Score:
            reply = found[one.reply].rows
            references = [rows for text in one.item.answers if len(rows := found[text].rows)]
            if not references:
                return Score.unscored("no_reference")
            if not len(reply):
                return Score(0.0)
            return Score(max(greedy_match(reply, rows).f1 for rows in references))

        return [score(one) for one in answers]
