"""NVIDIA DataDesigner against the mock: run by its own Python, it knows nothing of ours.

    python peer_datadesigner.py URL PARALLEL FOLDER ROWS [ROWS …]

`FOLDER/request.json` says what to ask. Prints {rows, seconds, cpu_seconds} of each run, one line each. Settings:
the native template engine, metrics and health check off, sizes of batches as they come. A text column with the reply
parsed by a function for the whole batch costs less than its structured column, which also writes the schema into the
prompt. The clock stops when the last batch is in parquet: the profile that follows is not counted.
"""

import json
import resource
import sys
import time
from pathlib import Path

import data_designer.config as dd
import pandas as pd
from data_designer.interface import DataDesigner


@dd.custom_column_generator(required_columns=["reply"], side_effect_columns=["answer"])
def question(df: pd.DataFrame) -> pd.DataFrame:
    read = [json.loads(reply) for reply in df["reply"]]
    return df.assign(question=[one["question"] for one in read], answer=[one["answer"] for one in read])


def run(url: str, parallel: int, folder: Path, rows: int) -> dict[str, float]:
    asked = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    sampling = dd.ChatCompletionInferenceParams(
        max_parallel_requests=parallel, **{name: asked[name] for name in ("max_tokens", "temperature", "top_p")}
    )
    model = dd.ModelConfig(
        alias="writer", model="mock", provider="mock", inference_parameters=sampling, skip_health_check=True
    )
    config = dd.DataDesignerConfigBuilder(model_configs=[model])
    # a dataset needs a column that no model writes
    config.add_column(
        dd.SamplerColumnConfig(name="id", sampler_type=dd.SamplerType.UUID, params=dd.UUIDSamplerParams())
    )
    config.add_column(
        dd.LLMTextColumnConfig(name="reply", prompt=asked["user"], system_prompt=asked["system"], model_alias="writer")
    )
    config.add_column(
        dd.CustomColumnConfig(name="question", generator_function=question, generation_strategy="full_column")
    )
    provider = dd.ModelProvider(name="mock", endpoint=url, api_key="none")
    designer = DataDesigner(artifact_path=folder / "data-designer", model_providers=[provider])
    designer.set_run_config(dd.RunConfig(jinja_rendering_engine="native", otel_metrics_port=None))
    written: list[tuple[float, float]] = []
    started, worked = time.perf_counter(), cpu_seconds()
    made = designer.create(
        config,
        num_records=rows,
        dataset_name=f"rows-{rows}",
        on_batch_complete=lambda _: written.append((time.perf_counter(), cpu_seconds())),
    ).load_dataset()
    ended, used = written[-1]
    return {"rows": int(made["question"].notna().sum()), "seconds": ended - started, "cpu_seconds": used - worked}


def cpu_seconds() -> float:
    """Of this process; it has no others."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    for count in map(int, sys.argv[4:]):
        print(json.dumps(run(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), count)), flush=True)
