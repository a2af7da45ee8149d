"""Items a second: a suite answered through our engine, beside lm-eval's `hf` backend on the same prompts and weights.

    python -m wheelwork.benchmarks.suites                items a second, scores, whether replies agree; 96 items
    python -m wheelwork.benchmarks.suites --quick        a few items once: whether it runs
    python -m wheelwork.benchmarks.suites --adapter DIR  the same with a LoRA adapter on the base

Case `demo`: the holdout of home_broadband as a round asks it. Case `long prompt`: the same items under a system prompt
with examples, which all items share; 400 tokens and more. Both get the same tokens and write as many. Ours is the
loop's engine without the reply cache, theirs transformers in float32 on the weights that ours are made of, padded
batches of the size that was quickest on the first items. Loading is not counted, nor what is done once: scoring, the
building of requests. Runs go in turns, so that whatever else the machine does falls on both.

lm-eval has an environment of its own, which sees the packages of ours; it needs a package index the first time.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from wheelwork import __version__
from wheelwork.core.engines.base import Adapter
from wheelwork.core.evaluation.benchmark import Render, Replies, ask_suite, score_replies
from wheelwork.core.evaluation.scorers import Item, Opened
from wheelwork.core.evaluation.suites import Suite
from wheelwork.core.loops import Loop, load_loop
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.core.naming import find_loop
from wheelwork.core.samples import Message

from .arguments import positive
from .cells import few
from .generation import spread
from .peers import Peer, PeerError, run_to_end, secluded, seeing_ours
from .results import Figure, publish

OURS = f"wheelwork {__version__}"
LM_EVAL = Peer("lm-eval", "0.4.13", ("lm_eval==0.4.13",), "peer_lm_eval.py")
THEIRS = f"{LM_EVAL.title}, hf"
THREADS, REPEATS, SHARED, TRIED = 2, 3, 400, 24
BATCHES = (1, 4, 16)


class Case(NamedTuple):
    """Items, and how they are asked."""

    name: str
    suite: Suite
    render: Render


class Run(NamedTuple):
    """What one pass over the items took, and the replies in their order."""

    seconds: float
    replies: tuple[str, ...]

    def rate(self) -> float:
        return len(self.replies) / self.seconds


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="whether it runs: twelve items, once")
    options.add_argument("--items", type=positive, default=96, help="items of the holdout, spread over it")
    options.add_argument("--adapter", type=Path, metavar="DIR", help="a LoRA adapter that answers; unset: the base")
    chosen = options.parse_args()
    items, repeats = (12, 1) if chosen.quick else (chosen.items, REPEATS)
    loop = load_loop(find_loop("home_broadband"))
    base = ModelStore().get(loop.model_ref(loop.settings.model))
    try:
        python = str(seeing_ours(LM_EVAL))
    except PeerError as error:
        raise SystemExit(f"{LM_EVAL.title} cannot be installed: {error}") from None
    found: list[Figure] = []
    for case in cases(loop, base, items):
        found += compared(case, loop, base, chosen.adapter, python, repeats)
    publish("suites-quick" if chosen.quick else "suites", found)


def cases(loop: Loop, base: ModelFiles, items: int) -> list[Case]:
    """The demo's holdout, and the same under a long prompt."""
    suite = few(loop.suites["holdout"], items)
    return [Case("demo", suite, loop.render), Case("long prompt", suite, with_examples(loop, tokenizer_of(base)))]


def with_examples(loop: Loop, tokenizer: Any) -> Render:
    """Asks as the loop does, with as many seeds in the system prompt as make it SHARED tokens long."""
    system = ""
    for seed in loop.seeds:
        system += f"\nMessage: {seed.text}\nLabel: {seed.label}\n"
        if len(tokenizer(system)["input_ids"]) >= SHARED:
            break

    def render(suite: Suite, item: Item) -> tuple[Message, ...]:
        first, *others = loop.render(suite, item)
        return (first.model_copy(update={"content": f"{first.content}\n\nExamples:\n{system}"}), *others)

    return render


def tokenizer_of(base: ModelFiles) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(base.folder, local_files_only=True)


def compared(case: Case, loop: Loop, base: ModelFiles, adapter: Path | None, python: str, repeats: int) -> list[Figure]:
    """Both on one case, in turns."""
    prompts = rendered(case, tokenizer_of(base))
    request = {
        "base": str(base.folder),
        "adapter": str(adapter.resolve()) if adapter else None,
        "threads": THREADS,
        "max_tokens": case.suite.settings.max_tokens,
    }
    batch = quickest(python, request, prompts[:TRIED]) if repeats > 1 else BATCHES[1]
    runs: dict[str, list[Run]] = {OURS: [], THEIRS: []}
    for turn in range(repeats):
        for name in runs:
            run = (
                ours(case, loop, base, adapter) if name == OURS else theirs(python, request | {"batch": batch}, prompts)
            )
            runs[name].append(run)
            print(f"{case.name}, {name}, run {turn + 1} of {repeats}: {run.rate():.2f} items/s", flush=True)
    return figures(case, runs, shared_tokens(prompts, tokenizer_of(base)), batch)


def rendered(case: Case, tokenizer: Any) -> list[str]:
    """What the model reads for each item, as text."""
    turns = [[turn.model_dump() for turn in case.render(case.suite, item)] for item in case.suite.items]
    return [str(tokenizer.apply_chat_template(one, tokenize=False, add_generation_prompt=True)) for one in turns]


def ours(case: Case, loop: Loop, base: ModelFiles, adapter: Path | None) -> Run:
    """The items through the engine that serves; nothing is looked up."""
    adapters = {"one": Adapter.at(adapter)} if adapter else {}

    async def answered(engine: Any) -> tuple[float, Replies]:
        async with aclosing(engine.chat("one" if adapter else None)) as chat:
            began = time.perf_counter()
            replies = await ask_suite(chat, case.suite, case.render)
            return time.perf_counter() - began, replies

    with (
        tempfile.TemporaryDirectory() as folder,
        loop.engine_for(base).start(base, adapters, Path(folder)) as engine,
    ):
        seconds, replies = asyncio.run(answered(engine))
    return Run(seconds, tuple(one[0] for one in replies))


def theirs(python: str, request: dict[str, Any], prompts: Sequence[str]) -> Run:
    """The same prompts through lm-eval's `hf` backend, in a process of its own. Raises PeerError."""
    driver = str(Path(__file__).with_name(LM_EVAL.driver))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "request.json").write_text(json.dumps(request), encoding="utf-8")
        rows = [json.dumps({"prompt": prompt, "number": at}) for at, prompt in enumerate(prompts)]
        (Path(folder) / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
        *_, last = run_to_end([python, "-P", driver, folder], 3600, secluded(folder)).splitlines()
    told = json.loads(last)
    return Run(told["seconds"], tuple(told["replies"]))


def quickest(python: str, request: dict[str, Any], prompts: Sequence[str]) -> int:
    """The size of batches with which lm-eval is quickest on a few items."""
    rates = {batch: theirs(python, request | {"batch": batch}, prompts).rate() for batch in BATCHES}
    print("lm-eval by size of batches: " + ", ".join(f"{n}: {rate:.2f}/s" for n, rate in rates.items()), flush=True)
    return max(rates, key=lambda batch: rates[batch])


def shared_tokens(prompts: Sequence[str], tokenizer: Any) -> int:
    """Tokens that all prompts begin with."""
    ids = [tokenizer(prompt)["input_ids"] for prompt in prompts]
    return next((at for at, column in enumerate(zip(*ids, strict=False)) if len(set(column)) > 1), min(map(len, ids)))


def figures(case: Case, runs: dict[str, list[Run]], shared: int, batch: int) -> list[Figure]:
    """Items a second, our ratio, and how far replies and scores agree."""
    rates = {name: [run.rate() for run in own] for name, own in runs.items()}
    found = [
        Figure(case.name, "both", "prompt tokens shared by all items", shared, "tokens"),
        Figure(case.name, "both", "items", len(case.suite.items), "items"),
        Figure(case.name, THEIRS, "items in a batch", batch, "items"),
    ]
    for name in runs:
        found += spread(case.name, name, "items", rates[name], "items/s")
    ratios = [one / other for one, other in zip(rates[OURS], rates[THEIRS], strict=True)]
    found += spread(case.name, OURS, f"times {THEIRS}", ratios, "×")
    scores = {name: scored(case, own[0].replies) for name, own in runs.items()}
    for name, values in scores.items():
        found.append(Figure(case.name, name, "mean score", sum(values) / len(values), "share right"))
    pairs = list(zip(runs[OURS][0].replies, runs[THEIRS][0].replies, strict=True))
    same = sum(one.strip() == other.strip() for one, other in pairs)
    alike = sum(one == other for one, other in zip(*scores.values(), strict=True))
    found.append(Figure(case.name, "both", "items with the same reply", 100 * same / len(pairs), "%"))
    found.append(Figure(case.name, "both", "items with the same score", 100 * alike / len(pairs), "%"))
    return found


def scored(case: Case, replies: Sequence[str]) -> list[float]:
    """The score of each reply, by the suite's own scorer."""
    single = replace(case.suite, settings=case.suite.settings.model_copy(update={"repeats": 1}))
    answered = score_replies(single, tuple((reply,) for reply in replies), case.render, Opened())
    return [value or 0.0 for value in answered.values]


if __name__ == "__main__":
    main()
