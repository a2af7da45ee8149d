"""What augmentation does: a list of operations, each with how many children it gives a parent, and what they must keep.

A child stands for its parent's label or answer, so an operation says what it may change: `keeps` names the facts that
are looked for in the child again, `works_on` the turn that is written anew.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ...settings import Setting
from .facts import Facts


class OperationSettings(Setting):
    """What every operation has."""

    keeps: ClassVar[Facts] = "names"
    works_on: ClassVar[Literal["prompt", "code"]] = "prompt"
    times: int = Field(1, ge=0, le=50, description="children of each parent")
    weight: float = Field(1.0, gt=0, le=100, description="how much a child counts in training, times its parent's")


def _similarity(default: float) -> Any:
    """The field `min_similarity`; its default is what `make bench-meaning` chose, for the embedded encoder."""
    return Field(default, ge=-1, le=1, description="smallest cosine of a child to its parent")


class InOtherWords(Setting):
    """What an operation on sentences has besides: how near its child must stay."""

    min_similarity: float


class TeacherOperation(OperationSettings):
    """An operation that a teacher does. `templates` are asked one after the other, each for the last one's reply."""

    templates: ClassVar[tuple[str, ...]]
    temperature: float = Field(0.8, ge=0, le=2, description="spread of the teacher's wording")
    top_p: float = Field(0.95, gt=0, le=1, description="share of the probability that is sampled from")
    max_tokens: int = Field(512, ge=8, le=16_384, description="longest reply; a longer one is dropped as `cut_off`")

    def options(self, language: str) -> dict[str, tuple[str, ...]]:
        """Variables of the templates besides `text`, each with the values that take turns."""
        return {}


class Paraphrase(TeacherOperation, InOtherWords):
    """The same in other words."""

    templates: ClassVar[tuple[str, ...]] = ("paraphrase",)
    kind: Literal["paraphrase"] = "paraphrase"
    min_similarity: float = _similarity(0.71)
    times: int = Field(3, ge=0, le=50, description="children of each parent")


class BackTranslation(TeacherOperation, InOtherWords):
    """Into another language and back; names may come back in another spelling, numbers may not."""

    keeps: ClassVar[Facts] = "numbers"
    templates: ClassVar[tuple[str, ...]] = ("to_pivot", "from_pivot")
    kind: Literal["back_translation"] = "back_translation"
    min_similarity: float = _similarity(0.73)
    times: int = Field(2, ge=0, le=50, description="children of each parent")
    temperature: float = Field(0.4, ge=0, le=2, description="spread of the teacher's wording")
    pivots: tuple[str, ...] = Field(
        (), description="languages to go through, by turns, named in the templates' language; empty: two common ones"
    )

    def options(self, language: str) -> dict[str, tuple[str, ...]]:
        return {"language": self.pivots or PIVOTS.get(language, PIVOTS["en"])}


class Style(TeacherOperation, InOtherWords):
    """The same message in another manner of writing."""

    keeps: ClassVar[Facts] = "none"
    templates: ClassVar[tuple[str, ...]] = ("style",)
    kind: Literal["style"] = "style"
    min_similarity: float = _similarity(0.59)
    styles: tuple[str, ...] = Field((), description="manners of writing, by turns; empty: those that come along")

    def options(self, language: str) -> dict[str, tuple[str, ...]]:
        return {"style": self.styles or STYLES.get(language, STYLES["en"])}


class Stance(TeacherOperation, InOtherWords):
    """The same matter from somebody else: another role, or another attitude to it."""

    keeps: ClassVar[Facts] = "none"
    templates: ClassVar[tuple[str, ...]] = ("stance",)
    kind: Literal["stance"] = "stance"
    min_similarity: float = _similarity(0.77)
    stances: tuple[str, ...] = Field((), description="who writes, by turns; empty: those that come along")

    def options(self, language: str) -> dict[str, tuple[str, ...]]:
        return {"stance": self.stances or STANCES.get(language, STANCES["en"])}


class Voice(TeacherOperation, InOtherWords):
    """Active sentences into passive ones and the other way round."""

    templates: ClassVar[tuple[str, ...]] = ("voice",)
    kind: Literal["voice"] = "voice"
    min_similarity: float = _similarity(0.88)
    temperature: float = Field(0.4, ge=0, le=2, description="spread of the teacher's wording")


class Clauses(TeacherOperation, InOtherWords):
    """Short sentences merged into longer ones, long ones split."""

    templates: ClassVar[tuple[str, ...]] = ("clauses",)
    kind: Literal["clauses"] = "clauses"
    min_similarity: float = _similarity(0.88)
    temperature: float = Field(0.4, ge=0, le=2, description="spread of the teacher's wording")


class Words(OperationSettings, InOtherWords):
    """Some words replaced by what a masked language model, or WordNet, puts in their place.

    Never numbers, words with a capital letter, or words of a label. For scripts that put spaces between words.
    """

    kind: Literal["words"] = "words"
    min_similarity: float = _similarity(0.8)
    share: float = Field(0.2, gt=0, le=1, description="share of the words that may be replaced; at least one is")
    fill_mask: str = Field("", description="folder of a masked language model (BERT, RoBERTa …); empty: a thesaurus")
    thesaurus: str = Field(
        "", description="WordNet's `dict` folder, or a .json or .tsv file of synonyms; empty: an installed WordNet"
    )


class RenameVariables(OperationSettings):
    """Code: other names for local variables and parameters. Formatting and comments are lost."""

    works_on: ClassVar[Literal["prompt", "code"]] = "code"
    kind: Literal["rename_variables"] = "rename_variables"


class Rewrite(OperationSettings):
    """Code: other statements that do the same, such as a `while` for a `for`. Formatting and comments are lost."""

    works_on: ClassVar[Literal["prompt", "code"]] = "code"
    kind: Literal["rewrite"] = "rewrite"
    most: int = Field(3, ge=1, le=100, description="most places that are changed at once")


class RewriteCode(TeacherOperation):
    """Code: another way to write the same, by a teacher."""

    works_on: ClassVar[Literal["prompt", "code"]] = "code"
    templates: ClassVar[tuple[str, ...]] = ("rewrite_code",)
    kind: Literal["rewrite_code"] = "rewrite_code"
    max_tokens: int = Field(1024, ge=8, le=16_384, description="longest reply; a longer one is dropped as `cut_off`")


Operation = Annotated[
    Paraphrase | BackTranslation | Style | Stance | Voice | Clauses | Words | RenameVariables | Rewrite | RewriteCode,
    Field(discriminator="kind"),
]


class Augmentation(Setting):
    """Children of samples, and what they must have kept of their parents.

    How alike two texts with one meaning are depends on the operation, the encoder and the language. With another
    encoder or language, look at the `parent_similarity` of some children that you would keep and some that you would
    not, and put the operation's `min_similarity` between them.
    """

    operations: tuple[Operation, ...] = Field(
        (Paraphrase(), BackTranslation(), Style(), Stance()), description="what is done to each sample, in order"
    )
    long_tail: float = Field(
        0.25,
        ge=0,
        le=10,
        description="most children beyond `times`, as a share of those, for labels or categories below their quota",
    )
    clusters: int = Field(
        0,
        ge=0,
        le=200,
        description="groups by meaning (k-means of the embeddings) that each label or category is parted into, each "
        "with an equal part of its share; 0: labels and categories alone",
    )
    label_margin: float = Field(
        0.05, ge=0, le=2, description="how much nearer to another label's seeds than to its own's a child may lie"
    )
    answer_margin: float = Field(
        0.2, ge=0, le=2, description="how much of its parent's cosine to the answer a child may lose"
    )
    seed: int = Field(0, ge=0, description="another one asks for other children")


PIVOTS = {"en": ("German", "Spanish"), "zh": ("英语", "日语")}
STYLES = {
    "en": ("formal and polite", "casual, as to a friend", "very short, as in a text message", "detailed and precise"),
    "zh": ("正式、礼貌", "口语化，像对朋友说话", "非常简短，像发短信", "详细、准确"),
}
STANCES = {
    "en": (
        "somebody who is annoyed and has asked before",
        "somebody who knows the technical side well",
        "somebody who asks on behalf of a relative",
        "somebody who is new to this and unsure of the words",
        "somebody who is calm and friendly",
    ),
    "zh": (
        "已经问过一次、有些不满的人",
        "懂技术的人",
        "替家人询问的人",
        "第一次接触、不太会用术语的人",
        "平静友好的人",
    ),
}
