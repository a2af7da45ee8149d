"""What a collection did, in figures and in words."""

from collections.abc import Sequence

from pydantic import Field

from ..settings import Setting

CORRECTIONS = "corrections taken"  # the figure that starts a micro-round


class Part(Setting):
    """What one step of a collection did."""

    figures: dict[str, int] = Field({}, description="how many of what")
    notes: tuple[str, ...] = Field((), description="sentences for people")


class Collected(Setting):
    """What a collection did."""

    loop: str
    figures: dict[str, int]
    notes: tuple[str, ...]

    @property
    def sentences(self) -> list[str]:
        """For people; one that says so where there was nothing."""
        said = [f"{what}: {count:,}" for what, count in self.figures.items() if count]
        return [f"{self.loop}, {'; '.join(said)}." if said else f"{self.loop}: there is nothing new.", *self.notes]

    @property
    def markdown(self) -> str:
        first, *rest = self.sentences
        return "\n".join([first, "", *(f"- {_cell(one)}" for one in rest)]) + "\n"


def added_up(loop: str, parts: Sequence[Part]) -> Collected:
    """The parts as one."""
    figures: dict[str, int] = {}
    for part in parts:
        for name, count in part.figures.items():
            figures[name] = figures.get(name, 0) + count
    return Collected(loop=loop, figures=figures, notes=tuple(note for part in parts for note in part.notes))


def _cell(text: str) -> str:
    return " ".join(text.replace("<", "&lt;").split())
