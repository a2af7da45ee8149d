"""What augmentation does: a list of operations, each with how many children it gives a parent, and what they must keep.

A child stands for its parent's label or answer, so an operation says what it may change: `keeps` names the facts that
are looked for in the child again, `works_on` the turn that is written anew.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ...settings import Setting

Facts = Literal["names", "numbers", "none"]  # what must stand in the child: names and numbers, numbers only, neither


class OperationSettings(Setting):
    """What every operation has."""

    keeps: ClassVar[Facts] = "names"
    works_on: ClassVar[Literal["prompt", "code"]] = "prompt"
    times: int = Field(1, ge=0, le=50, description="children of each parent")
    weight: float = Field(1.0, gt=0, le=100, description="how much a child counts in training, times its parent's")


class TeacherOperation(OperationSettings):
    """An operation that a teacher does. `templates` are asked one after the other, each for the last one's reply."""

    templates: ClassVar[tuple[str, ...]]
    temperature: float = Field(0.8, ge=0, le=2, description="spread of the teacher's wording")
    top_p: float = Field(0.95, gt=0, le=1, description="share of the probability that is sampled from")
    max_tokens: int = Field(512, ge=8, le=16_384, description="longest reply; a longer one is dropped as `cut_off`")

    def options(self, language: str) -> dict[str, tuple[str, ...]]:
        """Variables of the templates besides `text`, each with the values that take turns."""
        return {}


class Paraphrase(TeacherOperation):
    """The same in other words."""

    templates: ClassVar[tuple[str, ...]] = ("paraphrase",)
    kind: Literal["paraphrase"] = "paraphrase"
    times: int = Field(3, ge=0, le=50, description="children of each parent")


class BackTranslation(TeacherOperation):
    """Into another language and back; names may come back in another spelling, numbers may not."""

    keeps: ClassVar[Facts] = "numbers"
    templates: ClassVar[tuple[str, ...]] = ("to_pivot", "from_pivot")
    kind: Literal["back_translation"] = "back_translation"
    times: int = Field(2, ge=0, le=50, description="children of each parent")
    temperature: float = Field(0.4, ge=0, le=2, description="spread of the teacher's wording")
    pivots: tuple[str, ...] = Field(
        (), description="languages to go through, by turns, named in the templates' language; empty: two common ones"
    )

    def options(self, language: str) -> dict[str, tuple[str, ...]]:
        return {"language": self.pivots or PIVOTS.get(language, PIVOTS["en"])}


class Style(TeacherOperation):
    """The same message in another manner of writing."""

    keeps: ClassVar[Facts] = "none"
    templates: ClassVar[tuple[str, ...]] = ("style",)
    kind: Literal["style"] = "style"
    styles: tuple[str, ...] = Field((), description="manners of writing, by turns; empty: those that come along")

    def options(self, language: str) -> dict[str, tuple[str, ...]]:
        return {"style": self.styles or STYLES.get(language, STYLES["en"])}


class Stance(TeacherOperation):
    """The same matter from somebody else: another role, or another attitude to it."""

    keeps: ClassVar[Facts] = "none"
    templates: ClassVar[tuple[str, ...]] = ("stance",)
    kind: Literal["stance"] = "stance"
    stances: tuple[str, ...] = Field((), description="who writes, by turns; empty: those that come along")

    def options(self, language: str) -> dict[str, tuple[str, ...]]:
        return {"stance": self.stances or STANCES.get(language, STANCES["en"])}


class Voice(TeacherOperation):
    """Active sentences into passive ones and the other way round."""

    templates: ClassVar[tuple[str, ...]] = ("voice",)
    kind: Literal["voice"] = "voice"
    temperature: float = Field(0.4, ge=0, le=2, description="spread of the teacher's wording")


class Clauses(TeacherOperation):
    """Short sentences merged into longer ones, long ones split."""

    templates: ClassVar[tuple[str, ...]] = ("clauses",)
    kind: Literal["clauses"] = "clauses"
    temperature: float = Field(0.4, ge=0, le=2, description="spread of the teacher's wording")


class Words(OperationSettings):
    """Some words replaced by what a masked language model, or WordNet, puts in their place.

    Never numbers, words with a capital letter, or words of a label. For scripts that put spaces between words.
    """

    kind: Literal["words"] = "words"
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

    How alike two texts with one meaning are depends on the encoder and the language: look at the `parent_similarity`
    of some children that you would keep and some that you would not, and put `min_similarity` between them.
    """

    operations: tuple[Operation, ...] = Field(
        (Paraphrase(), BackTranslation(), Style(), Stance()), description="what is done to each sample, in order"
    )
    min_similarity: float = Field(
        0.6, ge=-1, le=1, description="smallest cosine of a child to its parent; 0.6 is a start, to be calibrated"
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
