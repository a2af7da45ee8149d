"""Near duplicates by datasketch: run by datasketch's own Python, it knows nothing of ours.

    python peer_datasketch.py IN.jsonl OUT.jsonl THRESHOLD PERMUTATIONS BANDS ROWS_A_BAND

Reads the column `prompt` of each row and writes the rows that are like none before them, end to end. Word triples of
the folded text as with us; signatures in bulk; MinHashLSH with its own choice of bands for the threshold, as it is used
by most. Prints {rows, seconds, cpu_seconds}.
"""

import json
import re
import sys
import time
from itertools import islice
from pathlib import Path

from datasketch import MinHash, MinHashLSH

BATCH = 2048


def main() -> None:
    source, out, threshold, permutations = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    started, worked, count = time.perf_counter(), time.process_time(), 0
    lsh = MinHashLSH(threshold=threshold, num_perm=permutations)
    with source.open(encoding="utf-8") as lines, out.open("w", encoding="utf-8") as kept:
        while batch := list(islice(lines, BATCH)):
            sets = [triples(json.loads(line)["prompt"]) for line in batch]
            for line, signature in zip(batch, MinHash.generator(sets, num_perm=permutations), strict=True):
                if not lsh.query(signature):
                    kept.write(line)
                    lsh.insert(count, signature)
                count += 1
    took = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - worked}
    print(json.dumps({"rows": count, **took}))


def triples(text: str) -> list[bytes]:
    words = re.findall(r"\w+", text.lower())
    return [" ".join(words[at : at + 3]).encode() for at in range(max(1, len(words) - 2))]


if __name__ == "__main__":
    main()
