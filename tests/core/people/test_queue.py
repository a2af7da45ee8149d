"""What to label next, and what needs nobody: by a fake encoder, on a loop of three labels."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.errors import ConfigError, DataError, LeakError
from wheelwork.core.loops import Loop, load_loop
from wheelwork.core.people.labels import is_queue, take_labels
from wheelwork.core.people.nearest_mean import NearestMean
from wheelwork.core.people.pseudo import HEAVIEST, accept_pseudo, pseudo_labels, pseudo_row
from wheelwork.core.people.queue import Queue, queue_of, uncertainty
from wheelwork.core.people.traffic import Told, Traffic, model_of, require_labels
from wheelwork.core.people.writing import write_pseudo, write_queue, write_suggestions
from wheelwork.core.pool.store import Pool
from wheelwork.core.rows import read_rows
from wheelwork.tests.core.pool.rows import conclude, sample
from wheelwork.tests.e2e.command import SAID, rows, tiny_loop, write_rows
from wheelwork.tests.fakes import FakeEncoder

SEEDS = [
    {"text": f"{' '.join(word for place, word in enumerate(words) if place != n % 4)} seed{n}", "label": label}
    for label, words in SAID.items()
    for n in range(12)
]
CLEAR = "bill high euros charge for a case"
UNSURE = "modem wireless euros unrelated words here"


class Desk:
    """A loop with its pool, and traffic for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = tiny_loop(folder / "loop", models=False)
        write_rows(self.folder / "seeds.jsonl", SEEDS)
        self.pool = Pool(folder / "home", "tiny")
        self.file = folder / "traffic.jsonl"

    @property
    def loop(self) -> Loop:
        return load_loop(self.folder)

    def told(self, texts: list[Any]) -> tuple[Traffic, NearestMean, Iterator[Told]]:
        self.file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        view, encoder = self.pool.view(self.pool.head()), FakeEncoder()
        traffic = Traffic(self.file, self.loop, view, self.pool)
        model = model_of(self.loop, view, self.pool, encoder)
        return traffic, model, traffic.told_by(model, encoder)

    def queue(self, texts: list[Any], count: int = 10, max_cosine: float = 0.9) -> Queue:
        _, model, told = self.told(texts)
        return queue_of(told, model.labels, count, "entropy", max_cosine)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@given(st.lists(st.floats(0.001, 1), min_size=2, max_size=9), st.sampled_from(["entropy", "margin"]))
def test_uncertainty_lies_between_certain_and_even(weights: list[float], by: Any) -> None:
    told = np.array(weights) / sum(weights)
    even, sure = np.full(len(told), 1 / len(told)), np.eye(len(told))[0]
    found = uncertainty(np.stack([sure, told, even]), by)
    assert found[0] == pytest.approx(0) and found[2] == pytest.approx(1) and -1e-9 <= found[1] <= 1 + 1e-9


def test_what_the_labelled_rows_tell_least_about_comes_first(desk: Desk) -> None:
    texts = [CLEAR, UNSURE, "line down modem red since noon"]
    found = desk.queue(texts)
    assert found.rows[0]["text"] == UNSURE
    assert [row["uncertainty"] for row in found.rows] == sorted(
        (row["uncertainty"] for row in found.rows), reverse=True
    )
    assert {row["text"]: row["suggested"] for row in found.rows}[CLEAR] == "bill"


def test_fifty_rows_are_fifty_questions(desk: Desk) -> None:
    found = desk.queue([UNSURE, f"{UNSURE}!!", f"{UNSURE} here", CLEAR], max_cosine=0.8)
    assert [row["text"] for row in found.rows][1:] == [CLEAR] and found.alike == 1  # `!!` is the same text
    assert len(desk.queue([UNSURE, f"{UNSURE} here", CLEAR], max_cosine=1.0).rows) == 3


def test_what_is_known_held_out_or_unreadable_is_passed_over_and_counted(desk: Desk) -> None:
    conclude(desk.pool, 0, [sample("the pool knows this text", "wifi")])
    texts = [
        SEEDS[0]["text"].upper(),
        rows(1, start=100)[0]["text"],
        "The pool knows this text!",
        "  ",
        ["no text"],
        UNSURE,
        UNSURE,
    ]
    traffic, model, told = desk.told(texts)
    found = queue_of(told, model.labels, 10, "margin", 0.9)
    assert [row["text"] for row in found.rows] == [UNSURE]
    assert traffic.counts == {
        "read": 7, "labelled": 2, "held out": 1, "empty": 1, "not readable": 1, "said before": 1,
    }  # fmt: skip


def test_the_pool_teaches_the_classifier_but_not_by_its_own_guesses(desk: Desk) -> None:
    _, before, _ = desk.told([UNSURE])
    conclude(desk.pool, 0, [sample("zebra zebra zebra", "wifi", origin="pseudo")])
    _, guessed, _ = desk.told([UNSURE])
    conclude(desk.pool, 1, [sample("zebra zebra zebra crossing", "wifi", origin="human")])
    _, taught, _ = desk.told([UNSURE])
    assert np.array_equal(before.means, guessed.means) and not np.array_equal(before.means, taught.means)
    assert len(taught.own) == len(before.own) + 1  # a person's label is left out in turn, as the seeds are


def test_a_task_without_labels_has_none_to_ask_for(desk: Desk) -> None:
    from wheelwork.core.naming import find_loop

    with pytest.raises(ConfigError, match="its task has no labels"):
        require_labels(load_loop(find_loop("policy_qa")))


# labels that come back


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet", ".tsv", ".json"])
def test_labels_come_back_from_any_kind_of_file(desk: Desk, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"queue{suffix}"
    write_queue(path, desk.queue([UNSURE, CLEAR]).rows)
    assert is_queue(path)
    told = [row | {"label": "wifi" if row["text"] == UNSURE else ""} for _, row in read_rows(path)]
    back = tmp_path / "back.jsonl"
    write_rows(back, told)
    done = take_labels(desk.pool, desk.folder, back)
    assert done.counts == {"labelled": 1, "not labelled": 1}
    (entry,) = desk.pool.view(desk.pool.head()).accepted
    assert (entry.origin, entry.category, entry.source) == ("human", "wifi", "back.jsonl:1")
    (made,) = desk.pool.samples([entry])
    assert made.prompt == UNSURE and made.completion == "wifi" and made.messages[0].role == "system"
    assert take_labels(desk.pool, desk.folder, back).line is None


def labelled(path: Path, *given: dict[str, str]) -> Path:
    write_rows(path, [{"text": UNSURE} | row for row in given])
    return path


def test_several_people_are_compared_and_a_tie_labels_nothing(desk: Desk, tmp_path: Path) -> None:
    path = labelled(
        tmp_path / "q.jsonl",
        {"text": "one text", "label.ann": "wifi", "label.bo": "wifi"},
        {"text": "another text", "label.ann": "wifi", "label.bo": "bill"},
    )
    done = take_labels(desk.pool, desk.folder, path)
    assert done.counts == {"labelled": 1, "not labelled": 1}
    assert [(pair.one, pair.other, pair.share) for pair in done.agreement] == [("ann", "bo", 0.5)]


def test_people_have_the_last_word_on_a_label(desk: Desk, tmp_path: Path) -> None:
    wrong = sample(UNSURE, "line")
    conclude(desk.pool, 0, [wrong])
    done = take_labels(desk.pool, desk.folder, labelled(tmp_path / "q.jsonl", {"label": "wifi"}))
    assert done.counts == {"labelled": 1, "of them with another label before": 1}
    view = desk.pool.view(desk.pool.head())
    assert view.excluded == {wrong.id: "people say wifi"}
    assert [(entry.origin, entry.category) for entry in view.accepted] == [("human", "wifi")]


@pytest.mark.parametrize(
    ("row", "error", "says"),
    [
        ({"label": "wify"}, DataError, "q.jsonl:1: unknown label `wify`; did you mean `wifi`?"),
        (
            {"label": "wifi", "text": rows(1, start=100)[0]["text"].upper()},
            LeakError,
            "q.jsonl:1: this text is held out",
        ),
        ({"label": "wifi", "text": " "}, DataError, "q.jsonl:1: `text` is missing or empty"),
    ],
)
def test_a_label_that_cannot_be_is_refused(
    desk: Desk, tmp_path: Path, row: dict[str, str], error: type[Exception], says: str
) -> None:
    with pytest.raises(error) as raised:
        take_labels(desk.pool, desk.folder, labelled(tmp_path / "q.jsonl", row))
    assert says in str(raised.value)
    assert desk.pool.head() is None


def test_argilla_and_label_studio_get_suggestions_and_give_labels(desk: Desk, tmp_path: Path) -> None:
    found = desk.queue([UNSURE, CLEAR])
    write_suggestions(tmp_path / "a.json", found.rows, "argilla", ["bill", "line", "wifi"])
    records = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert records[1]["fields"] == {"text": CLEAR} and records[1]["suggestions"]["label"]["value"] == "bill"
    records[0]["responses"] = {"label": [{"value": "wifi", "user_id": "ann"}]}
    (tmp_path / "a.json").write_text(json.dumps(records), encoding="utf-8")
    assert take_labels(desk.pool, desk.folder, tmp_path / "a.json").counts == {"labelled": 1, "not labelled": 1}

    write_suggestions(tmp_path / "l.json", found.rows, "label-studio", ["bill", "line", "wifi"])
    assert '<Choice value="wifi"/>' in (tmp_path / "l.xml").read_text(encoding="utf-8")
    tasks = json.loads((tmp_path / "l.json").read_text(encoding="utf-8"))
    (choice,) = tasks[1]["predictions"][0]["result"]
    assert choice["value"] == {"choices": ["bill"]} and 0 < tasks[1]["predictions"][0]["score"] <= 1
    tasks[1]["annotations"] = [{"completed_by": {"email": "bo@example.org"}, "result": [choice]}]
    (tmp_path / "l.json").write_text(json.dumps(tasks), encoding="utf-8")
    assert take_labels(desk.pool, desk.folder, tmp_path / "l.json").counts == {"labelled": 1, "not labelled": 1}
    assert {entry.category for entry in desk.pool.view(desk.pool.head()).accepted} == {"wifi", "bill"}


# pseudo-labels


def test_sure_texts_get_a_label_that_weighs_less_than_a_persons(desk: Desk, tmp_path: Path) -> None:
    _, _, told = desk.told([CLEAR, UNSURE, "line down modem red"])
    found = pseudo_labels(told, desk.loop, desk.pool.view(None), 0.8, 100, "traffic.jsonl")
    assert {one.prompt: one.label for one in found.samples} == {CLEAR: "bill", "line down modem red": "line"}
    assert found.counts == {"not sure enough": 1}
    for one in found.samples:
        assert one.origin == "pseudo" and one.weight == min(one.scores["probability"], HEAVIEST) < 1
    write_pseudo(tmp_path / "p.jsonl", map(pseudo_row, found.samples))
    row = json.loads((tmp_path / "p.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert row["label"] == "bill" and row["weight"] == pytest.approx(row["probability"], abs=0.02)


def test_a_label_has_a_cap_and_keeps_its_surest(desk: Desk) -> None:
    texts = [f"bill high euros charge {'word ' * n}number{n}" for n in range(6)]
    _, _, told = desk.told(texts)
    found = pseudo_labels(told, desk.loop, desk.pool.view(None), 0.5, 2, "t")
    assert len(found.samples) == 2 and found.counts["above the cap"] == 4
    assert found.samples[0].scores["probability"] >= found.samples[1].scores["probability"]
    assert found.samples[0].prompt == texts[0]


def test_pseudo_labels_enter_the_pool_once_and_never_what_was_excluded(desk: Desk) -> None:
    def labels() -> Any:
        _, _, told = desk.told([CLEAR, "line down modem red"])
        return pseudo_labels(told, desk.loop, desk.pool.view(desk.pool.head()), 0.8, 100, "t")

    first = labels().samples
    line = accept_pseudo(desk.pool, first, "a try")
    assert line is not None and line.accepted == 2
    assert accept_pseudo(desk.pool, first, "again") is None
    assert labels().samples == []  # they are in the pool
    desk.pool.exclude({first[0].id: "wrong"})
    again = labels()
    assert again.samples == [] and again.counts == {"excluded": 1}
