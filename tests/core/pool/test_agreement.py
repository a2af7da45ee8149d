"""Agreement of reviewers, against figures worked out elsewhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from wheelwork.core.pool.agreement import PairAgreement, pairwise_agreement

SAID = st.sampled_from(["accept", "reject", "unsure"])


def test_a_worked_example() -> None:
    """Cohen's table of two people and 50 proposals: 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: p = 0.7, e = 0.5."""
    table = {("accept", "accept"): 20, ("accept", "reject"): 5, ("reject", "accept"): 10, ("reject", "reject"): 15}
    votes = [{"a": one, "b": other} for (one, other), count in table.items() for _ in range(count)]
    (found,) = pairwise_agreement(votes)
    assert found[:3] == ("a", "b", 50) and found.share == 0.7 and found.kappa == pytest.approx(0.4)


@given(st.lists(st.tuples(SAID, SAID), min_size=1, max_size=40))
def test_it_is_cohens_kappa(pairs: list[tuple[str, str]]) -> None:
    (found,) = pairwise_agreement({"a": one, "b": other} for one, other in pairs)
    assert found.share == sum(one == other for one, other in pairs) / len(pairs)
    if found.kappa is None:
        assert len({said for pair in pairs for said in pair}) == 1
    else:
        ones, others = zip(*pairs, strict=True)
        assert found.kappa == pytest.approx(cohen_kappa_score(ones, others))


def test_only_rows_that_both_decided_on_count() -> None:
    votes = [{"a": "accept"}, {"a": "accept", "b": "accept"}, {"b": "reject", "c": "reject"}, {}]
    assert pairwise_agreement(votes) == [PairAgreement("a", "b", 1, 1.0, None), PairAgreement("b", "c", 1, 1.0, None)]
    assert pairwise_agreement([]) == [] and pairwise_agreement([{"a": "accept"}]) == []
