"""Perplexity on a tiny random Llama, beside one forward pass a row with all logits."""

import math
from pathlib import Path
from typing import Any

import pytest
from wheelwork.core.errors import ModelError
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.core.quality.scores.likelihood import Likelihood, Surprise
from wheelwork.core.quality.scores.models import Found
from wheelwork.core.quality.scores.perplexity import Perplexity
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.core.quality.scores.rows import context, found, row, through
from wheelwork.tests.tiny import tiny_adapter, tiny_bert, tiny_llama_gguf

SYSTEM = "You help customers of an internet provider. Answer in one short sentence."
ASKED = ["The modem shows a red light.", "My bill is high.", "Can you move the line? I need it on the 3rd of May."]
ANSWERS = ["Switch it off and on.", "I will check the bill.", "Yes.", "We can move it, tell us the new address first."]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    folder = tmp_path_factory.mktemp("llama")
    return ModelStore(folder / "store").get(str(tiny_llama_gguf(folder / "tiny.gguf")))


@pytest.fixture(scope="module")
def rows() -> list[Sample]:
    """Twelve conversations with the same system prompt, and a long and a short one of their own."""
    told = [
        Sample.make(
            [
                Message(role="system", content=SYSTEM),
                Message(role="user", content=ASKED[at % 3]),
                Message(role="assistant", content=ANSWERS[at % 4]),
            ],
            task="qa",
            origin="import",
        )
        for at in range(12)
    ]
    return [*told, row("Why? " * 60, "Because. " * 40), row("Hi", "Hello")]


def by_hand(files: ModelFiles, sample: Sample, adapter: Path | None = None) -> tuple[float, int]:
    """Nats and tokens of the answer, from the whole logits of one row."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(files.folder)
    model: Any = AutoModelForCausalLM.from_pretrained(files.folder)
    if adapter:
        model = PeftModel.from_pretrained(model, str(adapter))
    turns = [turn.model_dump() for turn in sample.messages]
    prompt = tokenizer.apply_chat_template(turns[:-1], tokenize=False, add_generation_prompt=True)
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    after = tokenizer(turns[-1]["content"] + "<|im_end|>", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = model.eval()(torch.tensor([before + after])).logits[0]
    chances = torch.log_softmax(logits.double(), dim=-1)
    at = range(len(before) - 1, len(before) + len(after) - 1)
    return -sum(float(chances[place, token]) for place, token in zip(at, after, strict=True)), len(after)


def test_an_answer_is_as_likely_as_a_plain_forward_pass_says(llama: ModelFiles, rows: list[Sample]) -> None:
    scores = Perplexity()(rows, context({"base": Found(llama)})).scores
    for at, sample in enumerate(rows):
        nats, tokens = by_hand(llama, sample)
        assert scores["perplexity"][at] == pytest.approx(math.exp(nats / tokens), rel=1e-4)
        bits = nats / math.log(2) / len(sample.completion.encode())
        assert scores["bits_per_byte"][at] == pytest.approx(bits, rel=1e-4)


def test_a_row_is_as_likely_whatever_its_company(llama: ModelFiles, rows: list[Sample]) -> None:
    within = context({"base": Found(llama)})
    together = Perplexity()(rows, within).scores["perplexity"]
    alone = [Perplexity()([sample], within).scores["perplexity"][0] for sample in rows]
    assert together == pytest.approx(alone, rel=1e-4)


def test_a_model_that_takes_no_packed_rows_reads_one_at_a_time(llama: ModelFiles, rows: list[Sample]) -> None:
    packed, single = Likelihood.load(Found(llama)), Likelihood.load(Found(llama))
    single._packs = False
    one, other = (model.of_completions(rows, 1024, print) for model in (packed, single))
    assert [read.nats for read in one if isinstance(read, Surprise)] == pytest.approx(
        [read.nats for read in other if isinstance(read, Surprise)], rel=1e-4
    )
    assert packed._packs and len(one) == len(rows)


def test_the_champion_reads_with_its_adapter(llama: ModelFiles, rows: list[Sample], tmp_path: Path) -> None:
    adapter = tiny_adapter(tmp_path / "adapter", llama.folder, std=0.3)
    models = {"champion": Found(llama, adapter, "digest"), "base": Found(llama)}
    (with_it,) = Perplexity(model="champion")(rows[:1], context(models)).scores["perplexity"]
    (without,) = Perplexity()(rows[:1], context(models)).scores["perplexity"]
    nats, tokens = by_hand(llama, rows[0], adapter)
    assert with_it == pytest.approx(math.exp(nats / tokens), rel=1e-4) and with_it != pytest.approx(without, rel=1e-2)


def test_a_text_without_an_answer_is_read_by_itself(llama: ModelFiles) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    text = "The Wi-Fi drops in the bedroom"
    tokenizer = AutoTokenizer.from_pretrained(llama.folder)
    ids = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    with torch.no_grad():
        loss = float(
            AutoModelForCausalLM.from_pretrained(llama.folder)(torch.tensor([ids]), labels=torch.tensor([ids])).loss
        )
    within = context({"base": Found(llama)})
    (alone,) = Perplexity()([row(text)], within).scores["perplexity"]
    (chosen,) = Perplexity(of="text")([row(text, "some answer")], within).scores["perplexity"]
    assert alone == pytest.approx(math.exp(loss), rel=1e-4) and chosen == pytest.approx(alone, rel=1e-6)


def test_long_and_empty_rows_are_cut_or_unscored_and_told(llama: ModelFiles) -> None:
    rows = [row(""), row("word " * 90, "yes"), row("Hi", "word " * 90), row("Hi", "Hello")]
    kept, _, count = through(Perplexity(max_tokens=64), rows, context({"base": Found(llama)}))
    assert ["perplexity" in sample.scores for sample in kept] == [False, False, True, True]
    assert ["bits_per_byte" in sample.scores for sample in kept] == [False, False, False, True]
    assert count.notes == (
        "perplexity: 1 of 4 rows were cut at 64 tokens.",
        "perplexity: 2 of 4 rows could not be scored (empty 1, too_long 1) and were kept.",
    )


def test_what_the_model_finds_odd_is_dropped(llama: ModelFiles, rows: list[Sample]) -> None:
    within = context({"base": Found(llama)})
    scores = Perplexity()(rows, within).scores["perplexity"]
    bar = sorted(score for score in scores if score is not None)[6]
    kept, dropped, count = through(Perplexity(max=bar), rows, within)
    assert {sample.reject_reason for sample in dropped} == {"perplexity_high"}
    assert all(sample.scores["perplexity"] <= bar for sample in kept) and len(kept) + len(dropped) == len(rows)
    assert count.figures["p5"] <= count.figures["median"] <= count.figures["p95"]


def test_a_remark_about_the_model_is_told(llama: ModelFiles) -> None:
    instead = Found(llama, remark="were read by the base")
    *_, count = through(Perplexity(model="champion"), [row("Hi", "Hello")], context({"champion": instead}))
    assert count.notes == ("perplexity: 1 of 1 rows were read by the base.",)


def test_what_is_no_causal_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no causal language model"):
        Likelihood.load(found(tiny_bert(tmp_path / "bert", ["a"])))
    with pytest.raises(ModelError, match="cannot be loaded"):
        Likelihood.load(found(tmp_path / "nowhere"))
