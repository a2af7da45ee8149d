"""Which versions are to be served."""

from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.serving.hosting.parts import Standing
from wheelwork.core.serving.hosting.wanted import wanted

VERSION = st.sampled_from(["1", "2", "3", "base"])


def test_the_champion_is_the_registrys() -> None:
    found = wanted(Standing("8", "promote"), (), "7", recent=["6"], pinned=["2"])
    assert found.champion == "8"
    assert list(found.roles.items()) == [
        ("8", "champion"), ("7", "pinned"), ("6", "pinned"), ("2", "pinned"), ("base", "base")
    ]  # fmt: skip


def test_without_a_champion_the_base_answers() -> None:
    assert wanted(Standing(None), (), None) == ("base", {"base": "base"})


def test_nobody_answers_while_it_is_not_known_who_is_champion() -> None:
    assert wanted(None, (), None).champion is None


def test_who_is_refused_is_replaced_by_who_answered_until_now() -> None:
    found = wanted(Standing("8"), (), "7", refused={"8"})
    assert found == ("7", {"7": "champion", "base": "base"})
    assert wanted(Standing("8"), (), "7", refused={"8", "7"}).champion is None


def test_in_a_trial_the_registrys_champion_is_the_candidate() -> None:
    found = wanted(Standing("8", "promote"), {"8", "7"}, "7")
    assert found == ("7", {"7": "champion", "8": "candidate", "base": "base"})


def test_a_candidate_does_not_get_all_traffic_because_the_champion_is_refused() -> None:
    assert wanted(Standing("8", "promote"), {"8", "7"}, None, refused={"7"}).champion is None


def test_a_candidate_that_is_left_is_not_served() -> None:
    assert "8" not in wanted(Standing("8", "promote"), {"7"}, "7").roles


def test_a_first_candidate_is_tried_against_the_base() -> None:
    assert wanted(Standing("1", "promote"), {"1", "base"}, "base") == ("base", {"base": "base", "1": "candidate"})


@given(st.none() | VERSION, st.sets(VERSION, max_size=2), st.none() | VERSION, st.sets(VERSION), st.lists(VERSION))
def test_no_refused_version_is_served_and_the_base_always_is(named, trial, answering, refused, pinned) -> None:  # type: ignore[no-untyped-def]
    standing = None if named is None else Standing(None if named == "base" else named)
    refused.discard("base")
    found = wanted(standing, trial, answering, pinned, pinned, refused)
    assert not set(found.roles) & refused
    assert found.roles["base"] == "base"
    assert found.champion is None or found.champion in found.roles
