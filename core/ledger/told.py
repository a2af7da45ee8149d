"""The ledger in a round's report: what it was judged by, what is undone, what came in."""

from typing import Self

from pydantic import Field

from ..artifacts import Artifact
from ..settings import Setting
from .judging import Undone

SHOWN = 20  # undone items in the table of a page; the JSON has all


class LedgerAt(Setting):
    """The ledger as a round was opened with it."""

    lines: int = Field(0, ge=0, description="lines of the history that there were")
    items: Artifact | None = Field(None, description="JSON of every entry; None where there was none")


class LedgerTold(Setting):
    """What the ledger did in a round, for its report."""

    lines: int = 0
    items: int = Field(0, description="active items that the candidate was asked")
    origins: dict[str, int] = Field({}, description="of them from review, round and feedback")
    undone: tuple[Undone, ...] = ()
    added: tuple[str, ...] = Field((), description="ids that came in when the round ended")
    replaced: tuple[str, ...] = Field((), description="ids whose right answer people changed")
    notes: tuple[str, ...] = ()

    def then(self, filled: "LedgerTold") -> Self:
        """This, with what came in at the end of the round."""
        told = {"added": filled.added, "replaced": filled.replaced, "notes": (*self.notes, *filled.notes)}
        return self.model_copy(update=told)

    @property
    def sentences(self) -> list[str]:
        """What a person should know, each a sentence; none where there is nothing to tell."""
        said = []
        if self.items:
            origins = ", ".join(f"{count} from {kind}" for kind, count in self.origins.items())
            undone = f"{len(self.undone)} undone" if self.undone else "none undone"
            said.append(f"The ledger has {self.items} items ({origins}); {undone}.")
        if self.added or self.replaced:
            replaced = f", {len(self.replaced)} changed" if self.replaced else ""
            said.append(f"{len(self.added)} corrections came into the ledger{replaced}.")
        return said + [f"{note[:1].upper()}{note[1:]}." for note in self.notes]

    @property
    def lines_of_markdown(self) -> list[str]:
        """The undone items one by one: what was asked, what is right, what was said."""
        rows = [
            f"`{one.id}` ({one.origin}) “{_flat(one.question)}”: right is “{_flat(one.right)}”, "
            f"the candidate said “{_flat(one.reply)}”"
            for one in self.undone[:SHOWN]
        ]
        more = len(self.undone) - SHOWN
        return rows + ([f"and {more} more, in report.json"] if more > 0 else [])


def _flat(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
