"""What is measured of a sample is what it is alone, with a model that is left as it was; a killed run goes on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from wheelwork.core.errors import ModelError
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.core.samples import Message, Sample
from wheelwork.core.training.focus.measuring import Subject, measure, with_update
from wheelwork.core.training.packing import Encoded, alone, completion_logits, encode
from wheelwork.tests.core.training.toys import TRAINING, sample
from wheelwork.tests.tiny import tiny_adapter, tiny_gguf

ALL = ("loss", "entropy", "error", "gradient")


def dialogue() -> Sample:
    turns = [("user", "hello"), ("assistant", "good day"), ("user", "my bill?"), ("assistant", "it is too high")]
    return Sample.make([Message(role=r, content=c) for r, c in turns], task="dialogue", origin="seed")  # type: ignore[arg-type]


def samples() -> list[Sample]:
    labelled = [sample(f"message number {n} {'indeed ' * n}", ("wifi", "bill")[n % 2]) for n in range(6)]
    return [dialogue(), *labelled[:3], sample("another prompt", "wifi", "Be brief."), *labelled[3:]]


def subject(base: ModelFiles, champion: Path | None = None, given: list[Sample] | None = None) -> Subject:
    tokenizer = transformers.AutoTokenizer.from_pretrained(base.folder, local_files_only=True)
    lessons = [encode([one], tokenizer, 1024)[0] for one in given or samples()]
    return Subject(lessons, base, champion, TRAINING, seed=3)


def network_of(base: ModelFiles) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32).eval()


def by_hand(network: Any, lessons: list[Encoded]) -> tuple[float, float, float]:
    """Loss, entropy and error of one sample, each lesson by itself, with transformers and nothing of ours between."""
    losses, entropies, squares = [], [], []
    for one in lessons:
        with torch.no_grad():
            logits = network(input_ids=torch.tensor([one.prompt + one.completion])).logits[0]
        for at, token in enumerate(one.completion, len(one.prompt) - 1):
            p = logits[at].double().softmax(-1)
            losses.append(-p[token].log())
            entropies.append(torch.distributions.Categorical(probs=p).entropy())
            squares.append((p - F.one_hot(torch.tensor(token), len(p))).square().sum())
    loss, entropy, square = (float(torch.stack(one).mean()) for one in (losses, entropies, squares))
    return loss, entropy, square**0.5


def norm_by_hand(network: Any, lessons: list[Encoded]) -> float:
    """Norm of autograd's gradient of the mean loss at every trainable weight."""
    rows = [alone(one) for one in lessons]
    losses = torch.cat([F.cross_entropy(completion_logits(network, r), r["targets"], reduction="none") for r in rows])
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    gradients = torch.autograd.grad(losses.mean(), weights)
    return float(torch.cat([one.flatten() for one in gradients]).double().norm())


def test_each_sample_is_worth_what_it_is_alone(tiny: ModelFiles, tmp_path: Path) -> None:
    given = subject(tiny)
    heard: list[tuple[int, int]] = []
    found = measure(given, ALL, tmp_path / "measured.json", lambda done, of: heard.append((done, of)))
    plain, updated = network_of(tiny), with_update(network_of(tiny), given)
    for at, lessons in enumerate(given.lessons):
        expected = by_hand(plain, list(lessons))
        assert [found[name][at] for name in ("loss", "entropy", "error")] == pytest.approx(expected, abs=1e-5)
        assert found["gradient"][at] == pytest.approx(norm_by_hand(updated, list(lessons)), rel=1e-4)
    assert len(given.lessons[0]) == 2, "a dialogue has a lesson for each answer"
    assert np.ptp(found["gradient"]) > 0
    assert heard == [(n, 16) for n in range(1, 17)]


def test_the_gradient_at_a_fresh_update_is_that_at_b_alone(tiny: ModelFiles) -> None:
    given = subject(tiny)
    network = with_update(network_of(tiny), given)
    plain = network_of(tiny)
    row = alone(given.lessons[1][0])
    torch.testing.assert_close(completion_logits(network, row), completion_logits(plain, row))
    F.cross_entropy(completion_logits(network, row), row["targets"]).backward()
    for name, weight in network.named_parameters():
        if "lora_A" in name:
            assert not weight.grad.any()
        elif "lora_B" in name:
            assert weight.grad.any()


def test_the_squared_norm_at_b_is_that_at_the_weights_in_expectation(tiny: ModelFiles) -> None:
    """E‖G Aᵀ‖² = r · var(A) · ‖G‖², with the scale alpha/r; so samples compare as by the whole gradient."""
    given = subject(tiny)
    plain = network_of(tiny).requires_grad_(True)
    layers = [w for n, w in plain.named_parameters() if n.endswith("_proj.weight")]
    row = alone(given.lessons[2][0])
    whole = torch.autograd.grad(F.cross_entropy(completion_logits(plain, row), row["targets"]), layers)
    scale = (TRAINING.alpha / TRAINING.rank) ** 2 * TRAINING.rank
    expected = sum(float(g.square().sum()) / (3 * g.shape[1]) for g in whole) * scale  # A is uniform in ±1/√in
    squares = [norm_by_hand(with_update(network_of(tiny), given._replace(seed=n)), [given.lessons[2][0]]) ** 2
               for n in range(12)]  # fmt: skip
    assert np.mean(squares) == pytest.approx(expected, rel=0.25)


def test_the_champion_is_measured_with_its_update(tiny: ModelFiles, tmp_path: Path) -> None:
    from peft import PeftModel

    champion = tiny_adapter(tmp_path / "champion", tiny.folder)
    given = subject(tiny, champion)
    found = measure(given, ("loss", "entropy"), tmp_path / "measured.json", lambda done, of: None)
    adapted = PeftModel.from_pretrained(network_of(tiny), str(champion)).eval()
    for at, lessons in enumerate(given.lessons):
        loss, entropy, _ = by_hand(adapted, list(lessons))
        assert (found["loss"][at], found["entropy"][at]) == pytest.approx((loss, entropy), rel=1e-4, abs=1e-4)
    assert given.identity != subject(tiny).identity


def test_a_champion_of_another_base_is_one_sentence(tiny: ModelFiles, tmp_path: Path) -> None:
    other = ModelStore(tmp_path / "store").get(str(tiny_gguf(tmp_path / "other.gguf", "qwen2", kv_heads=4)))
    champion = tiny_adapter(tmp_path / "champion", other.folder)
    with pytest.raises(ModelError, match="cannot be loaded as an adapter of tiny"):
        measure(subject(tiny, champion), ("loss",), tmp_path / "measured.json", lambda done, of: None)


class Stopped(BaseException):
    """As Ctrl-C: nobody catches it."""


def test_what_was_measured_is_not_measured_again(
    tiny: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wheelwork.core.training.focus import measuring

    monkeypatch.setattr(measuring, "SAVE_SECONDS", -1.0)  # after each sample
    given, file, straight = subject(tiny), tmp_path / "measured.json", tmp_path / "straight.json"
    expected = measure(given, ALL, straight, lambda done, of: None)

    def stop(done: int, of: int) -> None:
        if done == 12:
            raise Stopped

    with pytest.raises(Stopped):
        measure(given, ALL, file, stop)
    left = json.loads(file.read_text())
    assert sum(one is not None for one in left["gradient"]) == 3  # the fourth was told, and not yet kept
    heard: list[tuple[int, int]] = []
    again = measure(given, ALL, file, lambda done, of: heard.append((done, of)))
    assert heard == [(n, 5) for n in range(1, 6)]
    for name in ALL:
        assert again[name].tolist() == expected[name].tolist()
    monkeypatch.setattr(measuring, "_Model", None)  # nothing is loaded
    assert measure(given, ALL, file, stop)["loss"].tolist() == expected["loss"].tolist()


def test_what_takes_no_packed_rows_is_measured_one_by_one(tiny: ModelFiles, tmp_path: Path) -> None:
    folder = tmp_path / "bloom"
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny.folder)
    tokenizer.save_pretrained(folder)
    config = transformers.BloomConfig(vocab_size=len(tokenizer), hidden_size=32, n_layer=2, n_head=4)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    base = ModelStore(tmp_path / "store").get(str(folder))
    given = subject(base)
    found = measure(given, ALL, tmp_path / "measured.json", lambda done, of: None)
    plain = network_of(base)
    for at, lessons in enumerate(given.lessons):
        assert found["loss"][at] == pytest.approx(by_hand(plain, list(lessons))[0], abs=1e-5)
    assert np.isfinite(found["gradient"]).all()
