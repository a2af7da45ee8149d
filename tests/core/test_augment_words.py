"""Words that take the place of others: which may be replaced, by what, and where the words come from."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.errors import ConfigError, DataError, ModelError
from wheelwork.core.generation.augment.settings import Words
from wheelwork.core.generation.augment.synonyms import Gap, Synonyms, read_synonyms, wordnet
from wheelwork.core.generation.augment.words import CLOSED, MaskedModel, substitute, word_source
from wheelwork.tests.tiny import tiny_bert

unhurried = settings(deadline=None, max_examples=60)


class Anything:
    """Offers the same words for every gap, and keeps the gaps."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.gaps: list[Gap] = []

    def __call__(self, gaps: Sequence[Gap]) -> list[list[tuple[str, float]]]:
        self.gaps.extend(gaps)
        return [[(word, 1.0) for word in self.words] for _ in gaps]


def test_only_words_in_small_letters_that_carry_meaning_are_replaced() -> None:
    source = Anything("zebra")
    text = "My Router (R2D2) has been slow since 3 May, isn't it broken_pipe?"
    assert substitute(text, 1.0, source, random.Random(0)) == text.replace("slow", "zebra")
    assert [gap.word for gap in source.gaps] == ["slow"]
    assert source.gaps[0].before + "slow" + source.gaps[0].after == text


def test_words_that_are_to_be_kept_neither_go_nor_come() -> None:
    assert substitute("cancel contract", 1.0, Anything("refund", "zebra"), random.Random(0), {"cancel", "refund"}) == (
        "cancel zebra"
    )


@pytest.mark.parametrize("offered", [(), ("the",), ("Zebra",), ("slow",), ("r2",), ("two words",), ("##ing",), ("ab",)])
def test_without_a_fitting_word_there_is_no_other_text(offered: tuple[str, ...]) -> None:
    assert substitute("slow", 1.0, Anything(*offered), random.Random(0)) is None


@pytest.mark.parametrize("text", ["", "42", "OK", "the", "网络很慢"])
def test_a_text_without_such_words_is_left_alone(text: str) -> None:
    assert substitute(text, 1.0, Anything("zebra"), random.Random(0)) is None


@unhurried
@given(st.integers(1, 20), st.floats(0.01, 1), st.integers(0, 2**32))
def test_the_share_says_how_many_words_are_replaced(count: int, share: float, seed: int) -> None:
    text = " ".join(["paper"] * count)
    made = substitute(text, share, Anything("zebra"), random.Random(seed))
    assert made is not None
    assert made.split().count("zebra") == max(1, round(share * count))
    assert substitute(text, share, Anything("zebra"), random.Random(seed)) == made


def test_a_likelier_word_is_drawn_more_often() -> None:
    source = Synonyms({"slow": ["sluggish", "tardy"]})
    made = [substitute("slow", 1.0, source, random.Random(seed)) for seed in range(200)]
    assert made.count("sluggish") > made.count("tardy") > 20


def test_function_words_are_listed_folded() -> None:
    assert {word.casefold() for word in CLOSED} == CLOSED


# thesauri


def test_a_thesaurus_in_lines(tmp_path: Path) -> None:
    file = tmp_path / "words.tsv"
    file.write_text("# ours\nSlow\tsluggish, tardy,\n\nbill\tinvoice\n", encoding="utf-8")
    assert read_synonyms(file)([Gap("", "slow", ""), Gap("", "bill", ""), Gap("", "line", "")]) == [
        [("sluggish", 1.0), ("tardy", 0.5)],
        [("invoice", 1.0)],
        [],
    ]


def test_a_thesaurus_in_json(tmp_path: Path) -> None:
    file = tmp_path / "words.json"
    file.write_text(json.dumps({"bill": ["invoice"]}), encoding="utf-8")
    assert read_synonyms(file)([Gap("", "bill", "")]) == [[("invoice", 1.0)]]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.tsv", "slow\tsluggish\nbill invoice\n", "a.tsv:2: expected a word, a tab"),
        ("a.json", "{", "is not valid JSON"),
        ("a.json", '{"a": "b"}', "each with a list of synonyms"),
    ],
)
def test_a_thesaurus_that_cannot_be_read_says_why(tmp_path: Path, name: str, text: str, says: str) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=says):
        read_synonyms(file)


def test_a_thesaurus_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as a thesaurus"):
        read_synonyms(tmp_path / "none.tsv")
    with pytest.raises(DataError, match=r"index\.noun: there is no such file"):
        read_synonyms(tmp_path)


LICENCE = "  1 This software and database is being provided to you, the LICENSEE\n"
INDEX = {
    "noun": "bill n 2 1 @ 2 1 00000100 00000200\nslow n 1 0 1 0 00000100\n"
    "works n 1 0 1 0 00000300\nwork n 1 0 1 0 00000300\n",
    "verb": "buy v 1 2 @ ~ 1 1 00000400\nfast v 1 0 1 1 00000400\n",
    "adj": "slow a 1 0 1 1 00000500\nfast a 1 0 1 1 00000500\n",
    "adv": "quickly r 1 0 1 0 00000600\n",
}
DATA = {
    "noun": "00000100 21 n 03 bill 0 invoice 0 account_statement 0 001 @ 1 n 0000 | a list of what is owed | of what\n"
    "00000200 05 n 02 bill 0 beak 0 000 | of a bird\n00000300 06 n 02 works 0 plant 0 000 | a factory\n",
    "verb": "00000400 40 v 02 buy 0 purchase 0 001 @ 1 v 0000 01 + 08 00 | get\n",
    "adj": "00000500 00 s 02 slow 0 sluggish(p) 0 000 | not quick\n",
    "adv": "00000600 02 r 0b quickly 0 rapidly 0 speedily 0 a 0 b 0 c 0 d 0 e 0 f 0 g 0 h 0 000 | fast\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part in INDEX:
        (tmp_path / f"index.{part}").write_text(LICENCE + INDEX[part], encoding="utf-8")
        (tmp_path / f"data.{part}").write_text(LICENCE + DATA[part], encoding="utf-8")
    return tmp_path


def test_wordnet_gives_the_commonest_sense_of_words_of_one_part_of_speech(folder: Path) -> None:
    assert wordnet(folder) == {
        "bill": ["invoice"],  # the first sense, and no synonym of two words
        "buy": ["purchase"],
        "quickly": ["rapidly", "speedily", "a"],
        "work": ["works", "plant"],
    }


def test_counts_say_what_a_word_usually_is(folder: Path) -> None:
    counts = "slow%3:00:01:: 1 8\nslow%1:06:00:: 1 2\nfast%2:34:00:: 1 3\nfast%3:00:01:: 1 9\n"
    (folder / "cntlist.rev").write_text(counts, encoding="utf-8")
    found = wordnet(folder)
    assert found["slow"] == ["sluggish"]  # 8 to 2
    assert "fast" not in found  # 9 to 3


def test_wordnet_is_found_where_nltk_keeps_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "nltk" / "corpora" / "wordnet"
    place.parent.mkdir(parents=True)
    place.symlink_to(folder)
    monkeypatch.setenv("NLTK_DATA", f"{tmp_path / 'nothing'}:{tmp_path / 'nltk'}")
    assert word_source(Words())([Gap("", "buy", "")]) == [[("purchase", 1.0)]]


def test_no_wordnet_anywhere_is_an_error_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("wheelwork.core.generation.augment.synonyms.PLACES", ("~/nltk_data/corpora/wordnet",))
    monkeypatch.delenv("NLTK_DATA", raising=False)
    with pytest.raises(DataError, match="no WordNet is installed"):
        word_source(Words())


def test_a_model_and_a_thesaurus_are_one_too_many() -> None:
    with pytest.raises(ConfigError, match="not both"):
        word_source(Words(fill_mask="a", thesaurus="b"))


# a masked model

VOCABULARY = ["my", "router", "is", "slow", "broken", "old", "and", "##ing", "42", "wireless", "again", "today"]


def tiny_masked_bert(folder: Path) -> Path:
    """The same with the head that fills masks."""
    import torch
    from transformers import AutoConfig, BertForMaskedLM

    tiny_bert(folder, VOCABULARY)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertForMaskedLM(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def masked_model(tmp_path_factory: pytest.TempPathFactory) -> MaskedModel:
    return MaskedModel.load(tiny_masked_bert(tmp_path_factory.mktemp("bert")))


def test_a_masked_model_offers_whole_words_the_likeliest_first(masked_model: MaskedModel) -> None:
    text = "my router is slow today [MASK]"  # the text itself may hold the mask
    gaps = [Gap("my router is ", "slow", " today"), Gap("my ", "router", " is slow " * 200), Gap("", text, "")]
    found = masked_model(gaps)
    assert len(found) == 3
    for candidates in found:
        scores = [score for _, score in candidates]
        assert scores == sorted(scores, reverse=True)
        assert 0 < sum(scores) <= 1 + 1e-5
        assert {word for word, _ in candidates} >= set(VOCABULARY) - {"##ing"}
        assert "##ing" not in dict(candidates)
    assert masked_model(gaps[:1])[0][0][0] == found[0][0][0]
    assert masked_model([]) == []


def test_a_masked_model_replaces_words(masked_model: MaskedModel) -> None:
    made = substitute("My router is slow 42 today.", 1.0, masked_model, random.Random(0))
    assert made is not None
    first, *rest = made.rstrip(".").split()
    assert first == "My"
    assert rest[1] == "is" or rest[1] in VOCABULARY
    assert rest[3] == "42"
    assert {rest[0], rest[2], rest[4]} <= {"router", "slow", "broken", "old", "wireless", "today"}


def test_a_folder_without_a_masked_model_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no such folder"):
        word_source(Words(fill_mask=str(tmp_path / "none")))
    with pytest.raises(ModelError, match="cannot be loaded as a masked language model"):
        word_source(Words(fill_mask=str(tmp_path)))


def test_an_encoder_that_cannot_fill_masks_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="was not trained to fill masks"):
        MaskedModel.load(tiny_bert(tmp_path, VOCABULARY))
