"""Who is in a trial: sticky, monotone, uniform, and unrelated to other trials."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare
from wheelwork.core.serving.canary.assigning import Places, asker, sticky_of
from wheelwork.core.serving.exchange import Exchange

USERS = [f"user {number}" for number in range(20_000)]


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_who_is_in_at_a_share_is_in_at_a_greater_one(user: str, share: float, other: float) -> None:
    place = Places("router", "7")
    low, high = sorted((share, other))
    assert 0 <= place(user) < 1
    assert (place(user) < high) >= (place(user) < low)
    assert place(user) == Places("router", "7")(user)


def test_places_are_uniform() -> None:
    place = Places("router", "7")
    counts = Counter(int(20 * place(user)) for user in USERS)
    assert chisquare([counts[bin] for bin in range(20)]).pvalue > 0.001


def test_trials_have_nothing_to_do_with_each_other() -> None:
    for other in (Places("router", "8"), Places("other", "7"), Places("router", "7", "shadow")):
        place = Places("router", "7")
        table = np.zeros((2, 2))
        for user in USERS:
            table[int(place(user) < 0.25), int(other(user) < 0.25)] += 1
        assert chi2_contingency(table).pvalue > 0.001


def test_a_request_belongs_to_its_user_else_its_conversation_else_to_itself() -> None:
    assert sticky_of("u", "c", "r") == "u" and sticky_of("", "c", "r") == "c" and sticky_of("", "", "r") == "r"
    mirrored = Exchange(id="s", at=0, loop="l", version="2", role="shadow", messages=(), reply="", latency=1,
                        shadow_of="r")  # fmt: skip
    assert asker(mirrored) == "r" and asker(mirrored.model_copy(update={"user": "u"})) == "u"
