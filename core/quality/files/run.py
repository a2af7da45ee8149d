"""A funnel over a file: what is kept, what is dropped and why, and what cannot be read, each in a file of its own."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ...digests import digest_file
from ...errors import ConfigError, DataError
from ...models.progress import Progress, silent
from ...parallel import cores
from ...rows import Row, kind_of
from ...samples import SCHEMA, Sample, to_row
from ...settings import Setting
from ...workspace import scratch_in, writing
from ..alike import OneOfAlike
from ..batch.sides import Side
from ..context import FunnelContext
from ..duplicates import ExactDuplicates, NearDuplicates
from ..filters import LabelAgreement, Novelty, Rules
from ..funnel import FilterCount, Funnel
from ..passes import Each
from ..personal import mask
from ..seen import alone_with
from ..shingles import Ints
from ..verdicts import DUPLICATE_OF, Verdict, as_judged, saying_what_it_is_like
from .changed import put_back
from .source import FileBatch, SourceFile
from .writing import json_text, rows_of, writing_rows

SHOWN = 120  # characters of an example
SMALL = 8 << 20  # bytes of a file that one process has read before others have started
COMPLAINTS = 3  # quarantined rows that are told


class Filtered(Setting):
    """What came of a file."""

    rows: int
    kept: int
    dropped: dict[str, int]
    """Rows by reason."""
    rejected_before: dict[str, int]
    """Of the dropped, those that had a reason when they came, which no filter saw."""
    quarantined: int
    filters: tuple[FilterCount, ...]
    examples: dict[str, tuple[str, ...]]
    """Reason → a few texts, masked and cut."""
    complaints: tuple[str, ...]
    """Why the first of the quarantined rows could not be read."""
    files: dict[str, str]
    """Path → SHA-256 of what was written."""
    seconds: float


class Beside(NamedTuple):
    """The files of one run."""

    out: Path
    dropped: Path
    quarantined: Path

    @classmethod
    def of(cls, out: Path) -> "Beside":
        return cls(
            out, out.with_name(f"{out.stem}.dropped{out.suffix}"), out.with_name(f"{out.stem}.quarantined.jsonl")
        )

    def within(self, scratch: Path) -> "Beside":
        """The same names in another folder, to write to."""
        return Beside(*(scratch / path.name for path in self))

    def publish(self, scratch: Path) -> None:
        """Move what was written to `scratch` to its place; what was not, and is there from an earlier run, goes."""
        for path, made in reversed([*zip(self, self.within(scratch), strict=True)]):
            # what is asked for comes last: when it is there, all is
            if made.exists():
                made.replace(path)
            else:
                path.unlink(missing_ok=True)


def standalone(with_seeds: bool) -> Funnel:
    """The filters of a file without a word about them, those that need seeds only where there are some.

    Not those of a loop: a file's rows may be longer than messages, and `the customer` or `topic:` give nothing away in
    them. A row of 25 words with two of them changed is a near duplicate here.
    """
    alone = (
        Rules(max_words=2000, banned=("as an ai language model", "as an ai assistant", "i'm an ai", "i am an ai")),
        ExactDuplicates(),
        NearDuplicates(threshold=0.5),
    )
    return Funnel(filters=(*alone, Novelty(), LabelAgreement()) if with_seeds else alone)


def processes_for(source: Path, asked: int | None = None) -> int:
    """How many processes a file is worth: `asked`, or one for each core, but one where starting them takes longer."""
    return (asked or cores()) if source.is_file() and source.stat().st_size > SMALL else 1


def check_paths(source: Path, out: Path, written: Sequence[Path] = (), read: Sequence[Path] = ()) -> Beside:
    """The files that a run writes, besides `written`.

    Raises DataError for a kind of file that is not known, and ConfigError where what is written is `source` or one of
    `read`, or two are one.
    """
    files = Beside.of(out)
    kind_of(source), kind_of(out)
    seen: dict[Path, str] = {path.resolve(): "a file that is read" for path in (source, *read)}
    for path in (*files, *written):
        if (known := path.resolve()) in seen:
            raise ConfigError(f"{path}: this would be written over {seen[known]}; give another name")
        seen[known] = f"what else is written to {path.name}"
    if out.is_dir():
        raise ConfigError(f"{out}: this is a folder; give the name of a file in it")
    return files


def filter_file(
    source_path: Path,
    out: Path,
    funnel: Funnel,
    context: FunnelContext,
    *,
    each: Each = map,
    progress: Progress = silent,
    examples: int = 1,
    with_scores: bool = False,
    watch: Side | None = None,
    numbers: Sequence[str] = (),
) -> Filtered:
    """Run `funnel` over a file; the three files appear when all is done, whole, or not at all.

    `with_scores` writes what filters measured into a column `scores` of kept rows too. What is kept is also told to
    `watch`, with the columns `numbers` among its scores.

    What filters remember from run to run is written last, so that a run that was killed has seen nothing.

    Raises DataError for a file of which no row can be read, and for what a kind of file cannot hold; BusyError where
    another run remembers in the same file.
    """
    started = time.perf_counter()
    files = check_paths(source_path, out, funnel.remembering)
    scored = [one.best_by for one in funnel.filters if isinstance(one, OneOfAlike) and one.best_by]
    source = SourceFile(source_path, [*scored, *numbers], funnel.columns)
    with alone_with(funnel.remembering), scratch_in(out.parent, ".wheelwork-filter-") as scratch:
        verdicts, counts = funnel.judge(source, context, each=each, progress=progress, rows=source.rows)
        _require_readable(source, verdicts)
        beside = files.within(scratch)
        made = _Writer(funnel, context, source, verdicts, beside, examples, with_scores, watch)
        made.write(progress)
        written = {str(path): digest_file(scratch / path.name) for path in files if (scratch / path.name).exists()}
        files.publish(scratch)
        for path, write in context.publishing.items():
            with writing(path) as temporary:
                write(temporary)
    return Filtered(
        rows=sum(len(verdict.reasons) for verdict in verdicts),
        kept=made.kept,
        dropped=dict(made.reasons),
        rejected_before=dict(made.reasons - sum((Counter(count.dropped) for count in counts), Counter[str]())),
        quarantined=made.quarantined,
        filters=tuple(counts),
        examples={reason: tuple(texts) for reason, texts in made.examples.items()},
        complaints=tuple(made.complaints),
        files=written,
        seconds=time.perf_counter() - started,
    )


class _Writer:
    """Reads the source once more, and writes each row where its verdict says."""

    def __init__(
        self,
        funnel: Funnel,
        context: FunnelContext,
        source: SourceFile,
        verdicts: Sequence[Verdict],
        files: Beside,
        examples: int,
        with_scores: bool,
        watch: Side | None,
    ) -> None:
        self._watch = watch
        self._funnel, self._context, self._source, self._verdicts = funnel, context, source, verdicts
        self._files, self._most = files, examples
        self._scored = any(verdict.scores for verdict in verdicts)
        self._adds_scores = with_scores and self._scored and source.layout is not None
        self.kept = self.quarantined = 0
        self.reasons = Counter[str]()
        self.examples: dict[str, list[str]] = defaultdict(list)
        self.complaints: list[str] = []

    def write(self, progress: Progress) -> None:
        """All rows, in their order."""
        any_dropped = any(why is not None for verdict in self._verdicts for why in verdict.reasons)
        table = self._files.out.suffix.lower() in (".csv", ".tsv", ".parquet")
        schema = self._source.schema() if table else None
        done, total = 0, sum(len(verdict.reasons) for verdict in self._verdicts)
        with ExitStack() as stack:
            scores = [SCHEMA.field("scores")] if self._scored else []
            like = [pa.field(DUPLICATE_OF, pa.string())] if any(verdict.like for verdict in self._verdicts) else []
            of_kept = self._with(schema, scores if self._adds_scores else [])
            of_dropped = self._with(schema, [SCHEMA.field("reject_reason"), *like, *scores])
            kept = stack.enter_context(writing_rows(self._files.out, of_kept))
            dropped = any_dropped and stack.enter_context(writing_rows(self._files.dropped, of_dropped))
            for batch, verdict in zip(self._source, self._verdicts, strict=True):
                left, gone = verdict.left(), [row for row, why in enumerate(verdict.reasons) if why is not None]
                anew = self._anew(batch, verdict, left, gone)
                if self._watch is not None:
                    self._watch.add(as_judged(self._funnel.filters, batch, verdict, left, self._context))
                scored = self._added(batch, verdict, left) if self._adds_scores else {}
                kept.put(batch.raw, left, {row: anew[row] for row in left if row in anew} if anew else {}, scored)
                if dropped and gone:
                    dropped.put(batch.raw, gone, anew, self._added(batch, verdict, gone))
                self._quarantine(batch, verdict)
                self.kept += len(left)
                self.reasons.update(verdict.reasons[row] or "" for row in gone)
                progress("writing", done := done + len(batch), total)

    def _with(self, schema: pa.Schema | None, added: Sequence[pa.Field]) -> pa.Schema | None:
        """`schema` with the columns `added`, unless the rows are samples already."""
        if schema is None or self._source.layout is None:
            return schema
        for field in added:
            at = schema.get_field_index(field.name)
            schema = schema.append(field) if at < 0 else schema.set(at, field)
        return schema

    def _anew(self, batch: FileBatch, verdict: Verdict, left: list[int], gone: list[int]) -> dict[int, Row]:
        """Rows that are not written as they stand: what a filter changed, and samples with what is known of them."""
        whole = self._source.layout is None
        changed = [] if verdict.changed is None else np.flatnonzero(verdict.changed).tolist()
        told = [row for row in gone if self._is_example(verdict.reasons[row] or "")]
        wanted = sorted({*changed, *told, *(gone if whole else ()), *(left if whole and verdict.scores else ())})
        samples = dict(zip(wanted, as_judged(self._funnel.filters, batch, verdict, wanted, self._context), strict=True))
        for row in told:
            self._show(samples[row])
        if whole:
            like = {row: saying_what_it_is_like(samples[row], self._place(verdict.like[row])) for row in verdict.like}
            return {row: to_row(sample) for row, sample in (samples | like).items()}
        anew: dict[int, Row] = {}
        if changed:
            before = [one for one in batch.samples(changed) if isinstance(one, Sample)]
            for row, values, old in zip(changed, rows_of(batch.raw, changed), before, strict=True):
                anew[row] = put_back(values, self._source.layout, old, samples[row])
        return anew

    def _added(self, batch: FileBatch, verdict: Verdict, rows: list[int]) -> dict[int, Row]:
        """What is written behind the columns of `rows`: why one was dropped, what it is like, and what was measured."""
        if self._source.layout is None:
            return {}
        added: dict[int, Row] = {
            row: {"reject_reason": reason} for row in rows if (reason := verdict.reasons[row]) is not None
        }
        for row in verdict.like.keys() & added.keys():
            added[row][DUPLICATE_OF] = self._place(verdict.like[row])
        scored = [row for row in rows if verdict.scores_of(row)] if verdict.scores else []
        for row, values in zip(scored, rows_of(batch.raw, scored), strict=True):
            known = values.get("scores")
            told = (known if isinstance(known, dict) else {}) | verdict.scores_of(row)
            added[row] = added.get(row, {}) | {"scores": told}
        return added

    def _place(self, like: int | str) -> str:
        """Where that stands which a row is like: a known text, or a row of this file."""
        return like if isinstance(like, str) else f"{self._source.path.name}:{self._lines[like]}"

    @cached_property
    def _lines(self) -> Ints:
        """The line of every row, where one of them has to be told; the one that is meant may come later."""
        return np.concatenate([np.asarray(batch.raw.places, dtype=np.int64) for batch in self._source])

    def _is_example(self, reason: str) -> bool:
        return len(self.examples.get(reason, ())) < self._most

    def _show(self, sample: Sample) -> None:
        if self._is_example(sample.reject_reason or ""):
            text = " ".join(mask(sample.prompt).split())
            self.examples[sample.reject_reason or ""].append(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")

    def _quarantine(self, batch: FileBatch, verdict: Verdict) -> None:
        if not verdict.unreadable:
            return
        with self._files.quarantined.open("ab") as stream:
            for row, why in verdict.unreadable.items():
                place = batch.raw.places[row]
                stream.write(json_text({"line": place, "why": why, "row": batch.raw.raw(row)}) + b"\n")
                if len(self.complaints) < COMPLAINTS:
                    self.complaints.append(f"{self._source.path}:{place}: {why}")
        self.quarantined += len(verdict.unreadable)


def _require_readable(source: SourceFile, verdicts: Sequence[Verdict]) -> None:
    rows = sum(len(verdict.reasons) for verdict in verdicts)
    if rows and sum(len(verdict.unreadable) for verdict in verdicts) == rows:
        first, why = next((batch, verdict.unreadable[0]) for batch, verdict in zip(source, verdicts, strict=True))
        rest = f", nor any other of its {rows} rows" if rows > 1 else ""
        raise DataError(f"{source.path}:{first.raw.places[0]}: this row cannot be read{rest}: {why}")


def report(result: Filtered, settings: dict[str, Any]) -> str:
    """Everything about a run as JSON."""
    filters = [
        count.model_dump() | {"rows_per_second": round(count.rows_in / count.seconds) if count.seconds else None}
        for count in result.filters
    ]
    return json.dumps(settings | result.model_dump() | {"filters": filters}, indent=2, ensure_ascii=False) + "\n"
