"""Log-likelihoods of choices and answers on a tiny random Llama, beside one plain forward pass for each."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from wheelwork.core.engines.base import Adapter
from wheelwork.core.errors import DataError, ModelError
from wheelwork.core.evaluation.benchmark import Answered
from wheelwork.core.evaluation.reading import read_suite_likelihoods, readings, training_stack
from wheelwork.core.evaluation.scorers import AnswerPerplexity, Item, MultipleChoice, Score
from wheelwork.core.evaluation.suites import Suite, SuiteSettings
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.core.quality.scores.likelihood import Surprise
from wheelwork.core.samples import Message
from wheelwork.tests.tiny import tiny_adapter, tiny_llama_gguf

CHOICES = ("red", "the optical modem", "no light at all, since this morning")


@pytest.fixture(autouse=True, scope="module")
def alone(one_thread: None) -> None:
    """Every test here computes on one thread."""


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    folder = tmp_path_factory.mktemp("llama")
    return ModelStore(folder / "store").get(str(tiny_llama_gguf(folder / "tiny.gguf")))


@pytest.fixture(scope="module")
def adapters(llama: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Adapter]:
    folder = tmp_path_factory.mktemp("adapters")
    names = enumerate(("champion", "candidate"), 1)
    return {name: Adapter.at(tiny_adapter(folder / name, llama.folder, seed=seed)) for seed, name in names}


def chosen(prompt: str, right: int) -> Item:
    return Item(id=prompt, prompt=prompt, choices=CHOICES, choice=right)


def suite_of(scorer: MultipleChoice | AnswerPerplexity, *items: Item) -> Suite:
    settings = SuiteSettings(role="target", path="x.jsonl", scorer=scorer)
    return Suite("quiz", settings, Path("x.jsonl"), items, tuple(range(1, len(items) + 1)), "digest")


def render(suite: Suite, item: Item) -> tuple[Message, ...]:
    return Message(role="system", content="Answer the question."), Message(role="user", content=item.prompt)


def read(llama: ModelFiles, adapters: dict[str, Adapter], suite: Suite, adapter: str | None = None) -> Answered:
    with training_stack(llama, adapters) as stack:
        return read_suite_likelihoods(suite, stack.model(adapter), render, lambda done: None)


def by_hand(llama: ModelFiles, adapter: Adapter | None, item: Item, reply: str, end: str) -> tuple[float, int]:
    """Nats and tokens of a reply, from the whole logits of one row."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(llama.folder)
    model: Any = AutoModelForCausalLM.from_pretrained(llama.folder)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter.folder))
    turns = [turn.model_dump() for turn in render(suite_of(MultipleChoice()), item)]
    prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    after = tokenizer(reply + end, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = model.eval()(torch.tensor([before + after])).logits[0]
    chances = torch.log_softmax(logits.double(), dim=-1)
    at = range(len(before) - 1, len(before) + len(after) - 1)
    return -sum(float(chances[place, token]) for place, token in zip(at, after, strict=True)), len(after)


ITEMS = (chosen("Which light shows?", 0), chosen("What is dead?", 1), chosen("Why is my bill higher?", 2))


@pytest.mark.parametrize("adapter", [None, "champion", "candidate"])
@pytest.mark.parametrize(("by", "end"), [("sum", True), ("token", True), ("character", False)])
def test_the_likeliest_choice_is_that_of_a_plain_forward_pass(
    llama: ModelFiles, adapters: dict[str, Adapter], adapter: str | None, by: Any, end: bool
) -> None:
    scorer = MultipleChoice(by=by, end_mark=end, score="probability")
    found = read(llama, adapters, suite_of(scorer, *ITEMS), adapter)
    for item, score, reply in zip(ITEMS, found.scores, found.replies, strict=True):
        mark = "<|im_end|>" if end else ""
        own = adapters[adapter] if adapter else None
        told = [by_hand(llama, own, item, choice, mark) for choice in CHOICES]
        lengths = {"sum": [1] * 3, "token": [n for _, n in told], "character": [len(choice) for choice in CHOICES]}[by]
        likely = [-nats / length for (nats, _), length in zip(told, lengths, strict=True)]
        weights = [math.exp(value - max(likely)) for value in likely]
        assert reply == CHOICES[likely.index(max(likely))]
        assert item.choice is not None
        assert score.value == pytest.approx(weights[item.choice] / sum(weights), abs=1e-4)
        assert score.confidence == pytest.approx(max(weights) / sum(weights), abs=1e-4)


def test_models_differ_and_each_is_what_it_is_alone(llama: ModelFiles, adapters: dict[str, Adapter]) -> None:
    suite = suite_of(MultipleChoice(score="probability"), *ITEMS)
    with training_stack(llama, adapters) as stack:
        names = (None, "candidate", "champion", None)
        found = [read_suite_likelihoods(suite, stack.model(name), render, lambda done: None).values for name in names]
    assert found[0] == found[3] != found[1] != found[2]
    assert read(llama, {}, suite).values == pytest.approx(found[0], abs=1e-5)


def test_the_perplexity_of_the_likeliest_answer(llama: ModelFiles, adapters: dict[str, Adapter]) -> None:
    item = Item(id="a", prompt="Which light shows?", answers=CHOICES)
    heard: list[int] = []
    suite = suite_of(AnswerPerplexity(), item)
    with training_stack(llama, adapters) as stack:
        found = read_suite_likelihoods(suite, stack.model("candidate"), render, heard.append)
    told = [by_hand(llama, adapters["candidate"], item, answer, "<|im_end|>") for answer in CHOICES]
    assert found.values == pytest.approx((max(-nats / tokens for nats, tokens in told),), rel=1e-4)
    assert heard[-1] == readings(suite) == 3


def test_a_prompt_that_the_model_cannot_read_is_unscored(llama: ModelFiles) -> None:
    found = read(llama, {}, suite_of(MultipleChoice(), chosen("why? " * 3000, 0), ITEMS[0]))
    assert found.scores[0] == Score.unscored("too_long") and found.scores[1].scored


def test_an_adapter_of_another_base_is_refused(llama: ModelFiles, tmp_path: Path) -> None:
    other = tiny_adapter(tmp_path / "other", llama.folder, r=4)
    (other / "adapter_model.safetensors").write_bytes(b"damaged")
    with (
        pytest.raises(ModelError, match="this adapter does not fit"),
        training_stack(llama, {"candidate": Adapter.at(other)}),
    ):
        pass


# the pure part


def surprises(*nats: float) -> list[Surprise | str]:
    return [Surprise(value, 2, False) for value in nats]


@given(some.lists(some.floats(0, 50), min_size=2, max_size=5), some.data())
def test_probabilities_add_up_and_accuracy_goes_by_the_likeliest(nats: list[float], data: Any) -> None:
    choices = tuple(f"choice {at}" for at in range(len(nats)))
    right = data.draw(some.integers(0, len(nats) - 1))
    shares = []
    for at in range(len(nats)):
        item = Item(id="a", prompt="?", choices=choices, choice=at)
        shares.append(MultipleChoice(score="probability").judge(item, surprises(*nats))[1].value or 0.0)
    assert sum(shares) == pytest.approx(1.0)
    item = Item(id="a", prompt="?", choices=choices, choice=right)
    reply, score = MultipleChoice().judge(item, surprises(*nats))
    assert reply == choices[nats.index(min(nats))]
    assert score.value == float(nats.index(min(nats)) == right)
    assert score.confidence == pytest.approx(max(shares))


def test_what_could_not_be_read_whole_is_unscored() -> None:
    item = Item(id="a", prompt="?", choices=("x", "y"), choice=0)
    assert MultipleChoice().judge(item, ["not_finite", *surprises(1.0)])[1] == Score.unscored("not_finite")
    assert MultipleChoice().judge(item, [Surprise(1.0, 2, True), *surprises(1.0)])[1] == Score.unscored("too_long")
    answers = Item(id="a", prompt="?", answers=("x", "y"))
    assert AnswerPerplexity().judge(answers, ["too_long", *surprises(3.0)])[1] == Score(-1.5)
    assert AnswerPerplexity().judge(answers, ["too_long", "too_long"])[1] == Score.unscored("too_long")


def test_an_item_without_a_right_choice_is_refused() -> None:
    with pytest.raises(DataError, match="needs at least two `choices` and the right one as `answer`"):
        MultipleChoice().check(Item(id="a", prompt="?", choices=("x", "y")))
