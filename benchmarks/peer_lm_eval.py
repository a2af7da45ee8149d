"""Prompts answered by lm-eval's `hf` backend.

    python peer_lm_eval.py FOLDER

`FOLDER/request.json` says base, adapter, threads, tokens at most and items in a batch; `FOLDER/rows.jsonl` holds the
prompts as the model reads them. Prints {seconds, replies}: of `generate_until` alone, in the order of the rows.
"""

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import torch
from lm_eval.evaluator import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager


class Timed(HFLM):
    """The backend, and how long its replies took."""

    seconds = 0.0

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        began = time.perf_counter()
        replies: list[str] = super().generate_until(requests, disable_tqdm=True)
        self.seconds += time.perf_counter() - began
        return replies


def main() -> None:
    folder = Path(sys.argv[1])
    asked = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    torch.set_num_threads(asked["threads"])
    adapter = {"peft": asked["adapter"]} if asked["adapter"] else {}
    model = Timed(pretrained=asked["base"], dtype="float32", device="cpu", batch_size=asked["batch"], **adapter)
    task = {
        "task": "items",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "rows.jsonl")}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{number}}",
        "num_fewshot": 0,
        "generation_kwargs": {"until": ["<|im_end|>"], "max_gen_toks": asked["max_tokens"], "do_sample": False},
        "metric_list": [{"metric": "exact_match"}],
    }
    manager = TaskManager(include_defaults=False)
    told = simple_evaluate(model=model, tasks=[task], task_manager=manager, bootstrap_iters=0, log_samples=True)
    rows = sorted(told["samples"]["items"], key=lambda row: row["doc"]["number"])
    print(json.dumps({"seconds": model.seconds, "replies": [row["resps"][0][0] for row in rows]}))


if __name__ == "__main__":
    main()
