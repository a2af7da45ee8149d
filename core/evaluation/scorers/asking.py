"""Scorers that ask a teacher: grades, claims that the passages bear out, and which of two replies is better."""

from collections.abc import Sequence
from statistics import fmean
from typing import ClassVar, Literal

from pydantic import Field

from ...teachers import Role
from .context import Opened
from .item import Answer, Item, Need, Score, Scoring, required

Retries = Field(1, ge=0, le=5, description="further calls for a reply that cannot be read")
WINS = {"first": 1.0, "tie": 0.5, "second": 0.0}


class Graded(Scoring):
    """A judge's grades from 1 to 5 for accuracy, structure and truthfulness, as (grade − 1) / 4 in [0, 1].

    The mean over counts and judges, or with `grade: lowest` the mean of each judge's lowest. A reply that no more
    than half of the judges could grade is unscored, never 0.
    """

    needs: ClassVar[tuple[Need, ...]] = ("review",)
    role: ClassVar[Role] = "judge"
    template: ClassVar[str] = "judge"

    kind: Literal["judge"] = Field("judge", description="a judge's grades, 1 to 5, as 0 to 1")
    grade: Literal["mean", "lowest"] = Field("mean", description="of the three counts")
    retries: int = Retries
    max_tokens: int = Field(300, ge=32, description="longest reply of a judge, in tokens")

    def score_all(self, answers: Sequence[Answer], opened: Opened) -> list[Score]:
        from ...quality.review.asking import Unanswered
        from ...quality.review.marks import Marks, asked, question, read_marks
        from ...quality.review.tally import quorum, why_unscored

        assert opened.review is not None
        review, template = opened.review, opened.review.template(self.template)
        shown = [(*asked(one.messages), one.reply) for one in answers]
        offered = [dict(zip(("instruction", "question", "answer"), one, strict=True)) for one in shown]
        requests = [question(template, one, self.max_tokens) for one in offered]
        told = review.ask(self.role, requests, read_marks, self.retries)
        opened.note(*kinship(opened, self.role, self.kind))

        def score(row: Sequence[Marks | Unanswered]) -> Score:
            if not quorum(row):
                return Score.unscored(why_unscored(row))
            marks = [one for one in row if isinstance(one, Marks)]
            grades = [one.lowest if self.grade == "lowest" else fmean(one.grades) for one in marks]
            return Score((fmean(grades) - 1) / 4)

        return [score(row) for row in zip(*told, strict=True)]


class Grounded(Scoring):
    """Share of a reply's claims that the item's passages bear out, in [0, 1], as the funnel's `verifier` finds them.

    The mean over the verifiers; a reply that no more than half of them could check is unscored. An empty reply says
    nothing that is borne out and has 0.
    """

    needs: ClassVar[tuple[Need, ...]] = ("review",)
    fields: ClassVar[tuple[str, ...]] = ("passages",)
    role: ClassVar[Role] = "verifier"
    template: ClassVar[str] = "verify"

    kind: Literal["grounded"] = Field("grounded", description="share of the claims that the passages bear out")
    quotes: bool = Field(False, description="count a claim only when the words quoted for it do stand in the passages")
    retries: int = Retries
    max_tokens: int = Field(600, ge=32, description="longest reply of a verifier, in tokens")

    def score_all(self, answers: Sequence[Answer], opened: Opened) -> list[Score]:
        from ...quality.review.asking import Unanswered
        from ...quality.review.marks import asked
        from ...quality.review.tally import quorum, why_unscored
        from ...quality.review.terms import invented_terms
        from ...quality.review.verify import Checked, Verifier

        assert opened.review is not None
        verifier = Verifier(quotes=self.quotes, retries=self.retries, max_tokens=self.max_tokens)

        def checked(one: Answer) -> Checked:
            knowledge = "\n\n".join(opened.passages[name] for name in one.item.passages)
            # the passages stand in what the model was asked; the question here is without them
            said = asked((*one.item.history, one.messages[-1].model_copy(update={"content": one.item.prompt})))[1]
            return Checked(knowledge, said, one.reply, invented_terms(one.reply, (knowledge, said)))

        found = [checked(one) if one.reply.strip() else None for one in answers]
        told = iter(verifier.ask(opened.review, [one for one in found if one is not None]))
        opened.note(*kinship(opened, self.role, self.kind))

        def score(one: Checked | None) -> Score:
            if one is None:
                return Score(0.0)
            row = next(told)
            if not quorum(row):
                return Score.unscored(why_unscored(row))
            return Score(fmean(verifier.share(claims, one) for claims in row if not isinstance(claims, Unanswered)))

        return [score(one) for one in found]


class Pairwise(Scoring):
    """Whether judges find the reply better than an opponent's: 1, 0.5 for a tie, 0.

    Each pair is put to every judge in both orders; a judge who goes by the place has a tie. With `against: reference`
    the opponent is the item's first answer, the same for every model. With `against: champion` it is the reply of the
    champion, before there is one of the base: who plays against itself has 0.5 by definition, and the candidate's mean
    is its win rate. A pair that no more than half of the judges answered in both orders is unscored.
    """

    needs: ClassVar[tuple[Need, ...]] = ("review", "rival")
    role: ClassVar[Role] = "judge"
    template: ClassVar[str] = "compare"

    kind: Literal["pairwise"] = Field("pairwise", description="whether judges prefer the reply to an opponent's")
    against: Literal["reference", "champion"] = Field("reference", description="whose reply it is compared with")
    retries: int = Retries
    max_tokens: int = Field(200, ge=32, description="longest reply of a judge, in tokens")

    def check(self, item: Item) -> None:
        if self.against == "reference":
            required(item, self.kind, "answers")

    def score_all(self, answers: Sequence[Answer], opened: Opened) -> list[Score]:
        from ...quality.review.compare import Pair, compare

        assert opened.review is not None and opened.rival is not None
        others = [one.item.answers[0] for one in answers] if self.against == "reference" else opened.rival
        # what says the same is no better and no worse, and costs no call
        apart = [at for at, one in enumerate(answers) if one.reply.strip() != others[at].strip()]
        pairs = [Pair(answers[at].messages, answers[at].reply, others[at]) for at in apart]
        told = compare(pairs, opened.review, role=self.role, retries=self.retries, max_tokens=self.max_tokens)
        opened.note(*kinship(opened, self.role, self.kind))
        if told.steady is not None and told.steady < 1:
            opened.note(f"pairwise: {told.steady:.0%} of the verdicts stayed the same when the replies changed places.")
        found = [Score(0.5)] * len(answers)
        for at, one in zip(apart, told.preferences, strict=True):
            found[at] = Score.unscored(one.reason) if one.winner is None else Score(WINS[one.winner], one.reason)
        return found


def kinship(opened: Opened, role: Role, kind: str) -> list[str]:
    """A sentence for each reviewer that is of the family of the model whose replies it judges."""
    assert opened.review is not None
    return [
        f"{kind}: `{model}` is of one family with `{judged}`, whose replies it may favour; give the role `{role}` to a "
        "model of another family."
        for model, judged in opened.review.kin(role)
    ]
