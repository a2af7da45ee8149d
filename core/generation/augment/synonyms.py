"""What may stand in a word's place: the protocol, and synonyms from WordNet's own files or from a user's list.

WordNet (Princeton University, free to use and copy under its own licence) is read as it is distributed: a folder with
`index.noun`, `data.noun` and so on. It is what Debian's `wordnet-base` and NLTK's corpus `wordnet` put on a disk.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ...errors import DataError

PARTS = ("noun", "verb", "adj", "adv")
SENSE_PARTS = {"1": "noun", "2": "verb", "3": "adj", "4": "adv", "5": "adj"}
USUAL = 4  # uses of a word as its usual part of speech, to each use as another
SYNONYMS = 3  # of one word: the later ones are rarer than anybody writes
PLACES = ("/usr/share/wordnet", "~/nltk_data/corpora/wordnet", "/usr/share/nltk_data/corpora/wordnet")


@dataclass(frozen=True)
class Gap:
    """One word in its text, to be replaced."""

    before: str
    word: str
    after: str


class FillMask(Protocol):
    """Words for gaps: for each a list of candidates with scores of 0 or more, the best first."""

    def __call__(self, gaps: Sequence[Gap]) -> list[list[tuple[str, float]]]: ...


class Synonyms:
    """A thesaurus as a source of words: a word's synonyms, the first ones likelier."""

    def __init__(self, synonyms: Mapping[str, Sequence[str]]) -> None:
        self._synonyms = synonyms

    def __call__(self, gaps: Sequence[Gap]) -> list[list[tuple[str, float]]]:
        return [[(word, 1 / rank) for rank, word in enumerate(self._of(gap.word), 1)] for gap in gaps]

    def _of(self, word: str) -> Sequence[str]:
        return self._synonyms.get(word, ())


def read_synonyms(path: Path | None = None) -> Synonyms:
    """The thesaurus at `path`: WordNet's folder, a .json file of `{word: [synonym, …]}`, or a .tsv file.

    A line of the .tsv is a word, a tab, and its synonyms with commas between them. Without `path`, WordNet where
    packages put it, and the folders of NLTK_DATA. Raises DataError for what is not there or cannot be read.
    """
    if path is None:
        path = next((place for place in _places() if (place / "data.noun").is_file()), None)
        if path is None:
            raise DataError(
                "words: no WordNet is installed; install it (Debian: `wordnet-base`) or give `thesaurus` or `fill_mask`"
            )
    try:
        if path.is_dir():
            return Synonyms(wordnet(path))
        text = path.read_text(encoding="utf-8-sig")
        return Synonyms(_from_json(path, text) if path.suffix == ".json" else _from_lines(path, text))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a thesaurus ({error})") from None


def wordnet(folder: Path) -> dict[str, list[str]]:
    """Synonyms of one word each, the commonest first, of the commonest sense of each word.

    Only for words that are nearly always of one part of speech, by WordNet's own counts: nothing here tells whether a
    word that is as often a noun as a verb is the one or the other in a text.
    """
    senses: dict[str, dict[str, str]] = {}
    for part in PARTS:
        for fields in _entries(folder / f"index.{part}"):
            # lemma pos synset_cnt p_cnt [ptr_symbol…] sense_cnt tagsense_cnt synset_offset…, the commonest sense first
            if fields[0].isalpha():
                senses.setdefault(fields[0], {})[part] = fields[6 + int(fields[3])]
    counts = _counts(folder / "cntlist.rev")
    synsets = {part: dict(map(_synset, _entries(folder / f"data.{part}"))) for part in PARTS}
    found = {}
    for lemma, by_part in senses.items():
        if lemma.endswith("s") and lemma[:-1] in senses:  # `works` is nearly always the verb, and not a factory
            continue
        usual = _usual({part: counts[lemma, part] for part in by_part})
        if usual is not None:
            words = synsets[usual].get(by_part[usual], ())
            if others := [word for word in words if word != lemma and word.isalpha()]:
                found[lemma] = others[:SYNONYMS]
    return found


def _usual(counts: Mapping[str, int]) -> str | None:
    """The part of speech that stands for nearly all uses of a word, if one does."""
    part = max(counts, key=lambda part: counts[part])
    others = sum(counts.values()) - counts[part]
    return part if len(counts) == 1 or counts[part] >= USUAL * max(1, others) else None


def _counts(path: Path) -> Counter[tuple[str, str]]:
    """How often each (lemma, part of speech) stands in the texts that WordNet was tagged on; empty without the file."""
    counts = Counter[tuple[str, str]]()
    if path.is_file():
        for sense, _, count in _entries(path):
            lemma, _, rest = sense.partition("%")
            counts[lemma, SENSE_PARTS[rest[0]]] += int(count)
    return counts


def _synset(fields: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Offset and words of a line of `data.*`: offset lex_filenum ss_type w_cnt (hexadecimal) word lex_id word …"""
    words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
    return fields[0], tuple(word.partition("(")[0] for word in words)  # an adjective may say where it stands: `(p)`


def _entries(path: Path) -> Iterable[list[str]]:
    """The fields of each line but those of the licence, which begin with a space."""
    try:
        with path.open(encoding="utf-8") as lines:
            yield from (line.partition(" | ")[0].split() for line in lines if not line.startswith(" "))
    except FileNotFoundError:
        raise DataError(
            f"{path}: there is no such file; a WordNet folder has an index and a data file a part"
        ) from None


def _places() -> list[Path]:
    named = [Path(folder) / "corpora" / "wordnet" for folder in os.environ.get("NLTK_DATA", "").split(os.pathsep)]
    return [place.expanduser() for place in (*named, *map(Path, PLACES))]


def _from_json(path: Path, text: str) -> dict[str, list[str]]:
    try:
        read: Any = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}: this is not valid JSON ({error})") from None
    if not isinstance(read, dict) or not all(isinstance(value, list) for value in read.values()):
        raise DataError(f"{path}: expected an object of words, each with a list of synonyms")
    return {word.casefold(): [str(other) for other in others] for word, others in read.items()}


def _from_lines(path: Path, text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            word, tab, others = line.partition("\t")
            if not tab:
                raise DataError(f"{path}:{number}: expected a word, a tab, and its synonyms with commas between them")
            found[word.strip().casefold()] = [other.strip() for other in others.split(",") if other.strip()]
    return found
