"""Rules by data-juicer's fused filters: run by its own Python, it knows nothing of ours.

    python peer_datajuicer_rules.py IN.jsonl OUT.jsonl MIN_WORDS MAX_WORDS MAX_REPETITION PHRASES

Its operators words_num, word_repetition (of word pairs) and flagged_words (PHRASES is a JSON list), fused into one so
that each text is split once, over a dataset of Hugging Face in this process. Its own `run` would do the same in a
process more, and fetch torch from an index first. Prints {rows, seconds, cpu_seconds}.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from data_juicer.ops.filter.flagged_words_filter import FlaggedWordFilter
from data_juicer.ops.filter.word_repetition_filter import WordRepetitionFilter
from data_juicer.ops.filter.words_num_filter import WordsNumFilter
from data_juicer.ops.op_fusion import FusedFilter
from data_juicer.utils.constant import Fields
from datasets import load_dataset
from loguru import logger


def main() -> None:
    logger.remove()
    source, out, fewest, most, repetition, phrases = sys.argv[1:7]
    banned = json.loads(phrases)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "flagged_words.json").write_text(json.dumps({"en": banned}), encoding="utf-8")
        started, worked = time.perf_counter(), time.process_time()
        data = load_dataset("json", data_files=source, split="train")
        count = len(data)
        common = {"text_key": "prompt", "num_proc": 1}
        filters = [
            WordsNumFilter(min_num=int(fewest), max_num=int(most), **common),
            WordRepetitionFilter(rep_len=2, max_ratio=float(repetition), **common),
            FlaggedWordFilter(
                flagged_words_dir=folder,
                max_ratio=0.0,
                use_words_aug=True,  # phrases of several words are looked up too
                words_aug_group_sizes=sorted({len(phrase.split()) for phrase in banned} - {1}),
                words_aug_join_char=" ",
                **common,
            ),
        ]
        fused = FusedFilter("rules", filters)

        def measured(samples: dict[str, list[Any]]) -> dict[str, list[Any]]:
            return fused.compute_stats_batched(samples | {Fields.stats: [{} for _ in samples["prompt"]]})

        kept = data.map(measured, batched=True).filter(
            lambda samples: list(fused.process_batched(samples)), batched=True
        )
        kept.remove_columns([Fields.stats]).to_json(out, force_ascii=False)
    took = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - worked}
    print(json.dumps({"rows": count, **took}))


if __name__ == "__main__":
    main()
