"""Filters over batches: whatever the batches, and in however many processes, the answer is that of one batch."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.parallel import in_processes
from wheelwork.core.quality.alike import one_of_each
from wheelwork.core.quality.context import REMEMBERED, FunnelContext, Judgements
from wheelwork.core.quality.duplicates import ExactDuplicates, NearDuplicates
from wheelwork.core.quality.filters import LabelAgreement, Novelty, Rules
from wheelwork.core.quality.funnel import Funnel, Given
from wheelwork.core.quality.meaning import EmbeddingDuplicates
from wheelwork.core.quality.passes import passes
from wheelwork.core.quality.personal.filter import PersonalData
from wheelwork.core.quality.verdicts import DUPLICATE_OF, Unreadable, Verdict, as_judged, with_likes
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.fakes import FakeEncoder

SEEDS = [("the modem shows a red light", "offline"), ("my bill is too high", "billing")]


def sample(text: str, label: str | None = "offline", **scores: float) -> Sample:
    turns = [Message(role="user", content=text), Message(role="assistant", content="yes")]
    return Sample.make(turns, task="classify", label=label, origin="teacher").with_scores(**scores)


def context(encoder: FakeEncoder | None = None) -> FunnelContext:
    return FunnelContext(encoder or FakeEncoder(), SEEDS, ["is the line down in my street"])


def judged(funnel: Funnel, samples: Sequence[Sample], cuts: Sequence[int], **how: Any) -> list[Sample]:
    """Every sample as the funnel leaves it, when the batches end at `cuts`."""
    places = [0, *sorted(cut % (len(samples) + 1) for cut in cuts), len(samples)]
    batches = [Given(samples[start:end]) for start, end in pairwise(places)]
    verdicts, _ = funnel.judge(batches, context(), **how)
    found = [
        rounded(one)
        for batch, verdict in zip(batches, verdicts, strict=True)
        for one in as_judged(funnel.filters, batch, verdict, range(len(batch)), context())
    ]
    return with_likes(found, verdicts)


def rounded(one: Sample) -> Sample:
    """A product of matrices has other last digits when one of them has more rows."""
    return one.with_scores(**{name: round(score, 5) for name, score in one.scores.items()})


WORD = st.sampled_from(["modem", "bill", "red", "light", "a@b.cn", "c@d.cn", "no", "13800138000", "it", "is"])
SAID = st.builds(
    lambda words, label, fit: sample(" ".join(words), label, **({} if fit is None else {"fit": fit})),
    st.lists(WORD, max_size=7),
    st.sampled_from(["offline", "billing", "unheard of", None]),
    st.sampled_from([None, 0.0, 1.0]),
)
BEST: dict[str, Any] = {"keep": "best", "best_by": "fit"}
FILTERS: list[Any] = [
    Rules(min_words=2, max_repetition=1),
    PersonalData(action="mask"),
    PersonalData(kinds=("phone",)),
    ExactDuplicates(),
    ExactDuplicates(**BEST),
    NearDuplicates(permutations=64),
    NearDuplicates(permutations=64, **BEST),
    EmbeddingDuplicates(threshold=0.8),
    EmbeddingDuplicates(threshold=0.6, **BEST),
    Novelty(max_cosine=0.9),
    LabelAgreement(),
]


@settings(deadline=None, max_examples=80)
@given(
    st.lists(SAID, max_size=14), st.lists(st.sampled_from(FILTERS), max_size=5), st.lists(st.integers(0), max_size=4)
)
def test_where_batches_end_changes_nothing(samples: list[Sample], filters: list[Any], cuts: list[int]) -> None:
    funnel = Funnel(filters=tuple(filters))
    whole = judged(funnel, samples, [])
    assert judged(funnel, samples, cuts) == whole
    kept, dropped, counts = funnel.split(samples, context())
    assert [*map(rounded, kept)] == [one for one in whole if one.reject_reason is None]
    assert [*map(rounded, dropped)] == [one for one in whole if one.reject_reason is not None]
    assert sum(sum(count.dropped.values()) for count in counts) == len(dropped)
    known = {one.id for one in samples} | {one.id for one in whole} | {"seed 1", "seed 2", "held-out row 1"}
    assert all(one.controls[DUPLICATE_OF] in known for one in dropped if "duplicate" in (one.reject_reason or ""))
    assert not any(DUPLICATE_OF in one.controls for one in kept)


def test_several_processes_say_what_one_says() -> None:
    texts = [f"the modem {word} is {number % 7} red" for number in range(60) for word in ("here", "there", "a@b.cn")]
    samples = [sample(text, fit=float(row % 5)) for row, text in enumerate(texts)]
    filters = (Rules(), PersonalData(action="mask"), ExactDuplicates(**BEST), NearDuplicates(), LabelAgreement())
    funnel = Funnel(filters=filters)
    cuts = list(range(0, len(samples), 20))
    assert judged(funnel, samples, cuts, each=in_processes(2)) == judged(funnel, samples, [])


def test_a_pass_ends_where_a_filter_by_row_follows_one_by_corpus() -> None:
    filters = (Rules(), ExactDuplicates(), NearDuplicates(), PersonalData(), Novelty(), ExactDuplicates())
    steps = [[number for number, _ in (*step.by_row, *step.by_corpus)] for step in passes(filters)]
    assert steps == [[0, 1, 2], [3, 4, 5]]
    assert [len(step.by_corpus) for step in passes(filters)] == [2, 1]
    assert passes(()) == [((), ())]


def test_a_row_is_changed_only_by_the_filters_that_saw_it() -> None:
    masks = PersonalData(kinds=("email",), action="mask"), PersonalData(kinds=("phone",), action="mask")
    funnel = Funnel(filters=(masks[0], Rules(banned=("bad",)), ExactDuplicates(), masks[1]))
    _, (dropped,), _ = funnel.split([sample("a bad a@b.cn has 13800138000")], context())
    assert (dropped.prompt, dropped.reject_reason) == ("a bad [EMAIL] has 13800138000", "debris")
    (kept,), _, _ = funnel.split([sample("a good a@b.cn has 13800138000")], context())
    assert kept.prompt == "a good [EMAIL] has [PHONE]"


def test_a_score_of_an_earlier_pass_decides_who_is_the_best() -> None:
    near = NearDuplicates(keep="best", best_by="nearest_seed", threshold=0.1, permutations=64)
    funnel = Funnel(filters=(ExactDuplicates(), Novelty(max_cosine=1), near))
    far, close = "modem light blue and green", "the modem light shows red blue and green"
    kept, dropped, _ = funnel.split([sample(far), sample(close)], context())
    assert [one.prompt for one in (*kept, *dropped)] == [close, far]


def test_rows_that_cannot_be_read_are_neither_kept_nor_dropped() -> None:
    class Torn(Given):
        def samples(self, rows: Sequence[int]) -> Any:
            return [Unreadable("torn") if row == 1 else self.given[row] for row in rows]

    verdicts, counts = Funnel(filters=(Rules(),)).judge([Torn([sample("the line is down")] * 3)], context())
    assert (verdicts[0].left(), verdicts[0].unreadable, counts[0].rows_in) == ([0, 2], {1: "torn"}, 2)


def test_progress_hears_each_batch_and_each_comparison() -> None:
    heard: list[tuple[str, int, int]] = []
    batches = [Given([sample(f"the line {row} is down")]) for row in range(3)]
    funnel = Funnel(filters=(Rules(), NearDuplicates(permutations=16, threshold=0.9), Novelty()))
    funnel.judge(batches, context(), progress=lambda *said: heard.append(said), rows=3)
    assert heard[:3] == [("judging, pass 1 of 2", done, 3) for done in (1, 2, 3)]
    assert heard[3][0] == "near_duplicates, comparing"
    assert heard[-1] == ("judging, pass 2 of 2", 3, 3)


def test_a_filter_without_need_of_an_encoder_gets_none_and_others_stay_in_this_process() -> None:
    class Looks(Rules):
        def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
            with pytest.raises(TypeError, match="no encoder"):
                context.embed(["a"])
            assert len(context.seeds) == 2
            return Judgements([None] * len(batch))

    Funnel(filters=(Looks(),)).split([sample("the line is down")], context())

    def nowhere(work: object, items: object) -> Any:
        raise AssertionError("a filter with an encoder was sent away")

    Funnel(filters=(Novelty(),)).judge([Given([sample("the line is down")])], context(), each=nowhere)


def test_embeddings_are_forgotten_but_for_the_last() -> None:
    encoder = FakeEncoder(2)
    shared = context(encoder)
    shared.embed(["kept", "gone"])
    for start in range(0, REMEMBERED, 5000):
        shared.embed(["kept", *(f"text {number}" for number in range(start, start + 5000))])
    shared.embed(["kept", "gone"])
    assert (encoder.encoded.count("kept"), encoder.encoded.count("gone")) == (1, 2)


def test_a_label_that_no_seed_has_and_no_label_pass_unscored_beside_one_that_is_judged() -> None:
    batch = [sample("the modem is red", label) for label in ("billing", "unheard of", None, "offline")]
    judged = LabelAgreement()(batch, context())
    assert judged.reasons == ["label_disagrees", None, None, None]
    margins = judged.scores["label_margin"]
    assert (margins[1], margins[2]) == (None, None)
    assert (margins[0] or 0) < 0 < (margins[3] or 0)
    kept, _, _ = Funnel(filters=(LabelAgreement(),)).split(batch, context())
    assert [set(one.scores) for one in kept] == [set(), set(), {"label_margin"}]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([-np.inf, 0.0, 1.0])), max_size=12))
def test_of_each_group_the_first_of_the_best_is_kept(rows: list[tuple[int, float]]) -> None:
    groups, ranks = np.array([own for own, _ in rows], dtype=np.uint64), np.array([rank for _, rank in rows])
    best = {own: max(rank for other, rank in rows if other == own) for own, _ in rows}
    wanted = {rows.index((own, rank)) for own, rank in best.items()}
    assert set(np.flatnonzero(one_of_each(groups, ranks)).tolist()) == wanted


def test_a_verdict_knows_what_it_does_not_know() -> None:
    verdict = Verdict([None, "why", None], unreadable={2: "torn"})
    verdict.score("fit", [0, 1], [0.5, None])
    assert (verdict.scores_of(0), verdict.scores_of(1), verdict.scores_of(2)) == ({"fit": 0.5}, {}, {})
    assert verdict.left() == [0]
