"""What one reply is worth: a scorer is its settings. `docs/suites.md` tells what each measures.

Three kinds: those that look at a reply and its item and nothing else are called with the two; those that need more
score all replies at once, with what was opened for them; those of log-likelihoods say what is to be read, and judge it.
"""

from typing import Annotated

from pydantic import Field

from .answers import AnswerEm, AnswerF1, Keywords, Matches
from .asking import Graded, Grounded, Pairwise
from .context import Opened
from .encoding import ReplyBertScore
from .harness import LmEval
from .item import Answer, Item, Score
from .labels import ExactLabel
from .likely import AnswerPerplexity, MultipleChoice
from .overlap import Chrf, Rouge, SentenceBleu
from .running import CallableScore, CodeTests, Metric

__all__ = [
    "Answer", "AnswerEm", "AnswerF1", "AnswerPerplexity", "CallableScore", "Chrf", "CodeTests", "ExactLabel", "Graded",
    "Grounded", "Item", "Keywords", "Likely", "LmEval", "Matches", "Metric", "MultipleChoice", "Opened", "Pairwise",
    "Plain", "ReplyBertScore", "Rouge", "Score", "Scorer", "SentenceBleu", "Together",
]  # fmt: skip

Plain = ExactLabel | Matches | AnswerEm | AnswerF1 | Keywords | Rouge | Chrf | SentenceBleu
"""Called with a reply and its item."""

Together = ReplyBertScore | Graded | Grounded | Pairwise | CodeTests | CallableScore | Metric
"""Score all replies at once."""

Likely = MultipleChoice | AnswerPerplexity
"""Judge log-likelihoods."""

Scorer = Annotated[Plain | Together | Likely | LmEval, Field(discriminator="kind")]
