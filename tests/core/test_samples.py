"""Samples: identity, and a parquet file that gives back what was written, byte for byte the same, in little memory."""

import gc
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from wheelwork.core.errors import DataError
from wheelwork.core.samples import (
    SCHEMA,
    Message,
    Origin,
    Role,
    Sample,
    from_batch,
    read_parquet,
    to_batch,
    to_row,
    write_parquet,
)

AWKWARD = ["", "héllo\n\r\nwörld", 'a "quoted", text', "👩\u200d🚒🏽 ok", "\u2028\ufeff\0", "光猫"]
TEXT = st.text(max_size=30) | st.sampled_from(AWKWARD)
SOME_TEXT = TEXT.filter(bool)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
MESSAGES = st.builds(Message, role=st.sampled_from(get_args(Role)), content=TEXT)
SAMPLES = st.builds(
    Sample.make,
    st.lists(MESSAGES, min_size=1, max_size=4),
    task=SOME_TEXT,
    label=st.none() | SOME_TEXT,
    origin=st.sampled_from(get_args(Origin)),
    source=TEXT,
    round=TEXT,
    parent_id=st.none() | TEXT,
    controls=st.dictionaries(TEXT, TEXT, max_size=3),
    scores=st.dictionaries(TEXT, NUMBERS, max_size=3),
    weight=st.floats(min_value=1e-300, max_value=1e300),
    reject_reason=st.none() | SOME_TEXT,
)
unhurried = settings(deadline=None, max_examples=40)  # two cores may be busy with something else


def sample(text: str = "hi", answer: str = "greeting", **rest: Any) -> Sample:
    turns = [Message(role="user", content=text), Message(role="assistant", content=answer)]
    return Sample.make(turns, **{"task": "classify", "origin": "seed", "label": answer} | rest)


def as_bytes(samples: list[Sample], rows_per_batch: int = 1024) -> bytes:
    stream = io.BytesIO()
    assert write_parquet(stream, iter(samples), rows_per_batch) == len(samples)
    return stream.getvalue()


@unhurried
@given(st.lists(SAMPLES, max_size=6), st.integers(1, 4))
def test_parquet_gives_back_every_sample(samples: list[Sample], rows_per_batch: int) -> None:
    written = as_bytes(samples, rows_per_batch)
    assert list(read_parquet(io.BytesIO(written))) == samples


@unhurried
@given(st.lists(SAMPLES, max_size=6))
def test_a_record_batch_gives_back_every_sample(samples: list[Sample]) -> None:
    batch = to_batch(samples)
    assert batch.schema.equals(SCHEMA)
    assert list(from_batch(batch)) == samples


@unhurried
@given(st.lists(SAMPLES, min_size=1, max_size=6))
def test_equal_samples_give_equal_bytes_whatever_the_order_of_their_scores(samples: list[Sample]) -> None:
    def turned(values: dict[str, Any]) -> dict[str, Any]:
        return dict(reversed(values.items()))

    again = [s.model_copy(update={"scores": turned(s.scores), "controls": turned(s.controls)}) for s in samples]
    assert again == samples
    assert as_bytes(again) == as_bytes(samples)


def test_a_different_sample_gives_different_bytes() -> None:
    assert as_bytes([sample()]) != as_bytes([sample(weight=2)])


def test_the_id_is_the_content_and_nothing_else() -> None:
    first = sample("hi", origin="seed", source="seeds.csv:2")
    assert first.id == sample("hi", origin="teacher", round="r7", weight=2, scores={"margin": 0.1}).id
    others = [sample("ho"), sample("hi", "farewell"), sample("hi", label="other"), sample("hi", task="qa")]
    assert len({first.id, *(other.id for other in others)}) == 5


def test_a_role_is_part_of_the_id() -> None:
    said = [Sample.make([Message(role=r, content="x")], task="t", origin="seed").id for r in get_args(Role)]
    assert len(set(said)) == len(said)


def test_prompt_and_completion_are_what_was_said_last() -> None:
    turns: list[tuple[Role, str]] = [
        ("system", "s"),
        ("user", "one"),
        ("assistant", "two"),
        ("user", "three"),
        ("assistant", "four"),
    ]
    made = Sample.make([Message(role=r, content=c) for r, c in turns], task="chat", origin="feedback")
    assert (made.prompt, made.completion) == ("three", "four")
    alone = Sample.make([Message(role="tool", content="t")], task="chat", origin="feedback")
    assert (alone.prompt, alone.completion) == ("", "")


def test_scores_add_up_and_a_drop_carries_its_reason() -> None:
    scored = sample(scores={"a": 1.0}).with_scores(b=2, a=3)
    assert scored.scores == {"a": 3.0, "b": 2.0}
    dropped = scored.rejected("label_disagrees")
    assert (dropped.reject_reason, dropped.scores, dropped.id) == ("label_disagrees", scored.scores, scored.id)
    assert scored.reject_reason is None


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_unknown_is_refused(score: float) -> None:
    with pytest.raises(ValueError, match="margin are not finite"):
        sample().with_scores(margin=score)
    with pytest.raises(ValidationError, match="finite"):
        sample(scores={"margin": score})


@pytest.mark.parametrize("wrong", [{"weight": 0}, {"weight": -1}, {"origin": "elsewhere"}, {"label": ""}, {"extra": 1}])
def test_a_sample_out_of_bounds_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        sample(**wrong)


def test_half_an_emoji_is_refused_where_it_enters() -> None:
    with pytest.raises(ValidationError, match="valid string"):
        Message(role="user", content="\ud83d")


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Sample]:
        yield sample()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_parquet(tmp_path / "s.parquet", interrupted(), rows_per_batch=1)
    assert list(tmp_path.iterdir()) == []
    assert write_parquet(tmp_path / "s.parquet", [sample()]) == 1
    assert list(read_parquet(str(tmp_path / "s.parquet"))) == [sample()]


def rewritten(path: Path, change: Callable[[pa.Table], pa.Table]) -> Path:
    write_parquet(path, [sample("one"), sample("two")])
    pq.write_table(change(pq.read_table(path)), path)
    return path


def test_another_schema_names_the_columns_that_are_missing_or_extra(tmp_path: Path) -> None:
    other = rewritten(tmp_path / "s.parquet", lambda table: table.rename_columns({"weight": "wait"}))
    with pytest.raises(DataError, match=r"s\.parquet: .*`weight` is missing, `wait` is not one of its columns"):
        list(read_parquet(other))


def test_columns_in_another_order_are_the_same_samples(tmp_path: Path) -> None:
    turned = rewritten(tmp_path / "s.parquet", lambda table: table.select(sorted(table.column_names)))
    assert list(read_parquet(turned)) == [sample("one"), sample("two")]


def test_a_row_that_is_no_sample_is_named(tmp_path: Path) -> None:
    weights = pa.array([1.0, -1.0])
    wrong = rewritten(tmp_path / "s.parquet", lambda table: table.drop(["weight"]).append_column("weight", weights))
    with pytest.raises(DataError, match=r"s\.parquet:2: `weight`: Input should be greater than 0"):
        list(read_parquet(wrong))


def test_a_file_that_is_no_parquet_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "s.parquet").write_text("text,label\n")
    with pytest.raises(DataError, match=r"s\.parquet: cannot be read as parquet"):
        list(read_parquet(tmp_path / "s.parquet"))
    with pytest.raises(DataError, match=r"none\.parquet: there is no such file"):
        list(read_parquet(tmp_path / "none.parquet"))
    whole = as_bytes([sample()] * 50)
    with pytest.raises(DataError, match="cannot be read as parquet"):
        list(read_parquet(io.BytesIO(whole[: len(whole) // 2])))


def test_memory_does_not_grow_with_rows(tmp_path: Path) -> None:
    pool, usual = pa.proxy_memory_pool(pa.default_memory_pool()), pa.default_memory_pool()
    blocks = 0

    def watched(samples: Iterator[Sample]) -> Iterator[Sample]:
        nonlocal blocks
        for number, one in enumerate(samples):
            if number % 500 == 0:
                blocks = max(blocks, sys.getallocatedblocks())
            yield one

    def many(rows: int) -> Iterator[Sample]:
        for number in range(rows):
            yield sample().model_copy(update={"source": f"{number}" * 20, "scores": {"margin": number / rows}})

    def peak(rows: int) -> tuple[int, int]:
        """Python's memory blocks and Arrow's bytes, at most, while `rows` samples are written and read again."""
        nonlocal blocks
        gc.collect()
        before = blocks = sys.getallocatedblocks()
        assert write_parquet(tmp_path / "s.parquet", watched(many(rows))) == rows
        assert sum(1 for _ in watched(read_parquet(tmp_path / "s.parquet"))) == rows
        return blocks - before, pool.max_memory()

    pa.set_memory_pool(pool)
    try:
        few, few_bytes = peak(3_000)
        many_more, many_more_bytes = peak(30_000)
    finally:
        pa.set_memory_pool(usual)
    assert few > 5_000 and few_bytes > 50_000  # the measure sees the rows of a batch
    assert many_more < 2 * few and many_more_bytes < 2 * few_bytes


def test_to_row_has_the_columns_of_the_schema() -> None:
    assert list(to_row(sample())) == SCHEMA.names
