"""The language of a text: by its script where that says it, else by the model that comes inside py3langid.

Nothing is fetched. py3langid (BSD) is naive Bayes over byte n-grams, after Lui & Baldwin 2012, langid.py; its
probabilities are scaled by the root of the length, so that a short text is not judged with the certainty of a long one.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from ...samples import Sample
from ...settings import Setting
from ...text import nearest
from ..context import FunnelContext, Judgements
from ..parts import SAID, Part, texts_of
from .code_spans import without_code

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

CODES = """
ace af am an ar ary arz as az ba bcl be bg bn br bs ca crh cs cy da de dz el en eo es et eu ext fa fi fo fr fuv fy ga
gcf gcr gd gl gom grc gu gug guw ha hbo he hi hr ht hu hy id ig is it ja jv ka kab kik kk km kn ko ku ky la lb lg lij
ln lo lt ltg lv mg mk ml mn mr ms mt my ne nl nn no nso oc om or pa pcm pl ps pt qu ro ru rw sa sdh se si sk sl sn so
sq sr st sv sw ta te tg th tk tl tr tt ug uk ur uz uzs vec vi vo wa wuu xh yo yue zh zu
"""
LANGUAGES = tuple(CODES.split())
NO_LANGUAGE = "zxx"  # what the model says of numbers, identifiers and markup
CHINESE, JAPANESE = ("zh", "yue", "wuu"), ("ja",)

NOT_PROSE = re.compile(
    r"https?://\S+|www\.\S+|\S{1,64}@\S{1,255}|<[^<>\n]{1,200}>|[^\W_]{0,64}(?:[_/\\]{1,3}[^\W_]{1,64})+|[\d_]+"
)
MAYBE_NOT_PROSE = re.compile(r"[\d_/\\@<]|www\.")
"""Each kind of NOT_PROSE has one of these, and is searched for ten times as long."""
LETTERS = re.compile(r"[^\W\d_]")
NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalpha())
HAN = r"\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
KANA = r"\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\uff66-\uff9f"
SIGN_WEIGHT = 3  # a Chinese character says about as much as three letters
ONE_LANGUAGE: tuple[tuple[str, str, int], ...] = (
    ("ko", r"\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3", 2), ("th", r"\u0e00-\u0e7f", 1), ("lo", r"\u0e80-\u0eff", 1),
    ("hy", r"\u0530-\u058f", 1), ("ka", r"\u10a0-\u10ff", 1), ("pa", r"\u0a00-\u0a7f", 1), ("gu", r"\u0a80-\u0aff", 1),
    ("or", r"\u0b00-\u0b7f", 1), ("ta", r"\u0b80-\u0bff", 1), ("te", r"\u0c00-\u0c7f", 1), ("kn", r"\u0c80-\u0cff", 1),
    ("ml", r"\u0d00-\u0d7f", 1), ("si", r"\u0d80-\u0dff", 1), ("km", r"\u1780-\u17ff", 1), ("my", r"\u1000-\u109f", 1),
)  # fmt: skip
"""Language, the letters that it alone is written in, and what one of them weighs."""
SCRIPTS = tuple((code, re.compile(f"[{signs}]"), weight) for code, signs, weight in ONE_LANGUAGE)
EAST_ASIAN, KANA_ONLY = re.compile(f"[{HAN}{KANA}]"), re.compile(f"[{KANA}]")


class Language(Setting):
    """Drop a text that is in none of the allowed languages, or for the most part in the script of another.

    Scores `language_confidence` in [0, 1]: how much likelier the likeliest allowed language is than the likeliest
    other, p/(p + q), averaged over the scripts of the text by their letters; of several texts the lowest. Code blocks,
    the answers of code tasks, addresses and numbers do not count. A text with too few letters to tell, or that is no
    language, passes: it has no such score, but the score `language_unknown`, 1. A sentence in another language within
    a long text is not found.
    """

    kind: Literal["language"] = "language"
    allowed: tuple[str, ...] = Field(min_length=1, description="ISO 639 codes, such as `en` and `zh`")
    min_confidence: float = Field(
        0.05, gt=0, lt=1, description="smallest `language_confidence` that is kept, of each script for itself"
    )
    min_share: float = Field(0.5, gt=0, le=1, description="smallest share of letters in scripts that pass")
    min_letters: int = Field(
        16, ge=1, le=1000, description="letters below which nothing is said; a Chinese character counts as three"
    )
    judges: tuple[Part, ...] = Field(SAID, min_length=1, description="which messages are judged, each by itself")

    @field_validator("allowed")
    @classmethod
    def _known(cls, allowed: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [code for code in allowed if code not in LANGUAGES]:
            raise ValueError(f"no language has the code `{unknown[0]}`; {nearest(unknown[0], LANGUAGES)}")
        return allowed

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        reasons: list[str | None] = []
        scores: list[float | None] = []
        for sample in batch:
            judges = [part for part in self.judges if part != "answer" or sample.task != "code"]
            found = [parts for text in texts_of(sample, judges) if (parts := self.parts(text))]
            scores.append(min(map(_mean, found), default=None))
            wrong = any(self._share(parts) < self.min_share for parts in found)
            reasons.append("wrong_language" if wrong else None)
        unknown = [1.0 if score is None else None for score in scores]
        return Judgements(reasons, {"language_confidence": scores, "language_unknown": unknown})

    def parts(self, text: str) -> list[tuple[int, float]]:
        """Letters of each script, and the confidence that these are an allowed language; none for too few letters."""
        plain = without_code(text)
        if MAYBE_NOT_PROSE.search(plain):
            plain = NOT_PROSE.sub(" ", plain)
        found: list[tuple[int, float]] = []
        if not plain.isascii():
            plain, found = self._by_script(plain)
        letters = _letters(plain)
        if sum(weight for weight, _ in found) + letters < self.min_letters:
            return []
        # a name or two in Latin letters, as Chinese texts have them, say nothing about the language
        if letters >= self.min_letters and (likely := self._by_model(plain)) is not None:
            found.append((letters, likely))
        return found

    def _share(self, parts: Sequence[tuple[int, float]]) -> float:
        passing = sum(letters for letters, likely in parts if likely >= self.min_confidence)
        return passing / sum(letters for letters, _ in parts)

    def _by_script(self, text: str) -> tuple[str, list[tuple[int, float]]]:
        """`text` without the scripts that say its language, and what they say."""
        found: list[tuple[int, float]] = []
        if signs := len(EAST_ASIAN.findall(text)):
            # Japanese writes at least its endings in kana; a Chinese text has a brand's の at most
            kana = len(KANA_ONLY.findall(text))
            codes = JAPANESE if kana * 10 >= signs else CHINESE
            found.append((SIGN_WEIGHT * signs, float(any(code in self.allowed for code in codes))))
            text = EAST_ASIAN.sub(" ", text)
        for code, pattern, weight in SCRIPTS:
            text, count = pattern.subn(" ", text)
            if count:
                found.append((weight * count, float(code in self.allowed)))
        return text, found

    def _by_model(self, text: str) -> float | None:
        ranked = _identifier().rank(text)
        if ranked[0][0] == NO_LANGUAGE:
            return None
        allowed = next((likely for code, likely in ranked if code in self.allowed), 0.0)
        other = next(
            (likely for code, likely in ranked if code not in self.allowed and code != NO_LANGUAGE),
            0.0,
        )
        return allowed / (allowed + other) if allowed + other > 0 else None


def _letters(text: str) -> int:
    return len(text.encode().translate(None, NO_LETTERS) if text.isascii() else LETTERS.findall(text))


def _mean(parts: Sequence[tuple[int, float]]) -> float:
    return sum(letters * likely for letters, likely in parts) / sum(letters for letters, _ in parts)


@lru_cache(maxsize=1)
def _identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    # 28 MB more, and a fifth of the time less: of half precision numpy makes single for each text anew
    identifier.nb_ptc = identifier.nb_ptc.astype("float32")
    return identifier
