"""Tasks of lm-eval over our own chats and log-likelihoods, beside lm-eval's `hf` backend on the same tiny weights."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval")

from wheelwork.core.chat.messages import ChatRequest, Reply
from wheelwork.core.engines.transformers import Transformers
from wheelwork.core.errors import ConfigError
from wheelwork.core.evaluation.lm_eval_task import Harness, answers_with, load_task
from wheelwork.core.evaluation.reading import training_stack
from wheelwork.core.evaluation.scorers import LmEval
from wheelwork.core.evaluation.suites import Suite, SuiteSettings, read_suite
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.tests.tiny import tiny_llama_gguf

ROWS = [
    {"question": "Which light shows on the modem?", "choices": ["red", "a green light", "no light"], "gold": 0},
    {"question": "Which light shows on the modem?", "choices": ["red", "a green light", "no light"], "gold": 1},
    {"question": "What drops every evening?", "choices": ["the bill", "the Wi-Fi", "the price"], "gold": 1},
    {"question": "Why?", "choices": ["because", "no", "the new address, on the 3rd of May"], "gold": 2},
]
TASK = """
task: quiz
dataset_path: json
dataset_kwargs: {{data_files: {{test: rows.jsonl}}}}
test_split: test
output_type: {output}
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
{rest}
"""
CHOICE = """doc_to_choice: "{{choices}}"
doc_to_target: gold
metric_list: [{metric: acc}, {metric: acc_norm}]"""
REPLY = """doc_to_target: "{{choices[gold]}}"
generation_kwargs: {until: ["\\n\\n"], max_gen_toks: 12, do_sample: false}
metric_list: [{metric: exact_match, ignore_case: true}]"""
ROLLING = """doc_to_target: "{{question}} {{choices[gold]}}"
metric_list: [{metric: word_perplexity}]"""


@pytest.fixture(autouse=True, scope="module")
def alone(one_thread: None) -> None:
    """Every test here computes on one thread."""


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    folder = tmp_path_factory.mktemp("llama")
    return ModelStore(folder / "store").get(str(tiny_llama_gguf(folder / "tiny.gguf")))


def a_task(folder: Path, output: str, rest: str) -> Path:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    (folder / "quiz.yaml").write_text(TASK.format(output=output, rest=rest), encoding="utf-8")
    return folder / "quiz.yaml"


def suite_of(path: Path, **scorer: Any) -> Suite:
    settings = SuiteSettings(role="target", path=path.name, scorer=LmEval(**scorer), max_tokens=12)
    return read_suite("quiz", settings, path.parent, ())


def by_hf(llama: ModelFiles, path: Path, chat: bool) -> list[dict[str, Any]]:
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    model = HFLM(pretrained=str(llama.folder), dtype="float32", device="cpu", batch_size=2)
    told = simple_evaluate(
        model=model, tasks=[load_task(path)], apply_chat_template=chat, bootstrap_iters=0, log_samples=True
    )
    rows = sorted(told["samples"]["quiz"], key=lambda row: int(row["doc_id"]))
    return [dict(row) for row in rows]


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("metric", ["acc", "acc_norm"])
def test_choices_score_as_under_hf(llama: ModelFiles, tmp_path: Path, chat: bool, metric: str) -> None:
    path = a_task(tmp_path, "multiple_choice", CHOICE)
    suite = suite_of(path, metric=metric, chat=chat)
    assert suite.measured_by == answers_with(path) == "training stack"
    assert len(suite.items) == 4 and suite.items[2].answers == ("the Wi-Fi",)
    with training_stack(llama, {}) as stack:
        found = Harness(path, LmEval(metric=metric, chat=chat)).by_likelihood(stack.model(None), lambda done: None)
    theirs = by_hf(llama, path, chat)
    assert found.values == tuple(float(row[metric]) for row in theirs)
    # and not by luck: the log-likelihoods themselves
    ours = [json.loads(reply.replace("(", "[").replace(")", "]").lower()) for reply in found.replies]
    for one, other in zip(ours, theirs, strict=True):
        assert [nats for nats, _ in one] == pytest.approx([nats for nats, _ in other["filtered_resps"]], abs=1e-3)
        assert [same for _, same in one] == [same for _, same in other["filtered_resps"]]


def test_replies_score_as_under_hf(llama: ModelFiles, tmp_path: Path) -> None:
    path = a_task(tmp_path, "generate_until", REPLY)
    assert suite_of(path).measured_by == "serving engine"
    with Transformers(device="cpu").start(llama, {}, tmp_path) as engine:

        def ask(requests: Sequence[ChatRequest]) -> list[Reply]:
            return [engine.complete(request, None) for request in requests]

        found = Harness(path, LmEval()).by_replies(ask, longest=12)
    theirs = by_hf(llama, path, chat=True)
    assert found.values == tuple(float(row["exact_match"]) for row in theirs)
    # half a character at the end is left out by our engines
    ours, others = found.replies, [row["filtered_resps"][0] for row in theirs]
    assert [one.rstrip("\ufffd").strip() for one in ours] == [one.rstrip("\ufffd").strip() for one in others]


def test_perplexity_of_whole_texts_has_no_number_for_each_item(llama: ModelFiles, tmp_path: Path) -> None:
    path = a_task(tmp_path, "loglikelihood_rolling", ROLLING)
    with training_stack(llama, {}) as stack, pytest.raises(ConfigError, match="has no number for each item"):
        Harness(path, LmEval()).by_likelihood(stack.model(None), lambda done: None)


@pytest.mark.parametrize(
    ("scorer", "text", "said"),
    [
        ({"metric": "accc"}, None, "the task has no metric `accc`; did you mean `acc`?"),
        ({}, "[1]", "this is no task of lm-eval"),
        ({}, "task: x\ndataset_path: [", "this is no YAML file of an lm-eval task"),
        ({}, "task: x\ndataset_path: json\ndataset_kwargs: {data_files: none.jsonl}", "lm-eval cannot run this task"),
    ],
)
def test_a_task_that_cannot_be_run_is_one_sentence(
    tmp_path: Path, scorer: dict[str, Any], text: str | None, said: str
) -> None:
    path = a_task(tmp_path, "multiple_choice", CHOICE)
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        suite_of(path, **scorer)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_task_that_draws_its_replies_is_refused(tmp_path: Path) -> None:
    path = a_task(tmp_path, "generate_until", REPLY.replace("do_sample: false", "do_sample: true, temperature: 0.7"))
    with pytest.raises(ConfigError, match="the task draws its replies"):
        Harness(path, LmEval()).by_replies(lambda requests: [], longest=12)


def test_a_task_that_asks_for_what_its_file_does_not_say_is_one_sentence(tmp_path: Path) -> None:
    included = a_task(tmp_path, "multiple_choice", CHOICE).rename(tmp_path / "whole.yaml")
    path = tmp_path / "task.yaml"
    path.write_text(f"task: other\ninclude: {included.name}\n", encoding="utf-8")
    assert answers_with(path) == "serving engine"
    with pytest.raises(ConfigError) as caught:
        Harness(path, LmEval()).by_replies(lambda requests: [], longest=12)
    assert str(caught.value).startswith(f"{path}: the task asks for log-likelihoods")
    assert "write its `output_type` into this file" in str(caught.value)
