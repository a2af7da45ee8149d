"""Documents of the user's, cut into passages: Markdown at its headings, what is long into overlapping windows.

A passage is named `<stem>#<slug of the heading>`, so that a seed or a suite can point at it; `-2`, `-3` … are the
further windows of a long one. What stands under no heading is named by the stem alone.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, model_validator

from ..errors import DataError
from ..settings import Setting
from ..text import words

ENDINGS = (".md", ".txt")
MEGABYTE = 1_000_000

UNDERLINED = re.compile(r"(?:\A|(?<=\n\n))([^\s#>|`\-*+=<][^\n]*)\n(?:=+|-{2,})[ \t]*$", re.MULTILINE)
HEADING = re.compile(r"^ {0,3}(#{1,6})(?:[ \t]+(?P<text>.*?))?[ \t]*#*[ \t]*$")
FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
FRONT_MATTER = re.compile(r"\A---\n.*?\n(?:---|\.\.\.)[ \t]*\n", re.DOTALL)
CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af"
NOT_IN_SLUG = re.compile(rf"[^a-z0-9{CJK}]+")
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
# the end of a sentence: a stop and a space, a Chinese stop, or the end of a line
SENTENCE = re.compile(r"(?:[.!?…]+[\"'”’)\]]*(?=\s)|[。！？；]+[”’」』）]*|\n)\s*")
PIECE = re.compile(r"\S+\s*|\s+")
UNSPACED = re.compile(r"[\u3040-\u9fff]")


class Documents(Setting):
    """Where the passages come from, and how long one may be."""

    path: str = Field(min_length=1, description="a folder of .md and .txt files, or one of them; UTF-8")
    words: int = Field(220, ge=20, le=5000, description="longest passage; a script without spaces counts characters")
    overlap: int = Field(40, ge=0, description="words that a window has in common with the one before; at most half")
    max_megabytes: float = Field(20, gt=0, le=2000, description="size of all documents together")

    @model_validator(mode="after")
    def _windows_move_on(self) -> "Documents":
        if self.overlap > self.words // 2:
            raise ValueError(f"an `overlap` of {self.overlap} is more than half of {self.words} `words`")
        return self


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that can be asked about; `document` is the file's name without its ending."""

    id: str
    document: str
    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class Section:
    """What stands under one heading, and the line that it begins in."""

    heading: str
    line: int
    text: str


def read_documents(settings: Documents) -> list[Passage]:
    """The passages of all documents, file by file in the order of their names.

    Raises DataError, one sentence that names the file: when there is none, or one is empty, binary, not UTF-8 or too
    large, and when two passages would have the same id.
    """
    passages: list[Passage] = []
    places: dict[str, str] = {}
    for path in _files(Path(settings.path), settings.max_megabytes):
        for section_number, section in enumerate(_sections(path), 1):
            for passage in _passages(path.stem, section, section_number, settings):
                place = f"{path}:{section.line}"
                if twin := places.get(passage.id):
                    raise DataError(
                        f"{place}: the passage `{passage.id}` is also the one at {twin}; rename one of the headings "
                        "or files, or nobody can point at it"
                    )
                places[passage.id] = place
                passages.append(passage)
    return passages


def slug(heading: str) -> str:
    """A heading as part of an id: lower case, everything but a–z, 0–9 and CJK characters as single hyphens."""
    return NOT_IN_SLUG.sub("-", heading.lower()).strip("-")


def windows(text: str, longest: int, overlap: int) -> list[str]:
    """`text` in pieces of at most `longest` words that end with a sentence; neighbours share at most `overlap` words.

    A sentence that is longer than a window is cut between words.
    """
    spans = list(_sentences(text, longest))
    counts = [len(words(text[start:end])) for start, end in spans]
    if sum(counts) <= longest:
        return [text]
    cut, first, new = list[str](), 0, 0
    while new < len(spans):
        last, room = new, longest - sum(counts[first : new + 1])
        while last + 1 < len(spans) and counts[last + 1] <= room:
            last += 1
            room -= counts[last]
        cut.append(text[spans[first][0] : spans[last][1]].strip())
        before, new = first, last + 1
        first = new
        # back over as many whole sentences as the overlap holds, as long as the next new one still fits
        shared = min(overlap, longest - counts[new]) if new < len(spans) else 0
        while first - 1 > before and counts[first - 1] <= shared:
            first -= 1
            shared -= counts[first]
    return [piece for piece in cut if piece]


def _sentences(text: str, longest: int) -> Iterator[tuple[int, int]]:
    """Where each sentence begins and ends; what is too long is cut into parts of `longest` words."""
    start = 0
    for end in [*(match.end() for match in SENTENCE.finditer(text)), len(text)]:
        if len(words(text[start:end])) > longest:
            room, begin = longest, start
            for place, count in _pieces(text, start, end):
                if count > room and place > begin:
                    yield begin, place
                    room, begin = longest, place
                room -= count
            yield begin, end
        elif end > start:
            yield start, end
        start = end


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where a sentence may be parted, and the words up to the next such place; see `text.words`."""
    for piece in PIECE.finditer(text, start, end):
        if UNSPACED.search(piece[0]):
            yield from ((piece.start() + index, len(words(sign))) for index, sign in enumerate(piece[0]))
        else:
            yield piece.start(), len(words(piece[0]))


def _passages(stem: str, section: Section, number: int, settings: Documents) -> Iterator[Passage]:
    # a heading in a script that slugs do not keep is told by its place
    name = f"{stem}#{slug(section.heading) or f'section-{number}'}" if section.heading else stem
    for window, text in enumerate(windows(section.text, settings.words, settings.overlap), 1):
        yield Passage(name if window == 1 else f"{name}-{window}", stem, section.heading, text)


def _sections(path: Path) -> list[Section]:
    text = _read(path)
    if path.suffix.lower() == ".txt":
        return [Section("", 1, text.strip())]
    front = FRONT_MATTER.match(text)
    skipped = front[0].count("\n") if front else 0
    found: list[Section] = []
    heading, line, body, fence = "", 1, list[str](), ""
    rows = UNDERLINED.sub(r"# \1\n", text[front.end() if front else 0 :]).split("\n")
    for number, row in enumerate([*rows, "# "], skipped + 1):
        if opened := FENCE.match(row):
            fence = "" if fence and opened[1].startswith(fence) else fence or opened[1]
        match = None if fence else HEADING.match(row)
        if match is None:
            body.append(row)
            continue
        if said := "\n".join(body).strip():
            found.append(Section(heading, line, said))
        heading, line, body = LINK.sub(r"\1", match["text"] or "").strip(" *_`"), number, []
    if fence and (said := "\n".join(body[:-1]).strip()):  # it was never closed: what follows belongs to it
        found.append(Section(heading, line, said))
    if not found:
        raise DataError(f"{path}: has no text under its headings; write some, or remove the file")
    return found


def _files(root: Path, max_megabytes: float) -> list[Path]:
    if root.is_dir():
        found = [path for path in root.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file()]
        files = sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(root).parts))
    elif root.is_file() and root.suffix.lower() not in ENDINGS:
        raise DataError(f"{root}: a document must end in {' or '.join(ENDINGS)}; convert it")
    elif root.is_file():
        files = [root]
    else:
        raise DataError(f"{root}: there is no such folder or file of documents; check `documents.path`")
    if not files:
        raise DataError(f"{root}: no document in this folder; put {' or '.join(ENDINGS)} files there")
    size = 0
    for path in files:
        size += path.stat().st_size
        if size > max_megabytes * MEGABYTE:
            raise DataError(
                f"{path}: with it the documents are larger than {max_megabytes:g} MB; leave some out, or raise "
                "`documents.max_megabytes`"
            )
    return files


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its rights") from None
    if b"\0" in raw:
        raise DataError(f"{path}: this is a binary file (or UTF-16), not text; save it as UTF-8, or take it out")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: this line is not UTF-8; save the file as UTF-8") from None
    if not text.strip():
        raise DataError(f"{path}: the file is empty; write something, or remove it")
    return text.replace("\r\n", "\n").replace("\r", "\n")
