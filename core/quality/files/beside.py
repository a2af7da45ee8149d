"""A file's kept rows beside a reference file: what `wheelwork filter --check` looks at."""

from pathlib import Path
from typing import NamedTuple

from ..batch.check import Checked, check
from ..batch.settings import Batch
from ..batch.sides import Embed, Side
from .source import SourceFile, read_each

SEED = 0  # of what is drawn: the same files give the same findings


class Comparison(NamedTuple):
    """A reference file that was read, and the kept rows as they come in."""

    settings: Batch
    reference: Side
    kept: Side
    numbers: tuple[str, ...]
    """Columns of the reference that hold numbers, which are looked for among the kept too."""

    def finish(self, embed: Embed | str) -> Checked:
        """The findings, when all that is kept has come in; `embed` as in `check`."""
        target = self.settings.wanted(self.reference.categories)
        return check(self.kept, self.reference, self.settings, embed, target, SEED)


def comparison(reference: Path, settings: Batch) -> Comparison:
    """Read `reference`, row by row. Raises DataError for one that cannot be read."""
    numbers = SourceFile(reference).number_columns()
    sides = Side(settings.rows, SEED), Side(settings.rows, SEED)
    sides[0].add(read_each(SourceFile(reference, numbers)))
    return Comparison(settings, *sides, numbers)


def picture_beside(picture: Path) -> Path:
    """The picture of the comparison, beside that of the funnel."""
    return picture.with_name(f"{picture.stem}.batch{picture.suffix}")
