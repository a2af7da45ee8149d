"""The filter that keeps personal data and secrets out of what is learnt."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from ...samples import Message, Sample
from ...settings import Setting
from ..context import FunnelContext, Judgements
from . import DEFAULT_KINDS, Kind, find, mask


class PersonalData(Setting):
    """Drop or mask a sample with personal data or a secret in any of its messages.

    Masked texts may be alike: put this before the filters of duplicates. Names of people and postal addresses are
    out of scope. A dropped sample is kept beside the others as it was, so the file of drops holds what was found.
    """

    kind: Literal["personal_data"] = "personal_data"
    kinds: tuple[Kind, ...] = Field(DEFAULT_KINDS, min_length=1, description="what is looked for")
    action: Literal["drop", "mask"] = Field(
        "drop", description="drop the sample, or write `[EMAIL]`, `[PHONE]` … in the place of what is found"
    )

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        if self.action == "drop":
            return Judgements([self._reason(sample) for sample in batch])
        found = {row: masked for row, sample in enumerate(batch) if (masked := self._masked(sample)) is not None}
        return Judgements([None] * len(batch), changed=found)

    def _reason(self, sample: Sample) -> str | None:
        found = {span.kind for turn in sample.messages for span in find(turn.content, self.kinds)}
        if not found:
            return None
        return "secret" if "secret" in found else "personal_data"

    def _masked(self, sample: Sample) -> Sample | None:
        """`sample` with masked messages, or None if there is nothing to mask.

        `parent_id` stays: the id of the unmasked sample is a hash of its text, by which a number could be guessed.
        """
        contents = [mask(turn.content, self.kinds) for turn in sample.messages]
        if all(turn.content == content for turn, content in zip(sample.messages, contents, strict=True)):
            return None
        return sample.saying(
            Message(role=turn.role, content=text) for turn, text in zip(sample.messages, contents, strict=True)
        )
