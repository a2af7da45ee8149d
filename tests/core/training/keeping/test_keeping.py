"""Trainings that keep: less is forgotten, a kill costs nothing, and what cannot be done is said."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from wheelwork.core.engines.base import Adapter
from wheelwork.core.errors import ConfigError, ModelError
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.samples import Sample
from wheelwork.core.settings import parse
from wheelwork.core.training.control.step import Step
from wheelwork.core.training.keeping.former import Former
from wheelwork.core.training.keeping.keeper import drawn
from wheelwork.core.training.keeping.settings import ChampionKl, Ewc
from wheelwork.core.training.packing import Encoded, completion_logits, encode, pack
from wheelwork.core.training.settings import Training
from wheelwork.core.training.trained import Trained
from wheelwork.tests.core.engines.served import trained as trained_network
from wheelwork.tests.core.training.toys import TRAINING, sample, samples, train

OLD = [sample(f"the router number {n}", "wifi") for n in range(6)]
NEW = [sample(f"the invoice number {n}", "bill") for n in range(6)]
ON = TRAINING.model_copy(
    update={"start": "champion", "epochs": 10, "dropout": 0.0, "noise": 0.0, "checkpoint_steps": 100}
)

KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from wheelwork.core.engines.base import Adapter
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.training.keeping.former import Former
from wheelwork.core.training.keeping.settings import ChampionKl, Ewc
from wheelwork.tests.core.training.keeping.test_keeping import NEW, OLD, keeping
from wheelwork.tests.core.training.toys import train

torch.set_num_threads(1)
name, folder, digest, champion, work = sys.argv[1:]
stop = lambda step: os.kill(os.getpid(), signal.SIGKILL) if step.step == 5 else None
former = Former(Adapter.at(Path(champion)), OLD)
base = ModelFiles(name, Path(folder), None, digest)
train(base, Path(work), settings=keeping(Ewc(), ChampionKl()), samples=[*NEW, *OLD], former=former, on_step=stop)
"""


def keeping(*keep: Any, **update: Any) -> Training:
    return ON.model_copy(update={"keep": keep, "epochs": 2, "dropout": 0.1, "checkpoint_steps": 2, **update})


@pytest.fixture(scope="module")
def champion(tiny: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    """What knows the old messages."""
    folder = tmp_path_factory.mktemp("champion")
    train(tiny, folder, samples=OLD, settings=ON.model_copy(update={"start": "scratch"}))
    return Adapter.at(folder / "adapter")


def loss_on(given: list[Sample], base: ModelFiles, adapter: Adapter) -> float:
    """Mean cross-entropy of the answers, in nats."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.folder, local_files_only=True)
    row = pack(encode(given, tokenizer, 1024)[0])
    with torch.no_grad():
        logits = completion_logits(trained_network(base, adapter).eval(), row)
    return float(torch.nn.functional.cross_entropy(logits, row["targets"]))


def second_round(base: ModelFiles, folder: Path, champion: Adapter, *keep: Any, also: Any = ()) -> Adapter:
    settings = ON.model_copy(update={"keep": keep})
    train(base, folder, samples=[*NEW, *also], settings=settings, former=Former(champion, OLD))
    return Adapter.at(folder / "adapter")


def test_it_forgets_less_with_each_remedy_and_still_learns(tiny: ModelFiles, champion: Adapter, tmp_path: Path) -> None:
    first = loss_on(OLD, tiny, champion)
    plain = second_round(tiny, tmp_path / "plain", champion)
    held = second_round(tiny, tmp_path / "ewc", champion, Ewc(strength=1.0))
    near = second_round(tiny, tmp_path / "kl", champion, ChampionKl(), also=OLD[:1])
    forgotten = [loss_on(OLD, tiny, one) - first for one in (plain, held, near)]
    assert forgotten[0] > 0.7
    assert forgotten[1] < 0.5 * forgotten[0] and forgotten[2] < 0.5 * forgotten[0]
    unlearnt = loss_on(NEW, tiny, champion)
    assert all(loss_on(NEW, tiny, one) < 0.5 * unlearnt for one in (held, near))


def test_a_stronger_ewc_stays_nearer(tiny: ModelFiles, champion: Adapter, tmp_path: Path) -> None:
    losses = [
        loss_on(OLD, tiny, second_round(tiny, tmp_path / f"{strength}", champion, Ewc(strength=strength)))
        for strength in (0.1, 1.0, 10.0)
    ]
    assert losses == sorted(losses, reverse=True) and losses[0] > losses[-1] + 0.5


def test_a_killed_training_that_keeps_goes_on_to_the_same_adapter(
    tiny: ModelFiles, champion: Adapter, tmp_path: Path
) -> None:
    killed = subprocess.run(
        [
            sys.executable, "-c", KILLED,
            tiny.name, str(tiny.folder), tiny.digest, str(champion.folder), str(tmp_path / "killed"),
        ],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert (killed.returncode, killed.stdout, killed.stderr) == (-9, "", "")
    (fisher,) = (tmp_path / "killed").glob("training-*/fisher-*.safetensors")
    made = fisher.stat().st_mtime_ns

    def run(folder: Path) -> Trained:
        seen: list[int] = []
        settings = keeping(Ewc(), ChampionKl())
        trained = train(
            tiny,
            folder,
            settings=settings,
            samples=[*NEW, *OLD],
            former=Former(champion, OLD),
            on_step=lambda *_: seen.append(fisher.stat().st_mtime_ns if fisher.exists() else made),
        )
        assert set(seen) == {made}, "it was not made again"
        return trained

    resumed, straight = run(tmp_path / "killed"), run(tmp_path / "straight")
    assert (resumed.resumed_at, straight.resumed_at) == (4, 0)
    assert resumed.losses == straight.losses
    digests = [Adapter.at(tmp_path / name / "adapter").digest for name in ("killed", "straight")]
    assert digests[0] == digests[1]  # bitwise
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["adapter"]


def test_without_a_champion_the_first_round_trains_as_ever_and_says_so(tiny: ModelFiles, tmp_path: Path) -> None:
    plain = train(tiny, tmp_path / "plain")
    settings = TRAINING.model_copy(update={"start": "champion", "keep": (Ewc(), ChampionKl())})
    first = train(tiny, tmp_path / "first", settings=settings)
    assert plain.notes == ()
    assert first.notes == (
        "there is no champion yet, so training began from scratch",
        "there is no champion yet, so `ewc` and `champion_kl` had nothing to keep to",
    )
    assert first.losses == plain.losses


def test_without_anything_to_keep_to_it_is_left_out_and_said(
    tiny: ModelFiles, champion: Adapter, tmp_path: Path
) -> None:
    settings = keeping(Ewc(), ChampionKl(), epochs=1)
    trained = train(tiny, tmp_path, settings=settings, samples=NEW, former=Former(champion))
    assert trained.notes == (
        "`ewc` was left out: there is no replayed or rehearsal sample to keep to the champion on",
        "`champion_kl` was left out: there is no replayed sample to keep to the champion on",
    )


def test_a_champion_that_has_no_say_changes_nothing(tiny: ModelFiles, champion: Adapter, tmp_path: Path) -> None:
    without = train(tiny, tmp_path / "without")
    with_one = train(tiny, tmp_path / "with", former=Former(champion, samples()[:4]))
    assert without.losses == with_one.losses
    digests = [Adapter.at(tmp_path / name / "adapter").digest for name in ("without", "with")]
    assert digests[0] == digests[1]


def test_a_start_from_the_champion_begins_with_its_loss(tiny: ModelFiles, champion: Adapter, tmp_path: Path) -> None:
    trained = train(tiny, tmp_path, samples=OLD, settings=ON, former=Former(champion))
    assert trained.losses[0] == pytest.approx(loss_on(OLD, tiny, champion), abs=0.1)


def test_from_scratch_ewc_pulls_to_the_champion(tiny: ModelFiles, champion: Adapter, tmp_path: Path) -> None:
    scratch = ON.model_copy(update={"start": "scratch", "epochs": 8})
    held = scratch.model_copy(update={"keep": (Ewc(strength=10.0),)})
    for name, settings in (("scratch", scratch), ("held", held)):
        train(tiny, tmp_path / name, samples=NEW, settings=settings, former=Former(champion, OLD))
    plain, near = (loss_on(OLD, tiny, Adapter.at(tmp_path / name / "adapter")) for name in ("scratch", "held"))
    assert near < plain


def test_a_champion_of_another_rank_is_refused_before_a_step(
    tiny: ModelFiles, champion: Adapter, tmp_path: Path
) -> None:
    steps: list[Step] = []
    settings = ON.model_copy(update={"rank": 8})
    with pytest.raises(ModelError, match=r"the champion has rank 4 and `train.rank` is 8"):
        train(tiny, tmp_path, settings=settings, former=Former(champion), on_step=steps.append)
    assert not steps and not (tmp_path / "adapter").exists()


def test_half_of_the_rows_that_tell_are_rehearsal_unless_there_are_fewer() -> None:
    def rows(count: int, rehearsal: bool) -> list[Encoded]:
        return [Encoded([n], [n], rehearsal=rehearsal) for n in range(count)]

    def kinds(old: int, general: int) -> tuple[int, int]:
        found = drawn(10, rows(old, False), rows(general, True), seed=0)
        return sum(not one.rehearsal for one in found), sum(one.rehearsal for one in found)

    assert kinds(20, 20) == (5, 5)
    assert kinds(2, 20) == (2, 8)
    assert kinds(20, 3) == (7, 3)
    assert kinds(2, 3) == (2, 3)
    assert kinds(0, 0) == (0, 0)
    assert drawn(10, rows(20, False), [], 0) == drawn(10, rows(20, False), [], 0) != drawn(10, rows(20, False), [], 1)


# what stands in loop.yaml


@pytest.mark.parametrize("none", [[], None, "none", {"kind": "none"}, [{"kind": "none"}]])
def test_nothing_is_kept_by_any_name_of_none(none: Any) -> None:
    assert parse(Training, {"keep": none}, "train").keep == () == Training().keep


def test_one_component_needs_no_list() -> None:
    assert parse(Training, {"keep": {"kind": "ewc", "strength": 2}}, "train").keep == (Ewc(strength=2),)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"keep": {"kind": "ewk"}}, "there is no `ewk`; did you mean `ewc`"),
        ({"keep": [{"kind": "ewc"}, {"kind": "ewc", "strength": 2}]}, "`ewc` stands there twice; keep one of them"),
        ({"keep": {"kind": "ewc", "strength": 0}}, "greater than 0"),
        ({"keep": {"kind": "ewc", "strenght": 1}}, "did you mean `strength`"),
        ({"keep": 3}, "`keep`: "),
        ({"start": "base"}, "`start`: input should be 'scratch' or 'champion'"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_read(given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(Training, given, "train")
