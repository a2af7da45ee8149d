"""What is opened for scorers that need more than a reply and its item."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # these know the items of suites themselves
    from ...quality.review.asking import Review
    from ...quality.scores.models import Models


@dataclass
class Opened:
    """Models, judges and verifiers, the passages by id, the replies of the model to beat, and the loop's folder.

    What is not needed is None. `notes` collects what people should know of the scores, each sentence once.
    """

    models: "Models | None" = None
    review: "Review | None" = None
    passages: Mapping[str, str] = field(default_factory=dict)
    rival: Sequence[str] | None = None
    folder: Path = Path()
    notes: dict[str, None] = field(default_factory=dict)

    def note(self, *sentences: str) -> None:
        self.notes.update(dict.fromkeys(sentences))
