"""The next round's plan: a share of it goes to what is asked for, and a round given again reads what it read."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.artifacts import ArtifactStore
from wheelwork.core.attribution.findings import Attribution
from wheelwork.core.attribution.following import categories_asked, cells_asked
from wheelwork.core.attribution.journal import Journal
from wheelwork.core.attribution.remedies import MoreSamples
from wheelwork.core.errors import DataError
from wheelwork.core.generation.following import followed, followed_mix
from wheelwork.core.generation.planning import Controls, Generation, cells, next_wave, quotas

CATEGORIES = ["offline", "billing", "move"]
PARTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 500), min_size=1)
ASKED = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 1e6))


@given(PARTS, ASKED, st.floats(0, 1))
def test_the_total_stays_and_what_is_asked_for_gets_its_share(
    parts: dict[str, int], asked: dict[str, float], share: float
) -> None:
    found = followed(parts, asked, share)
    assert list(found) == list(parts) and sum(found.values()) == sum(parts.values())
    assert min(found.values()) >= 0 and found == followed(parts, asked, share)
    wanted = [name for name in parts if asked.get(name, 0) > 0]
    if wanted:
        directed = share * sum(parts.values())
        assert sum(found[name] for name in wanted) >= directed - 1 - len(parts)


@given(PARTS, ASKED)
def test_nothing_changes_where_nothing_is_followed_or_asked_for(parts: dict[str, int], asked: dict[str, float]) -> None:
    assert followed(parts, asked, 0.0) == parts == followed(parts, {}, 0.5)


def test_all_of_a_round_can_go_to_what_is_asked_for() -> None:
    assert followed({"a": 10, "b": 10}, {"b": 3.0}, 1.0) == {"a": 0, "b": 20}
    assert followed({"a": 10, "b": 10}, {"b": 3.0}, 0.5) == {"a": 5, "b": 15}


@given(st.dictionaries(st.sampled_from("abc"), st.floats(0.1, 9), min_size=1), ASKED, st.floats(0, 1))
def test_the_planned_mix_follows_too(planned: dict[str, float], asked: dict[str, float], share: float) -> None:
    mixed = followed_mix(planned, asked, share)
    assert list(mixed) == list(planned)
    if mixed != planned:
        assert sum(mixed.values()) == pytest.approx(1)


def test_a_remedy_is_for_the_cells_with_its_controls_or_for_all_of_its_category() -> None:
    grid = cells(CATEGORIES, Generation(controls=Controls(difficulty=(1, 5))))
    hard = MoreSamples(category="billing", controls={"difficulty": "5"}, count=12)
    assert cells_asked([hard, hard], grid) == {"billing · difficulty 5": 24}
    long = MoreSamples(category="billing", controls={"length": "about 30 words"}, count=12)
    assert cells_asked([long], grid) == {"billing · difficulty 1": 6, "billing · difficulty 5": 6}
    assert cells_asked([MoreSamples(category="gone", count=9)], grid) == {}
    assert categories_asked([hard, long], grid) == {"billing": 24}


def test_the_plan_gives_its_share_to_what_earlier_samples_lack() -> None:
    wishes = Generation(samples=90, follow=0.5)
    assert next_wave({}, 0, 0, CATEGORIES, wishes) == quotas(90, CATEGORIES, wishes)
    assert next_wave({}, 0, 0, CATEGORIES, wishes, {"move": 8.0}) == {"offline": 15, "billing": 15, "move": 60}
    unfollowed = wishes.model_copy(update={"follow": 0.0})
    assert next_wave({}, 0, 0, CATEGORIES, unfollowed, {"move": 8.0}) == {"offline": 30, "billing": 30, "move": 30}


def test_what_is_kept_is_topped_up_to_the_plan_that_follows() -> None:
    wishes = Generation(samples=500, keep=30, follow=0.5)
    first = next_wave({}, 0, 0, CATEGORIES, wishes, {"move": 1.0})
    assert first == {"offline": 5, "billing": 5, "move": 20}
    assert next_wave({"offline": 5, "billing": 5, "move": 10}, 30, 1, CATEGORIES, wishes, {"move": 1.0}) == {"move": 15}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path, "desk", clock=lambda: 0.0)


def test_a_round_reads_what_the_last_other_round_found(journal: Journal) -> None:
    assert journal.read_by("0") is None and not journal.path.exists()
    journal.record("0", "a" * 64, None)
    assert journal.read_by("1") == "a" * 64
    journal.record("1", "b" * 64, "a" * 64)
    journal.record("2", None, "b" * 64)
    assert journal.read_by("3") == "b" * 64, "a round that measured nothing leaves nothing to follow"


def test_a_round_that_is_given_again_reads_what_it_read(journal: Journal) -> None:
    journal.record("0", "a" * 64, None)
    journal.record("1", "b" * 64, "a" * 64)
    assert journal.read_by("0") is None and journal.read_by("1") == "a" * 64
    journal.record("0", "a" * 64, None)
    assert len(journal.entries()) == 2, "given again it leaves no second line"
    assert journal.read_by("2") == "b" * 64


def test_a_line_that_a_kill_cut_short_is_overwritten_and_a_damaged_one_is_named(journal: Journal) -> None:
    journal.record("0", "a" * 64, None)
    with journal.path.open("ab") as stream:
        stream.write(b'{"at": "20')
    assert len(journal.entries()) == 1
    journal.record("1", "b" * 64, None)
    assert [entry.round for entry in journal.entries()] == ["0", "1"]
    journal.path.write_text("nonsense\n" + journal.path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(DataError, match=r"log\.jsonl:1: this line of the attributions is damaged"):
        journal.entries()


def test_an_attribution_is_found_by_its_digest(journal: Journal, tmp_path: Path) -> None:
    found = Attribution(suites={})
    stored = ArtifactStore(str(tmp_path / "artifacts")).write_json(found.model_dump(mode="json"))
    assert journal.attribution(stored.digest) == found
    with pytest.raises(DataError, match="missing"):
        journal.attribution("c" * 64)
