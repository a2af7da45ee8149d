"""distilabel against the mock: run by distilabel's own Python, it knows nothing of ours.

    python peer_distilabel.py URL PARALLEL FOLDER ROWS [ROWS …]

`FOLDER/request.json` says what to ask. Prints {rows, seconds, cpu_seconds} of each run, one line each. Settings: as
many rows to a batch as calls in parallel (the calls of a batch go out at once, those of the next after them), ten
batches to one of the step before, cache off, no metadata columns. More rows to a batch, 256, cost some 7% less CPU, but
are more calls in parallel; two replicas of 32 rows cost more. The clock runs from `run` to its return, which has the
rows in parquet.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration


class QuestionAnswer(TextGeneration):
    """The task that takes a prompt as it is, with the reply parsed into two columns."""

    @property
    def outputs(self) -> list[str]:
        return ["question", "answer", "model_name"]

    def format_output(self, output: str | None, input: dict[str, Any] | None = None) -> dict[str, Any]:
        read = json.loads(output or "")
        return {"question": read["question"], "answer": read["answer"]}


def run(url: str, parallel: int, folder: Path, rows: int) -> dict[str, float]:
    asked = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    data = [{"system_prompt": asked["system"], "instruction": asked["user"]} for _ in range(rows)]
    sampling = {"max_new_tokens": asked["max_tokens"], "temperature": asked["temperature"], "top_p": asked["top_p"]}
    with Pipeline(name=f"rows-{rows}", cache_dir=folder / "distilabel", enable_metadata=False) as pipeline:
        given = LoadDataFromDicts(data=data, batch_size=10 * parallel)
        model = OpenAILLM(model="mock", base_url=url, api_key="none", generation_kwargs=sampling)
        given >> QuestionAnswer(llm=model, input_batch_size=parallel, add_raw_input=False, add_raw_output=False)
    started, worked = time.perf_counter(), cpu_seconds()
    made = pipeline.run(use_cache=False)["default"]["train"]
    seconds, worked = time.perf_counter() - started, cpu_seconds() - worked
    return {"rows": sum(bool(text) for text in made["question"]), "seconds": seconds, "cpu_seconds": worked}


def cpu_seconds() -> float:
    """Of this process and the workers that have ended; a pipeline's have when `run` returns."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    for count in map(int, sys.argv[4:]):
        print(json.dumps(run(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), count)), flush=True)
