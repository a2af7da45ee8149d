"""Samples: one training example with where it came from, and the one parquet schema that every step shares."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, FiniteFloat, StringConstraints, ValidationError

from .digests import SHORT, quick_digest
from .errors import DataError
from .settings import Setting
from .workspace import writing

ROWS_PER_BATCH = 1024

REHEARSAL = "rehearsal"
"""The task of a sample on which a training stays as the base is."""

Role = Literal["system", "user", "assistant", "tool"]
Origin = Literal["seed", "teacher", "augmented", "feedback", "import", "human", "pseudo"]
"""`feedback` is a person's correction of a sample, `human` a text of the traffic that a person labelled, `pseudo` one
whose label a classifier was sure of."""
Turn = tuple[Role, str]  # who says what


def is_unicode(text: str) -> bool:
    """Whether `text` can be written as UTF-8: JSON's `"\\ud83d"`, half an emoji, cannot."""
    if text.isascii():  # which Python knows without looking
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# refused where it enters: parquet would stop a whole batch much later, without saying which row. A limit, however
# high, makes pydantic look at the text in Rust, and say that half an emoji is none
Text = Annotated[str, StringConstraints(max_length=2**31)]


class Message(Setting):
    """One turn of a conversation."""

    role: Role = Field(description="who speaks")
    content: Text = Field(description="what is said; may be empty")


class Sample(Setting):
    """One training example: messages + provenance + scores + weight. `Sample.make` fills in the id."""

    id: str = Field(pattern=f"^[0-9a-f]{{{SHORT}}}$", description="hash of task, label and messages")
    messages: tuple[Message, ...] = Field(min_length=1, description="the conversation, oldest turn first")
    task: Text = Field(min_length=1, description="what is learnt, such as `classify`")
    origin: Origin = Field(description="who wrote it")
    source: Text = Field("", description="file and row, teacher, or document it came from")
    round: Text = Field("", description="the round that made it; empty for what the user brought")
    parent_id: Text | None = Field(None, description="id of the sample it was made from")
    controls: dict[Text, Text] = Field(
        default_factory=dict, description="what the writer was asked for: category, difficulty, style …"
    )
    scores: dict[Text, FiniteFloat] = Field(
        default_factory=dict, description="what filters measured; unknown is absent, not zero"
    )
    label: Text | None = Field(None, min_length=1, description="the class, where the task has classes")
    weight: float = Field(1.0, gt=0, allow_inf_nan=False, description="how much it counts in training")
    reject_reason: Text | None = Field(None, min_length=1, description="why the funnel dropped it")

    @classmethod
    def make(cls, messages: Iterable[Message], *, task: str, label: str | None = None, **rest: Any) -> Self:
        """A sample whose id is the hash of its content: the same text made twice has the same id."""
        return cls.of_turns([(turn.role, turn.content) for turn in messages], task=task, label=label, **rest)

    @classmethod
    def of_turns(cls, turns: Sequence[Turn], *, task: str, label: str | None = None, **rest: Any) -> Self:
        """`make` from who says what, in half the time where the messages are not there yet."""
        identity = quick_digest({"label": label, "messages": turns, "task": task})[:SHORT]
        messages = [{"role": role, "content": content} for role, content in turns]
        return cls.model_validate({"id": identity, "messages": messages, "task": task, "label": label, **rest})

    def with_scores(self, **scores: float) -> Self:
        """A copy with `scores` added. Raises ValueError for NaN and infinity: leave out what is unknown."""
        unknown = sorted(name for name, score in scores.items() if not math.isfinite(score))
        if unknown:
            raise ValueError(f"sample {self.id}: the scores {', '.join(unknown)} are not finite")
        return self.model_copy(update={"scores": self.scores | {name: float(s) for name, s in scores.items()}})

    def saying(self, messages: Iterable[Message]) -> Self:
        """The same sample with other messages, and so with another id; `parent_id` stays what it is."""
        rest = {name: getattr(self, name) for name in Sample.model_fields if name not in ("id", "messages")}
        return self.make(messages, **rest)

    def rejected(self, reason: str) -> Self:
        """A copy that says why the funnel dropped it."""
        return self.model_copy(update={"reject_reason": reason})

    @property
    def prompt(self) -> str:
        """What the user said last; empty if the user said nothing."""
        return self._last("user")

    @property
    def completion(self) -> str:
        """What the assistant said last; empty if it said nothing."""
        return self._last("assistant")

    @property
    def cut_off(self) -> bool:
        """Whether the writer was stopped by its token limit, so that an end is missing.

        Code is read only when its test passes: what was cut there is not missed.
        """
        return self.controls.get("finish") == "length" and self.task != "code"

    def _last(self, role: Role) -> str:
        for turn in reversed(self.messages):
            if turn.role == role:
                return turn.content
        return ""


TURNS = pa.list_(pa.struct([pa.field("role", pa.string(), False), pa.field("content", pa.string(), False)]))

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("messages", TURNS, nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("round", pa.string(), nullable=False),
        pa.field("parent_id", pa.string()),
        pa.field("controls", pa.map_(pa.string(), pa.string()), nullable=False),
        pa.field("scores", pa.map_(pa.string(), pa.float64()), nullable=False),
        pa.field("label", pa.string()),
        pa.field("weight", pa.float64(), nullable=False),
        pa.field("reject_reason", pa.string()),
    ]
)


def to_row(sample: Sample) -> dict[str, Any]:
    """The columns of SCHEMA as plain values; equal samples give equal rows, key by key in the same order."""
    row = {name: getattr(sample, name) for name in SCHEMA.names}
    return row | {
        "messages": [{"role": turn.role, "content": turn.content} for turn in sample.messages],
        # a dict remembers who came first; sorted, so that the bytes do not depend on the order of the filters
        "controls": dict(sorted(sample.controls.items())),
        "scores": dict(sorted(sample.scores.items())),
    }


def to_batch(samples: Iterable[Sample]) -> pa.RecordBatch:
    """`samples` as one record batch of SCHEMA."""
    return pa.RecordBatch.from_pylist([to_row(sample) for sample in samples], schema=SCHEMA)


def from_batch(batch: pa.RecordBatch) -> Iterator[Sample]:
    """The samples of a record batch of SCHEMA. Raises pydantic's ValidationError at a row that is none."""
    return map(Sample.model_validate, batch.to_pylist(maps_as_pydicts="strict"))


def write_parquet(
    target: Path | str | BinaryIO, samples: Iterable[Sample], rows_per_batch: int = ROWS_PER_BATCH
) -> int:
    """Stream `samples` to parquet and return how many they were; equal samples give equal bytes.

    A path is written whole or not at all. An open stream is the caller's, also after an error.
    """
    return write_table(target, SCHEMA, map(to_row, samples), rows_per_batch)


def read_parquet(source: Path | str | BinaryIO) -> Iterator[Sample]:
    """Stream the samples of a parquet file; memory does not grow with rows.

    Raises DataError for a file that is missing, damaged or has other columns than SCHEMA (it names them),
    and for a row that is no sample (it names the row, counted from 1).
    """
    for row, values in enumerate(read_table(source, SCHEMA), 1):
        try:
            sample = Sample.model_validate(values)
        except ValidationError as error:
            problem = error.errors()[0]
            column = ".".join(str(part) for part in problem["loc"])
            raise DataError(f"{_name(source)}:{row}: `{column}`: {problem['msg']}; make the file anew") from None
        yield sample


def write_table(
    target: Path | str | BinaryIO,
    schema: pa.Schema,
    rows: Iterable[Mapping[str, Any]],
    rows_per_batch: int = ROWS_PER_BATCH,
) -> int:
    """Stream plain rows of any schema to parquet, a row group per batch; returns the number of rows."""
    if isinstance(target, Path | str):
        with writing(Path(target)) as temporary, temporary.open("wb") as stream:
            return write_table(stream, schema, rows, rows_per_batch)
    count, remaining = 0, iter(rows)
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        while chunk := list(islice(remaining, rows_per_batch)):
            writer.write_batch(pa.RecordBatch.from_pylist(chunk, schema=schema))
            count += len(chunk)
    return count


def read_table(source: Path | str | BinaryIO, schema: pa.Schema | None = None) -> Iterator[dict[str, Any]]:
    """Stream plain rows of any parquet file; with `schema`, only of one that has exactly its columns."""
    for batch in read_batches(source, schema=schema):
        with _explaining(source):
            rows = batch.to_pylist(maps_as_pydicts="strict")
        yield from rows


def read_batches(
    source: Path | str | BinaryIO, rows: int = ROWS_PER_BATCH, schema: pa.Schema | None = None
) -> Iterator[pa.RecordBatch]:
    """Stream record batches of at most `rows` rows of any parquet file; see `read_table`."""
    with _explaining(source), pq.ParquetFile(source) as file:
        if schema is not None:
            _check_columns(_name(source), file.schema_arrow.names, schema.names)
        yield from file.iter_batches(rows)


@contextmanager
def _explaining(source: Path | str | BinaryIO) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{_name(source)}: there is no such file; check its name") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{_name(source)}: cannot be read as parquet ({reason}); make the file anew") from None


def has_sample_columns(path: Path) -> bool:
    """Whether `path` is a parquet file with exactly the columns of SCHEMA."""
    try:
        return set(pq.read_schema(path).names) == set(SCHEMA.names)
    except (pa.ArrowException, OSError):
        return False


def _check_columns(name: str, found: list[str], wanted: list[str]) -> None:
    missing = [f"`{column}` is missing" for column in wanted if column not in found]
    extra = [f"`{column}` is not one of its columns" for column in found if column not in wanted]
    if missing or extra:
        raise DataError(f"{name}: this is no parquet file of samples: {', '.join(missing + extra)}; make the file anew")


def _name(source: Path | str | BinaryIO) -> str:
    return str(source) if isinstance(source, Path | str) else str(getattr(source, "name", "the stream"))
