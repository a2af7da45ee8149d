"""Near duplicates by datatrove: run by datatrove's own Python, it knows nothing of ours.

    python peer_datatrove.py IN.jsonl OUT.jsonl THRESHOLD PERMUTATIONS BANDS ROWS_A_BAND

Its four steps (signatures, buckets, clusters, filter) one after another in this process, with our bands and word
triples, on words between spaces: its tokenizers want packages or data that it does not bring. Prints
{rows, seconds, cpu_seconds}.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.hashing import HashConfig
from datatrove.utils.word_tokenizers import WordTokenizer
from loguru import logger


class Words(WordTokenizer):
    """What stands between spaces, of a text that datatrove has simplified before."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()

    def sent_tokenize(self, text: str) -> list[str]:
        return [text]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))]


def main() -> None:
    source, out, bands, rows = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[5]), int(sys.argv[6])
    logger.remove()
    config = MinhashConfig(n_grams=3, num_buckets=bands, hashes_per_bucket=rows, hash_config=HashConfig(precision=64))
    started, worked = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:

        def read() -> JsonlReader:
            return JsonlReader(str(source.parent), glob_pattern=source.name, text_key="prompt")

        signatures, buckets, removed, kept = (f"{folder}/{name}" for name in ("signatures", "buckets", "gone", "kept"))
        steps = [
            [read(), MinhashDedupSignature(signatures, config=config, language=Words())],
            [MinhashDedupBuckets(signatures, buckets, config=config)],
            [MinhashDedupCluster(buckets, removed, config=config)],
            [read(), MinhashDedupFilter(removed), JsonlWriter(kept, compression=None)],
        ]
        for number, step in enumerate(steps):
            tasks = bands if number == 1 else 1
            LocalPipelineExecutor(step, tasks=tasks, workers=1, logging_dir=f"{folder}/logs{number}").run()
        count = sum(1 for _ in source.open("rb"))
        took = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - worked}
        lines = [line for path in sorted(Path(kept).glob("*.jsonl")) for line in path.open(encoding="utf-8")]
    rows_kept = ({"prompt": row["text"], **row["metadata"]} for row in map(json.loads, lines))
    out.write_text("".join(json.dumps(row) + "\n" for row in rows_kept), encoding="utf-8")
    print(json.dumps({"rows": count, **took}))


if __name__ == "__main__":
    main()
