"""What is common to filters that ask models: votes, rows that nobody could judge, and what is said about both.

A tally grows from batch to batch of one pass of the funnel, so that what it says is of all rows so far.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ...teachers import Role
from .asking import Review, Unanswered

Unscored = Literal["keep", "drop"]


@dataclass
class Tally:
    """Rows that were put before the reviewers, and how many of them nobody could judge, by reason."""

    rows: int = 0
    unscored: Counter[str] = field(default_factory=Counter)

    def add(self, answers: Sequence[object]) -> None:
        """Count one row and what its reviewers answered."""
        self.rows += 1
        if not quorum(answers):
            self.unscored[why_unscored(answers)] += 1

    def figures(self) -> dict[str, float]:
        return {"asked": float(self.rows), "unscored": float(self.unscored.total())}

    def notes(self, kind: str, then: Unscored) -> list[str]:
        """A sentence about the unscored rows, if there are any."""
        if not self.unscored:
            return []
        why = ", ".join(f"{reason} {count}" for reason, count in sorted(self.unscored.items()))
        done = "kept" if then == "keep" else "dropped"
        return [f"{kind}: {self.unscored.total()} of {self.rows} rows could not be judged ({why}) and were {done}."]


def quorum(answers: Sequence[object]) -> bool:
    """Whether more than half of those who were asked have answered."""
    return 2 * sum(not isinstance(answer, Unanswered) for answer in answers) > len(answers)


def why_unscored(answers: Sequence[object]) -> str:
    """The commonest reason among the answers that are none; of several the first."""
    return Counter(answer.reason for answer in answers if isinstance(answer, Unanswered)).most_common(1)[0][0]


def family_notes(review: Review, role: Role, kind: str) -> list[str]:
    """A sentence for each reviewer whose model is of the writer's family."""
    return [
        f"{kind}: `{model}` is of one family with the writer `{writer}`, whose style it may favour; "
        f"give the role `{role}` to a model of another family."
        for model, writer in review.kin(role)
    ]
