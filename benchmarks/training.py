"""Sample tokens a second in training: ours beside transformers' Trainer and TRL's SFTTrainer, and beside the limit.

    python -m wheelwork.benchmarks.training                 tokens a second, memory, loss
    python -m wheelwork.benchmarks.training --quick         few steps once: whether it runs

The same samples in the same order, the same LoRA on the same weights, fp32, no checkpoints, each run a process of its
own, in turns. Case `home_broadband`: its seeds, which begin with the same list of labels. Case `nothing shared`: rows
whose system prompts are others from the first word, of 1 to 4 sentences. A sample counts all of its tokens, as if
nothing was shared or padded; a step runs from the end of the one before it, so the first is not counted.

The limit: 4 × parameters × distinct tokens are the floating-point operations of a step (two each for the products
forward and back through weights that stay as they are), over the rate at which two matrices of 1024 × 1024 are
multiplied between the runs. `of the limit` counts all parameters, as is usual; `of the limit, layers alone` only the
weights that a token meets: the layers, and the output layer where a completion token is predicted.

TRL has an environment of its own, which sees the packages of ours; it needs a package index the first time.
"""

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from wheelwork import __version__
from wheelwork.core.loops import load_loop
from wheelwork.core.models.store import ModelStore
from wheelwork.core.naming import find_loop
from wheelwork.core.samples import Message, Sample
from wheelwork.core.training.settings import Training

from .generation import spread
from .grammars import ENGLISH
from .peers import Peer, PeerError, run_to_end, seeing_ours
from .results import Figure, publish

OURS = f"wheelwork {__version__}"
TRL = Peer("trl", "1.16.0", ("trl==1.16.0",), "peer_trainers.py")
SEED, THREADS, REPEATS = 0, 2, 3
STEPS, DEAR = 12, 5  # of a case, and of one that shares nothing
SETTINGS = Training(noise=0, warmup=0.0, checkpoint_steps=1_000_000)


class Run(NamedTuple):
    """What one training took."""

    ends: list[float]  # seconds, at the end of each step
    losses: list[float]
    resident: float  # MiB, the largest

    def rate(self, tokens: Sequence[int]) -> float:
        """Sample tokens a second from the end of the first step to that of the last."""
        return sum(tokens[1:]) / (self.ends[-1] - self.ends[0])


class Case(NamedTuple):
    """Samples that all train on in the same order, which the seed draws."""

    name: str
    samples: list[Sample]
    epochs: int = 1
    seed: int = SEED

    @property
    def settings(self) -> Training:
        return SETTINGS.model_copy(update={"epochs": self.epochs})


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="whether it runs: three steps, once")
    options.add_argument("--child", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.child:
        return child(chosen.child)
    steps, repeats = (3, 1) if chosen.quick else (STEPS, REPEATS)
    found = [figure for case in cases(steps) for figure in compared(case, repeats)]
    publish("training-quick" if chosen.quick else "training", found)


def cases(steps: int) -> list[Case]:
    """The samples of each case, for so many steps at most."""
    seeds = load_loop(find_loop("home_broadband")).material.seed_samples()
    size = SETTINGS.batch_size
    return [Case("home_broadband", seeds[: steps * size]), Case("nothing shared", unshared(min(steps, DEAR) * size))]


def unshared(rows: int) -> list[Sample]:
    """Conversations of which no two begin alike; the same ones each time."""
    draw = random.Random(SEED)
    sentence = ENGLISH.sentences(draw)

    def one() -> Sample:
        texts = (" ".join(sentence() for _ in range(draw.randint(1, 4))), sentence(), sentence())
        roles = ("system", "user", "assistant")
        messages = [Message(role=role, content=text) for role, text in zip(roles, texts, strict=True)]
        return Sample.make(messages, task="qa", origin="seed")

    return [one() for _ in range(rows)]


def compared(case: Case, repeats: int) -> list[Figure]:
    """Every trainer on one case, in turns; what does not run is left out, with a line that says so."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        steps = prepare(case, work)
        trainers = present(work)
        runs: dict[str, list[Run]] = {}
        rates = []
        for turn in range(repeats):
            for name, train in list(trainers.items()):
                try:
                    runs.setdefault(name, []).append(train())
                except PeerError as error:
                    print(f"{name} is left out: {error}", flush=True)
                    trainers.pop(name), runs.pop(name, None)
                    continue
                rates.append(product_rate())
                rate = runs[name][-1].rate(steps["tokens"])
                print(f"{case.name}, {name}, run {turn + 1} of {repeats}: {rate:.0f} sample tokens/s", flush=True)
    return figures(case.name, runs, steps, statistics.median(rates))


def prepare(case: Case, work: Path) -> dict[str, list[int]]:
    """Write what the trainers read to `work`; tokens of each step as samples, as a packed row, and of completions."""
    from transformers import AutoTokenizer
    from wheelwork.core.training.lessons import Course
    from wheelwork.core.training.packing import pack

    base = ModelStore().get("smollm2-135m-instruct")
    course = Course(case.samples, AutoTokenizer.from_pretrained(base.folder), case.settings, case.seed)
    rows = [course[place] for place in range(len(course))]
    request = {
        "base": str(base.folder),
        "rank": SETTINGS.rank,
        "alpha": SETTINGS.alpha,
        "rate": SETTINGS.learning_rate,
        "batch": SETTINGS.batch_size,
        "warmup": 0,
        "seed": case.seed,
        "epochs": case.epochs,
        "threads": THREADS,
        "rows": [{"prompt": row.prompt, "completion": row.completion} for row in rows],
    }
    (work / "request.json").write_text(json.dumps(request), encoding="utf-8")
    lines = [json.dumps(sample.model_dump(mode="json")) for sample in case.samples]
    (work / "samples.jsonl").write_text("\n".join(lines), encoding="utf-8")
    batches = [rows[at : at + SETTINGS.batch_size] for at in range(0, len(rows), SETTINGS.batch_size)]
    return {
        "tokens": [sum(len(row) for row in batch) for batch in batches],
        "distinct": [pack(batch)["input_ids"].shape[1] for batch in batches],
        "learnt": [sum(len(row.completion) for row in batch) for batch in batches],
    }


def present(work: Path) -> dict[str, Callable[[], Run]]:
    """The trainers that can be run here."""
    here, driver = sys.executable, str(Path(__file__).with_name(TRL.driver))
    ours = [here, "-m", "wheelwork.benchmarks.training", "--child", str(work)]
    found = {
        OURS: lambda: run(ours),
        "transformers Trainer": lambda: run([here, "-P", driver, "trainer", str(work)]),
    }
    try:
        python = str(seeing_ours(TRL))
        found[TRL.title] = lambda: run([python, "-P", driver, "trl", str(work)])
    except PeerError as error:
        print(f"{TRL.title} is left out: it cannot be installed: {error}", flush=True)
    return found


def run(command: list[str]) -> Run:
    """One training in a process of its own. Raises PeerError."""
    *_, last = run_to_end(command, 1800).splitlines()
    return Run(**json.loads(last))


def child(work: Path) -> None:
    """Train as a round does, and print what it took."""
    import torch
    from wheelwork.core.training.trainer import train_adapter

    torch.set_num_threads(THREADS)
    asked = json.loads((work / "request.json").read_text(encoding="utf-8"))
    lines = (work / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    samples = [Sample.model_validate_json(line) for line in lines]
    ends: list[float] = []
    trained = train_adapter(
        samples,
        ModelStore().get("smollm2-135m-instruct"),
        Case("", samples, asked["epochs"]).settings,
        seed=asked["seed"],
        target=work / "adapter",
        checkpoints=work,
        on_step=lambda *_: ends.append(time.perf_counter()),
    )
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"ends": ends, "losses": trained.losses, "resident": resident}))


PRODUCTS = """
import time, torch
torch.set_num_threads({threads})
one, other = torch.randn(1024, 1024), torch.randn(1024, 1024)
one @ other
def seconds():
    began = time.perf_counter()
    for _ in range(10):
        one @ other
    return (time.perf_counter() - began) / 10
print(2 * 1024**3 / sorted(seconds() for _ in range(7))[3])
"""


def product_rate() -> float:
    """Floating-point operations a second of an fp32 matrix product, median of seven."""
    script = PRODUCTS.format(threads=THREADS)
    return float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)


def figures(case: str, runs: dict[str, list[Run]], steps: dict[str, list[int]], rate: float) -> list[Figure]:
    """Tokens a second of each, our ratio to the others, loss, memory, and the distance to the limit."""
    found = [Figure("machine", "torch", "fp32 matrix product, median", rate / 1e9, "GFLOP/s")]
    rates = {name: [one.rate(steps["tokens"]) for one in own] for name, own in runs.items()}
    for name, own in runs.items():
        found += spread(case, name, "sample tokens", rates[name], "tokens/s")
        found.append(Figure(case, name, "loss of the last step", own[0].losses[-1], "nats"))
        found.append(Figure(case, name, "resident, largest", max(one.resident for one in own), "MiB"))
        if name != OURS:
            times = [ours / other for ours, other in zip(rates[OURS], rates[name], strict=True)]
            found += spread(case, OURS, f"times {name}", times, "×")
            apart = max(abs(a - b) for a, b in zip(runs[OURS][0].losses, own[0].losses, strict=True))
            found.append(Figure(case, OURS, f"loss apart from {name}, most", apart, "nats"))
    seconds = [one.ends[-1] - one.ends[0] for one in runs[OURS]]
    everything, layers, head = parameters()
    distinct, learnt = sum(steps["distinct"][1:]), sum(steps["learnt"][1:])
    for metric, work in (
        ("of the limit", 4 * everything * distinct),
        ("of the limit, layers alone", 4 * (layers * distinct + head * learnt)),
    ):
        found += spread(case, OURS, metric, [100 * work / rate / one for one in seconds], "%")
    return found


def parameters() -> tuple[int, int, int]:
    """Weights of the embedded model: all, those of the layers, those of the output layer."""
    from transformers import AutoModelForCausalLM

    network: Any = AutoModelForCausalLM.from_pretrained(ModelStore().get("smollm2-135m-instruct").folder)
    everything = sum(weight.numel() for weight in network.parameters())
    head = network.get_output_embeddings().weight.numel()
    return everything, everything - head, head  # the output layer is the embedding


if __name__ == "__main__":
    main()
