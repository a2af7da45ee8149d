"""Word substitution: some words of a text replaced by what a masked language model or a thesaurus puts there.

What stands in a word's place need not mean the same: a masked model fills "is *down* again" with "up" as gladly. It
sees the whole text beside the one with the gap (Qiang et al. 2020, LSBert), which draws it to words of like meaning,
and the check on meaning does the rest.
"""

import random
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from ...errors import ConfigError, ModelError
from ...models.pretrained import loading
from .settings import Words
from .synonyms import FillMask, Gap, read_synonyms

WORD = re.compile(r"\w+(?:['’-]\w+)*")
REPLACEABLE = re.compile(r"[a-zß-öø-ÿ]{3,}")
_CLOSED = (
    "about above across after again against all also although always among and another any anyone anything are around "
    "because been before behind being below beside between both but can cannot could did does doing done down during "
    "each either else even ever every everyone everything few for from further get gets getting got had has have "
    "having her here hers him his how however instead into its itself just least less let like many may maybe might "
    "mine more most much must near neither never nobody none nor not nothing now off often once one only onto other "
    "others ought our ours out over own per please quite rather really same shall she should since some somebody "
    "someone something still such than that the their theirs them then there these they thing things this those "
    "though three through till too toward two under until unless upon use used very via want was way well were what "
    "when where whether which while who whom whose why will with within without would yes yet you your yours"
)
CLOSED = frozenset(_CLOSED.split())
"""Function words of English: replacing one breaks a sentence, or turns it round."""

ASKED = 32
"""Most gaps of one text that are shown to the model."""

NEAR = 5
"""How many of the best candidates for a gap take part in the draw."""

WINDOW = 400
"""Characters on each side of a gap that a masked model sees."""


def substitute(
    text: str, share: float, fill_mask: FillMask, rng: random.Random, kept: Collection[str] = ()
) -> str | None:
    """`text` with `share` of its words replaced, at least one; None where nothing can stand for any of them.

    Replaced are words in small letters that carry meaning and are not in `kept` (folded). Punctuation stays.
    """
    spots = [match for match in WORD.finditer(text) if _replaceable(match[0], kept)]
    rng.shuffle(spots)
    asked = spots[:ASKED]
    gaps = [Gap(text[: match.start()], match[0], text[match.end() :]) for match in asked]
    wanted = max(1, round(share * len(spots)))
    chosen: dict[int, tuple[int, str]] = {}
    for match, candidates in zip(asked, fill_mask(gaps) if gaps else [], strict=True):
        if word := _draw([pair for pair in candidates if _fits(pair[0], match[0], kept)][:NEAR], rng):
            chosen[match.start()] = (match.end(), word)
        if len(chosen) == wanted:
            break
    for start, (end, word) in sorted(chosen.items(), reverse=True):
        text = text[:start] + word + text[end:]
    return text if chosen else None


def _replaceable(word: str, kept: Collection[str]) -> bool:
    return REPLACEABLE.fullmatch(word) is not None and word not in CLOSED and word not in kept


def _fits(candidate: str, word: str, kept: Collection[str]) -> bool:
    return candidate != word and _replaceable(candidate, kept)


def _draw(candidates: Sequence[tuple[str, float]], rng: random.Random) -> str | None:
    """One of `candidates`, by their scores."""
    weights = [max(score, 0.0) for _, score in candidates]
    return rng.choices([word for word, _ in candidates], weights)[0] if sum(weights) > 0 else None


def word_source(settings: Words) -> FillMask:
    """The masked model or the thesaurus that the settings name. Raises ModelError or DataError where there is none."""
    if settings.fill_mask and settings.thesaurus:
        raise ConfigError("words: give `fill_mask` or `thesaurus`, not both")
    if settings.fill_mask:
        return MaskedModel.load(Path(settings.fill_mask))
    return read_synonyms(Path(settings.thesaurus) if settings.thesaurus else None)


class MaskedModel:
    """A masked language model on the CPU, in float32."""

    def __init__(self, model: Any, tokenizer: Any, candidates: int = 30) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._candidates = candidates
        self._is_whole = _whole_words(tokenizer)

    @classmethod
    def load(cls, folder: Path) -> "MaskedModel":
        """The model in `folder`. Raises ModelError where there is none with a word for the gap."""
        import torch
        from transformers import AutoModelForMaskedLM, AutoTokenizer

        if not folder.is_dir():
            raise ModelError(f"{folder}: there is no such folder; `fill_mask` names one with a masked language model")
        with loading(str(folder), "a masked language model"):
            model, told = AutoModelForMaskedLM.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if tokenizer.mask_token_id is None or told["missing_keys"]:  # without its head it would offer noise
            raise ModelError(f"{folder}: this model was not trained to fill masks; give one that was, such as a BERT")
        return cls(model.eval(), tokenizer)

    def __call__(self, gaps: Sequence[Gap]) -> list[list[tuple[str, float]]]:
        """Whole words for each gap with their probabilities, the likeliest first."""
        import torch

        if not gaps:
            return []
        mask = self._tokenizer.mask_token
        seen = [(gap.before[-WINDOW:], gap.word, gap.after[:WINDOW]) for gap in gaps]
        whole = [f"{before}{word}{after}" for before, word, after in seen]
        masked = [f"{before}{mask}{after}" for before, _, after in seen]
        inputs = self._tokenizer(whole, masked, padding=True, truncation="only_first", return_tensors="pt")
        with torch.inference_mode():
            logits = self._model(**inputs).logits
        found = []
        for ids, scores in zip(inputs["input_ids"], logits, strict=True):
            # the last one: the user's own text may hold the mask's name
            place = (ids == self._tokenizer.mask_token_id).nonzero()[-1]
            best = scores[place].flatten().softmax(0).topk(min(self._candidates, scores.shape[-1]))
            found.append(self._words(best.indices.tolist(), best.values.tolist()))
        return found

    def _words(self, ids: Sequence[int], scores: Sequence[float]) -> list[tuple[str, float]]:
        tokens = self._tokenizer.convert_ids_to_tokens(ids)
        pairs = zip(ids, tokens, scores, strict=True)
        return [(self._tokenizer.decode([i]).strip(), score) for i, token, score in pairs if self._is_whole(token)]


def _whole_words(tokenizer: Any) -> Callable[[str], bool]:
    """Whether a token begins a word: `##ing` does not in WordPiece; in BPE and Unigram `Ġup` and `▁up` do."""
    for marker in ("Ġ", "▁"):
        if any(token.startswith(marker) for token in tokenizer.tokenize("a b")):
            return lambda token: token.startswith(marker)
    return lambda token: not token.startswith("##")
