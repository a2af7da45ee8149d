"""Documents: cut at headings, named so that seeds can point at them, in windows where they are long, or refused."""

import json
from collections.abc import Callable
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.errors import ConfigError, DataError
from wheelwork.core.generation.documents import Documents, Passage, read_documents, slug, windows
from wheelwork.core.settings import parse
from wheelwork.core.text import words

unhurried = settings(deadline=None, max_examples=80)

TRAVEL = """# Business Travel

Before anything else.

## Hotels
Up to 120 euros.

### The *best* Hotels!
None.

```text
# no heading
```

## [Trains](rail.md) & buses ##

By 2nd class.
## Empty
"""


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes files, given as name → text or bytes, and returns their folder."""

    def write(**files: str | bytes) -> Path:
        for name, said in files.items():
            path = tmp_path / name.replace("__", "/").replace("_md", ".md").replace("_txt", ".txt")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(said.encode() if isinstance(said, str) else said)
        return tmp_path

    return write


def read(path: Path, **changes: object) -> list[Passage]:
    return read_documents(Documents.model_validate({"path": str(path), **changes}))


# cutting at headings


def test_markdown_is_cut_at_its_headings(folder: Callable[..., Path]) -> None:
    assert read(folder(travel_md=TRAVEL)) == [
        Passage("travel#business-travel", "travel", "Business Travel", "Before anything else."),
        Passage("travel#hotels", "travel", "Hotels", "Up to 120 euros."),
        Passage("travel#the-best-hotels", "travel", "The *best* Hotels!", "None.\n\n```text\n# no heading\n```"),
        Passage("travel#trains-buses", "travel", "Trains & buses", "By 2nd class."),
    ]


def test_a_title_without_text_of_its_own_is_no_passage(folder: Callable[..., Path]) -> None:
    assert [passage.id for passage in read(folder(a_md="# Title\n\n## One\nText."))] == ["a#one"]


def test_what_stands_under_no_heading_is_named_by_the_file(folder: Callable[..., Path]) -> None:
    root = folder(a_md="Preface.\n# One\nText.", b_txt="# is a sign\nlike any other")
    assert [(passage.id, passage.heading, passage.text) for passage in read(root)] == [
        ("a", "", "Preface."),
        ("a#one", "One", "Text."),
        ("b", "", "# is a sign\nlike any other"),
    ]


def test_underlined_headings_and_a_yaml_head_are_understood(folder: Callable[..., Path]) -> None:
    root = folder(a_md="---\ntitle: x\n---\nOne\n===\n\nText.\n\nTwo\n---\nMore.\n\n- a\n- b\n\n---\n\nEnd.")
    assert [(passage.id, passage.text) for passage in read(root)] == [
        ("a#one", "Text."),
        ("a#two", "More.\n\n- a\n- b\n\n---\n\nEnd."),
    ]


def test_code_that_is_never_closed_is_kept(folder: Callable[..., Path]) -> None:
    assert read(folder(a_md="# One\n```\n# no heading\nx"))[0].text == "```\n# no heading\nx"


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("Hotels", "hotels"),
        ("  On-call  duty (24/7)!", "on-call-duty-24-7"),
        ("出差 报销", "出差-报销"),
        ("第1章：请假", "第1章-请假"),
        ("Отпуск", ""),
    ],
)
def test_slugs(heading: str, expected: str) -> None:
    assert slug(heading) == expected


def test_headings_in_other_scripts_are_told_by_their_place(folder: Callable[..., Path]) -> None:
    assert [passage.id for passage in read(folder(a_md="# Отпуск\nДа.\n# Больничный\nНет."))] == [
        "a#section-1",
        "a#section-2",
    ]


def test_files_are_read_in_order_and_hidden_or_other_ones_are_not(folder: Callable[..., Path]) -> None:
    root = folder(b_md="b", a_txt="a", sub__c_md="c", d="d", **{".git__e_md": "e"})
    assert [passage.document for passage in read(root)] == ["a", "b", "c"]
    assert [passage.id for passage in read(root / "b.md")] == ["b"]


def test_line_ends_and_marks_of_other_systems_are_read(folder: Callable[..., Path]) -> None:
    assert read(folder(a_md=b"\xef\xbb\xbf# One\r\nText.\r\nMore."))[0] == Passage("a#one", "a", "One", "Text.\nMore.")


# windows


def test_a_long_section_is_cut_into_overlapping_windows_at_sentence_borders(folder: Callable[..., Path]) -> None:
    text = " ".join(f"Sentence number {n} says a little." for n in range(20))  # 6 words each
    found = read(folder(a_md=f"# One\n{text}"), words=30, overlap=12)
    assert [passage.id for passage in found[:3]] == ["a#one", "a#one-2", "a#one-3"]
    assert {passage.heading for passage in found} == {"One"}
    assert found[0].text.endswith("4 says a little.")
    assert found[1].text.startswith("Sentence number 3")
    assert found[-1].text.endswith("19 says a little.")
    assert all(len(words(passage.text)) <= 30 for passage in found)


def test_chinese_counts_characters_and_ends_sentences_without_a_space() -> None:
    cut = windows("员工每年有二十八天年假。" * 10, 24, 11)
    assert len(cut) == 9
    assert set(cut) == {"员工每年有二十八天年假。" * 2}


def test_a_sentence_that_is_too_long_is_cut_between_words() -> None:
    assert windows("word " * 50, 20, 0) == [("word " * 20).strip()] * 2 + [("word " * 10).strip()]
    assert windows("字" * 50, 20, 0) == ["字" * 20] * 2 + ["字" * 10]


KINDS = st.sampled_from(["w{}", "{}'s", "{}.5", "年{}假", "e{}.g.", "a-{}"])


@unhurried
@given(st.lists(st.lists(KINDS, min_size=1, max_size=60), min_size=1), st.integers(20, 60), st.data())
def test_windows_hold_every_word_in_order_and_none_is_too_long(
    said: list[list[str]], longest: int, data: st.DataObject
) -> None:
    number = iter(range(100, 10_000))
    stop = data.draw(st.sampled_from([". ", "。", "\n", "! "]))
    text = "".join(" ".join(kind.format(next(number)) for kind in kinds) + stop for kinds in said).strip()
    overlap = data.draw(st.integers(0, longest // 2))
    cut = windows(text, longest, overlap)
    assert all(0 < len(words(piece)) <= longest for piece in cut)
    starts, ends = [0], [len(cut[0])]
    for piece in cut[1:]:  # one that overlaps begins before the end of the last, any other right after it
        after = text.find(piece, ends[-1])
        follows = after >= 0 and not text[ends[-1] : after].strip()
        starts.append(after if follows else text.find(piece, starts[-1] + 1))
        ends.append(starts[-1] + len(piece))
    assert text.startswith(cut[0]) and starts == sorted(set(starts))
    assert ends[-1] == len(text)
    for end, start in zip(ends, starts[1:], strict=False):
        assert text[end:start].strip() == ""
        assert len(words(text[start:end])) <= overlap


def test_windows_have_no_more_in_common_than_they_may() -> None:
    text = " ".join(f"This is sentence {n}." for n in range(100))  # 4 words each
    for overlap in (0, 3, 4, 9, 20):
        cut = windows(text, 40, overlap)
        shared = [set(words(a)) & set(words(b)) - {"this", "is", "sentence"} for a, b in pairwise(cut)]
        assert {len(both) * 4 for both in shared} == {overlap // 4 * 4}


# what is refused


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "no document in this folder"),
        ({"a.pdf": "x"}, "no document in this folder"),
        ({"a_md": " \n"}, "a.md: the file is empty"),
        ({"a_md": "# One\n## Two\n"}, "a.md: has no text under its headings"),
        ({"a_md": b"\x89PNG\x00\x01"}, "a.md: this is a binary file"),
        ({"a_txt": "é\n".encode() + "é".encode("latin-1")}, "a.txt:2: this line is not UTF-8"),
        ({"a_md": "# One\nx\n# one!\ny"}, "a.md:3: the passage `a#one` is also the one at "),
        ({"a_md": "# One\nx", "b__a_md": "# One\ny"}, "b/a.md:1: the passage `a#one` is also the one at "),
        ({"a_md": "x" * 3000, "b_md": "x" * 3000}, "b.md: with it the documents are larger than 0.005 MB"),
    ],
)
def test_a_mistake_is_told_with_the_file(files: dict[str, str | bytes], said: str, folder: Callable[..., Path]) -> None:
    with pytest.raises(DataError) as error:
        read(folder(**files), max_megabytes=0.005)
    assert said in str(error.value)


def test_a_path_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder or file"):
        read(tmp_path / "handbook")
    (tmp_path / "a.pdf").write_text("x")
    with pytest.raises(DataError, match="must end in"):
        read(tmp_path / "a.pdf")


def test_windows_that_would_not_move_on_are_refused() -> None:
    with pytest.raises(ConfigError, match="more than half"):
        parse(Documents, {"path": "x", "words": 50, "overlap": 26}, "loop.yaml")


# a packaged handbook


def test_the_passages_of_a_scenario_are_those_that_its_rows_name() -> None:
    scenario = Path(str(resources.files("wheelwork.scenarios"))) / "policy_qa"
    found = {passage.id: passage.text for passage in read(scenario / "handbook")}
    assert len(found) == 117
    for line in (scenario / "seeds.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        assert row["quote"] in found[row["passage"]]
    for line in (scenario / "holdout.jsonl").read_text(encoding="utf-8").splitlines():
        assert set(json.loads(line)["passages"]) <= set(found)
