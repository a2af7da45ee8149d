"""Which weights matter: the mean is 1, the estimate is the Fisher information, and a kill does not cost it."""

from pathlib import Path

import pytest
import torch
from wheelwork.core.errors import ModelError
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.training.keeping.champion import layers_of, read, start_from
from wheelwork.core.training.keeping.fisher import Fisher, _cotangent, _normalised, _Sums, estimate, kept
from wheelwork.core.training.packing import Encoded, alone, completion_logits
from wheelwork.tests.core.training.keeping.toys import champion, network_of

ROWS = [Encoded([5, 6, 7], [8, 9]), Encoded([5, 6, 10, 11], [12])]


def test_its_mean_over_all_weights_is_1(tiny: ModelFiles, tmp_path: Path) -> None:
    network = network_of(tiny)
    fisher = estimate(network, read(champion(tmp_path / "c", tiny), network), ROWS, seed=0)
    assert set(fisher) == set(layers_of(network))
    whole = sum(float(one.rows.double().sum() * one.columns.double().sum()) for one in fisher.values())
    weights = sum(one.rows.numel() * one.columns.numel() for one in fisher.values())
    assert whole / weights == pytest.approx(1.0, rel=1e-4)
    assert all((one.rows >= 0).all() and (one.columns >= 0).all() for one in fisher.values())


def test_the_same_seed_gives_the_same_and_the_update_that_is_trained_has_no_say(
    tiny: ModelFiles, tmp_path: Path
) -> None:
    was = champion(tmp_path / "c", tiny)
    one, other = network_of(tiny, seed=0), network_of(tiny, seed=5)
    found = [estimate(network, read(was, network), ROWS, seed=3) for network in (one, other.train())]
    assert same(*found) and other.training
    assert not same(found[0], estimate(one, read(was, one), ROWS, seed=4))
    assert all(weight.grad is None for weight in one.parameters())


def same(one: Fisher, other: Fisher) -> bool:
    return all(torch.equal(a, b) for name in one for a, b in zip(one[name], other[name], strict=True))


def test_what_is_sent_back_has_the_fisher_information_of_a_softmax_as_its_square() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0, 0.5], [9.0, 0.0, 0.0, 0.0]])
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([_cotangent(logits, generator) for _ in range(20_000)])
    p = logits.softmax(-1)
    for token in range(2):
        found = drawn[:, token].T @ drawn[:, token] / len(drawn) * 2  # each token counts a half of the row
        torch.testing.assert_close(found, p[token].diag() - p[token].outer(p[token]), rtol=0.1, atol=0.01)


def exact(network: torch.nn.Module, name: str, rows: list[Encoded]) -> torch.Tensor:
    """The diagonal of one layer by the definition: every answer's squared gradient times its probability."""
    weight = dict(network.named_modules())[name].base_layer.weight.requires_grad_()
    found = torch.zeros_like(weight)
    for one in rows:
        log_p = completion_logits(network, alone(one)).log_softmax(-1)
        for token in log_p:
            for answer in token:
                (gradient,) = torch.autograd.grad(answer, weight, retain_graph=True)
                found += answer.exp().detach() * gradient**2 / len(log_p)
    weight.requires_grad_(False)
    return found


def test_it_is_the_fisher_information_by_its_definition(tiny: ModelFiles, tmp_path: Path) -> None:
    network = network_of(tiny)
    was = champion(tmp_path / "c", tiny)
    update = read(was, network)
    many = [estimate(network, update, ROWS, seed) for seed in range(80)]
    start_from(was, network)
    names = [f"base_model.model.model.layers.{at}.mlp.down_proj" for at in (0, 1)]
    truth = {name: exact(network, name, ROWS) for name in names}
    for side, over in (("rows", 1), ("columns", 0)):
        for name in names:
            found = torch.stack([getattr(one[name], side) for one in many]).mean(0)
            expected = truth[name].sum(over)
            likeness = torch.nn.functional.cosine_similarity(found, expected, dim=0)
            assert likeness > 0.97, (name, side)
    shares = [sum(float(one[name].rows.sum()) for one in many) / float(truth[name].sum()) for name in names]
    assert shares[0] == pytest.approx(shares[1], rel=0.15)  # layers keep their weight against each other


def test_an_answer_that_is_no_number_is_one_sentence() -> None:
    sums = {"layer": _Sums()}
    for gradient in (torch.full((1, 3), float("nan")), torch.zeros(1, 3)):
        sums["layer"] = _Sums()
        sums["layer"].add(torch.ones(1, 2), gradient)
        with pytest.raises(ModelError, match="give no gradient to tell its weights' importance by"):
            _normalised(sums)


def test_a_layer_that_does_not_matter_is_not_held() -> None:
    sums = {"one": _Sums(), "other": _Sums()}
    sums["one"].add(torch.ones(2, 2), torch.ones(2, 3))
    sums["other"].add(torch.ones(2, 2), torch.zeros(2, 3))
    found = _normalised(sums)
    assert not found["other"].rows.any() and torch.isfinite(found["other"].columns).all()
    assert float(found["one"].rows.sum() * found["one"].columns.sum()) == pytest.approx(12.0)  # the mean of both is 1


def test_what_was_found_is_found_again_without_asking_and_made_anew_when_it_is_damaged(
    tiny: ModelFiles, tmp_path: Path
) -> None:
    network = network_of(tiny)
    update, asked = read(champion(tmp_path / "c", tiny), network), []

    def make() -> Fisher:
        asked.append(1)
        return estimate(network, update, ROWS, seed=0)

    path = tmp_path / "work" / "fisher.safetensors"
    made = kept(path, make)
    assert same(made, kept(path, make)) and len(asked) == 1
    path.write_bytes(path.read_bytes()[:100])
    assert same(made, kept(path, make)) and len(asked) == 2
