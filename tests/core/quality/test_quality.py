"""The funnel: each filter with its reasons, alone and in a batch, and the counts that must add up."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.quality.context import FunnelContext, Judgements
from wheelwork.core.quality.duplicates import ExactDuplicates, NearDuplicates
from wheelwork.core.quality.filters import LabelAgreement, Novelty, Rules, label_margins
from wheelwork.core.quality.funnel import Filter, Funnel
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.fakes import FakeEncoder

SEEDS = [
    ("the modem shows a red light and nothing works", "offline"),
    ("there is no internet and the modem is dark", "offline"),
    ("my bill is higher than last month", "billing"),
    ("you charged my card twice on the bill", "billing"),
]
HELD_OUT = ["why does the little box on the wall blink red all day long"]
LONG = "please tell me why the parcel that i sent to my sister in march never came to her door"


def sample(text: str, label: str = "offline", finish: str = "stop") -> Sample:
    turns = [Message(role="system", content="the customer"), Message(role="user", content=text)]
    turns.append(Message(role="assistant", content=label))
    return Sample.make(turns, task="classify", label=label, origin="teacher", controls={"finish": finish})


def context(encoder: FakeEncoder | None = None, seeds: Sequence[tuple[str, str]] = SEEDS) -> FunnelContext:
    return FunnelContext(encoder or FakeEncoder(), seeds, HELD_OUT)


def reasons(judge: Filter, *samples: Sample) -> list[str | None]:
    return judge(samples, context()).reasons


def reason(judge: Filter, text: str, **rest: Any) -> str | None:
    """The reason for one sample, which must be the same as in a batch with others."""
    own = sample(text, **rest)
    (alone,) = reasons(judge, own)
    assert reasons(judge, own, sample("a quite different message about my landline"))[0] == alone
    return alone


# rules


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("my internet is gone since yesterday", None),
        ("", "empty"),
        (" ?! … ", "empty"),
        ("no internet", "too_short"),
        ("网络断", None),
        ("网络", "too_short"),
        (" ".join(f"word{n}" for n in range(80)), None),
        (" ".join(f"word{n}" for n in range(81)), "too_long"),
        ("As an AI, I cannot be a customer", "debris"),
        ("Topic: the internet is gone", "debris"),
        ("move_house I am moving next week", None),
        ("down and down and down and down and down", "repetition"),
        ("it is down and it is down again", None),
    ],
)
def test_rules(text: str, found: str | None) -> None:
    assert reason(Rules(), text) == found


def test_a_cut_text_is_dropped_unless_it_may_be_cut() -> None:
    assert reason(Rules(), "my internet is gone since", finish="length") == "cut_off"
    assert reason(Rules(allow_cut=True), "my internet is gone since", finish="length") is None
    assert reason(Rules(), "my internet is gone since", finish="other") is None
    code = sample("write a function that adds", finish="length").model_copy(update={"task": "code"})
    assert reasons(Rules(), code) == [None]  # its test passed, so nothing of it is missing


@pytest.mark.parametrize(
    ("text", "label", "found"),
    [
        ("move_house: I am moving next week", "move_house", "debris"),
        ("please put me down for Move_House thanks", "move_house", "debris"),
        ("I am moving house next week", "move_house", None),
        ("I want a refund for last month", "refund", None),
        ("there was no answer from anybody", "no", None),
    ],
)
def test_a_label_gives_the_machine_away_only_when_nobody_would_write_it(
    text: str, label: str, found: str | None
) -> None:
    assert reason(Rules(), text, label=label) == found


def test_banned_phrases_are_the_users_whatever_their_case() -> None:
    assert reason(Rules(banned=("Lorem IPSUM",)), "so lorem ipsum dolor sit") == "debris"
    assert reason(Rules(banned=("Lorem IPSUM",)), "as an ai i cannot say") is None


def test_rules_do_not_look_at_the_prompt_around_the_message() -> None:
    assert "the customer" in Rules().banned
    assert reason(Rules(), "my internet is gone since yesterday") is None


# duplicates


def test_exact_duplicates_are_named_by_what_they_repeat() -> None:
    texts = ["A new message.", "a  new message!", SEEDS[0][0].upper(), f"{HELD_OUT[0]}?", "another message"]
    assert reasons(ExactDuplicates(), *map(sample, texts)) == [None, "duplicate", "copies_seed", "held_out", None]


def test_near_duplicates_are_named_by_what_they_nearly_repeat() -> None:
    texts = [
        LONG,
        LONG.replace("please tell", "kindly tell"),
        SEEDS[0][0] + " now",
        HELD_OUT[0] + " now",
        "something else entirely",
    ]
    assert reasons(NearDuplicates(), *map(sample, texts)) == [
        None,
        "near_duplicate",
        "near_seed",
        "near_held_out",
        None,
    ]


def test_a_dropped_text_is_no_ground_to_drop_another() -> None:
    seed, middle, far = "a b c d e f g h i j", "a b c d e f g h x y", "k l c d e f g h x y"
    near = FunnelContext(FakeEncoder(), [(seed, "offline")])
    judge = NearDuplicates(threshold=0.5, permutations=1024)  # Jaccard 0.6 seed–middle and middle–far, 0.33 seed–far
    assert judge([sample(middle), sample(far)], near).reasons == ["near_seed", None]
    assert judge([sample(far), sample(middle)], near).reasons == [None, "near_seed"]


def test_near_duplicates_need_no_seeds() -> None:
    alone = FunnelContext(FakeEncoder(), [])
    assert NearDuplicates()([sample(LONG), sample(LONG)], alone).reasons == [None, "near_duplicate"]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from([LONG, LONG + " x", "one two three", "four five", ""]), max_size=8))
def test_duplicate_filters_keep_the_first_of_each(texts: list[str]) -> None:
    for judge in (ExactDuplicates(), NearDuplicates(threshold=1)):
        kept = [text for text, why in zip(texts, reasons(judge, *map(sample, texts)), strict=True) if why is None]
        assert kept == list(dict.fromkeys(texts))


# embeddings


def test_what_says_just_what_a_seed_says_is_not_novel() -> None:
    again, new = "nothing works and the modem shows a red light", "my router lost its password"
    judged = Novelty()([sample(again), sample(new)], context())
    assert judged.reasons == ["not_novel", None]
    assert judged.scores["nearest_seed"] == [pytest.approx(1), pytest.approx(0, abs=0.5)]


def test_a_label_must_agree_with_its_seeds() -> None:
    samples = [sample("the modem is red", "offline"), sample("the modem is red", "billing")]
    judged = LabelAgreement()(samples, context())
    assert judged.reasons == [None, "label_disagrees"]
    margin, opposite = judged.scores["label_margin"]
    assert margin > 0.05
    assert opposite == pytest.approx(-margin)


def test_a_text_between_two_labels_is_kept_only_by_a_small_margin() -> None:
    seeds = [("modem red", "offline"), ("bill high", "billing")]
    between = [sample("modem red bill high", label) for label in ("offline", "billing")]
    assert LabelAgreement(margin=0.05)(between, context(seeds=seeds)).reasons == ["label_disagrees"] * 2
    assert LabelAgreement(margin=-0.05)(between, context(seeds=seeds)).reasons == [None, None]


def test_margins_are_own_minus_best_other() -> None:
    cosines = np.array([[0.9, 0.2, 0.5], [0.9, 0.2, 0.5]], dtype=np.float32)
    assert label_margins(cosines, np.array([0, 1])) == pytest.approx([0.4, -0.7])


def test_each_text_is_encoded_once() -> None:
    encoder = FakeEncoder()
    shared = context(encoder)
    batch = [sample("my router lost its password"), sample("the modem is red")]
    for judge in (Novelty(), LabelAgreement(), Novelty()):
        judge(batch, shared)
    assert sorted(encoder.encoded) == sorted({*(text for text, _ in SEEDS), *(s.prompt for s in batch)})


# the funnel

WRITTEN = [
    sample("the dark modem is dead with its red light on"),
    sample("no"),
    sample(SEEDS[0][0]),
    sample("the dark modem is dead with its red light on!"),
    sample("the bill for my card is charged twice"),  # labelled offline
    sample("why was my card charged on this bill", "billing"),
    sample(HELD_OUT[0] + " now"),
]


def test_the_whole_funnel_says_for_each_drop_why() -> None:
    kept, dropped, counts = Funnel().split(WRITTEN, context())
    assert [one.prompt for one in kept] == [WRITTEN[0].prompt, WRITTEN[5].prompt]
    assert {one.prompt: one.reject_reason for one in dropped} == {
        "no": "too_short",
        SEEDS[0][0]: "copies_seed",
        "the dark modem is dead with its red light on!": "duplicate",
        HELD_OUT[0] + " now": "near_held_out",
        "the bill for my card is charged twice": "label_disagrees",
    }
    assert [(one.filter, one.rows_in, one.rows_out) for one in counts] == [
        ("rules", 7, 6),
        ("exact_duplicates", 6, 4),
        ("near_duplicates", 4, 3),
        ("novelty", 3, 3),
        ("label_agreement", 3, 2),
    ]
    assert counts[1].dropped == {"copies_seed": 1, "duplicate": 1}


def test_kept_and_dropped_keep_their_scores() -> None:
    kept, dropped, _ = Funnel().split(WRITTEN, context())
    assert all(set(one.scores) == {"nearest_seed", "label_margin"} for one in kept)
    scored = {one.reject_reason: set(one.scores) for one in dropped}
    assert scored["label_disagrees"] == {"nearest_seed", "label_margin"}
    assert scored["too_short"] == set()
    assert all(one.reject_reason is None for one in kept)


def test_a_funnel_does_not_change_what_a_sample_is() -> None:
    kept, dropped, _ = Funnel().split(WRITTEN, context())
    assert {one.id for one in [*kept, *dropped]} == {one.id for one in WRITTEN}
    assert all(one.reject_reason is None and not one.scores for one in WRITTEN)


def test_filters_run_in_their_order_and_a_later_one_does_not_see_the_dropped() -> None:
    twice = [sample("the modem is red", "billing"), sample("the modem is red", "offline")]
    kept, dropped, _ = Funnel(filters=(LabelAgreement(), ExactDuplicates())).split(twice, context())
    assert ([one.label for one in kept], [one.reject_reason for one in dropped]) == (["offline"], ["label_disagrees"])
    kept, dropped, _ = Funnel(filters=(ExactDuplicates(), LabelAgreement())).split(twice, context())
    assert (kept, [one.reject_reason for one in dropped]) == ([], ["label_disagrees", "duplicate"])


def test_a_filter_that_gets_nothing_is_not_asked() -> None:
    encoder = FakeEncoder()
    kept, dropped, counts = Funnel(filters=(Rules(), Novelty())).split([sample("no")], context(encoder))
    assert (kept, len(dropped), encoder.encoded) == ([], 1, [])
    assert (counts[1].filter, counts[1].rows_in, counts[1].rows_out) == ("novelty", 0, 0)


def test_a_funnel_without_filters_keeps_all() -> None:
    assert Funnel(filters=()).split(WRITTEN, context()) == (WRITTEN, [], [])


def test_an_answer_of_another_length_is_refused() -> None:
    class Short(Rules):
        def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
            return Judgements([None])

    with pytest.raises(ValueError, match="shorter"):
        Funnel(filters=(Short(),)).split(WRITTEN, context())


WORDS = st.sampled_from(["modem", "bill", "red", "card", "light", "twice", "no", "my", "_", "!"])
SAID = st.builds(sample, st.lists(WORDS, max_size=9).map(" ".join), st.sampled_from(["offline", "billing"]))
ORDERS = st.permutations([Rules(), ExactDuplicates(), NearDuplicates(permutations=64), Novelty(), LabelAgreement()])


@settings(deadline=None, max_examples=40)
@given(st.lists(SAID, max_size=10), ORDERS)
def test_whatever_goes_in_comes_out_once_and_the_counts_add_up(written: list[Sample], filters: list[Any]) -> None:
    kept, dropped, counts = Funnel(filters=tuple(filters)).split(written, context())
    assert Counter(one.id for one in [*kept, *dropped]) == Counter(one.id for one in written)
    left = iter(written)
    assert all(any(one.id == other.id for other in left) for one in kept), "the order was not kept"
    assert all(one.reject_reason for one in dropped)
    assert [one.filter for one in counts] == [judge.kind for judge in filters]
    assert all(one.seconds >= 0 for one in counts)
    rows = len(written)
    for one in counts:
        assert (one.rows_in, one.rows_in - one.rows_out) == (rows, sum(one.dropped.values()))
        rows = one.rows_out
    assert rows == len(kept)
    assert Counter(one.reject_reason for one in dropped) == sum((Counter(one.dropped) for one in counts), Counter())


def test_the_same_samples_are_sifted_the_same_way_again() -> None:
    assert Funnel().split(WRITTEN, context())[:2] == Funnel().split(WRITTEN, context())[:2]
