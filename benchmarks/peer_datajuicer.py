"""Near duplicates by data-juicer: run by its own Python, it knows nothing of ours.

    python peer_datajuicer.py IN.jsonl OUT.jsonl THRESHOLD PERMUTATIONS BANDS ROWS_A_BAND

Its operator DocumentMinhashDeduplicator over a dataset of Hugging Face, with our bands and word triples. Prints
{rows, seconds, cpu_seconds}.
"""

import json
import sys
import time

from data_juicer.ops.deduplicator.document_minhash_deduplicator import DocumentMinhashDeduplicator
from datasets import load_dataset


def main() -> None:
    source, out, threshold, permutations, bands, rows = sys.argv[1:7]
    started, worked = time.perf_counter(), time.process_time()
    data = load_dataset("json", data_files=source, split="train")
    count = len(data)
    deduplicate = DocumentMinhashDeduplicator(
        tokenization="space",
        window_size=3,
        ignore_pattern=r"\p{P}",
        num_permutations=int(permutations),
        jaccard_threshold=float(threshold),
        num_bands=int(bands),
        num_rows_per_band=int(rows),
        text_key="prompt",
    )
    kept, _ = deduplicate.process(data.map(deduplicate.compute_hash))
    kept.to_json(out, force_ascii=False)
    took = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - worked}
    print(json.dumps({"rows": count, **took}))


if __name__ == "__main__":
    main()
