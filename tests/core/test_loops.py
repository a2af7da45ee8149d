"""Loops: what a folder becomes, what one run may change of it, and what names its content."""

from pathlib import Path
from typing import Any

import pytest
from wheelwork.core.engines.llamacpp import LlamaCpp
from wheelwork.core.engines.transformers import Transformers
from wheelwork.core.errors import ConfigError
from wheelwork.core.loops import Overrides, load_loop
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.naming import find_loop
from wheelwork.tests.core.small_loops import (
    HELD_OUT,
    LABELS,
    SEEDS,
    TARGET,
    a_loop,
    jsonl,
)


def test_a_folder_becomes_a_loop(tmp_path: Path) -> None:
    loop = load_loop(a_loop(tmp_path))
    assert loop.name == "small"
    assert loop.labels == LABELS
    assert [(seed.line, seed.text, seed.label) for seed in loop.seeds][2] == (3, "modem is dead", "offline")
    assert [item.prompt for item in loop.suites["holdout"].items] == ["box shows red", "charged twice"]
    assert loop.suites["general"].settings.margin == 0.1


def test_labels_may_stand_in_the_loop_itself_or_lack_a_description(tmp_path: Path) -> None:
    inline = a_loop(tmp_path / "inline", task={"kind": "classify", "labels": LABELS})
    assert load_loop(inline).labels == LABELS
    bare = a_loop(tmp_path / "bare", labels={"offline": None, "billing": ""})
    assert load_loop(bare).labels == {"offline": "offline", "billing": "billing"}


def test_the_same_seed_twice_counts_once(tmp_path: Path) -> None:
    again = {"text": "Modem is DEAD!", "label": "offline"}
    assert [seed.line for seed in load_loop(a_loop(tmp_path, seeds=[*SEEDS, again])).seeds] == [1, 2, 3]


# what one run may change, and what names a loop's content


def test_overrides_change_the_run_and_not_the_loop(tmp_path: Path) -> None:
    folder = a_loop(tmp_path, generate={"samples": 30, "shots": 2})
    assert load_loop(folder).settings.generate.samples == 30
    changed = load_loop(folder, Overrides(samples=7)).settings.generate
    assert (changed.samples, changed.shots) == (7, 2)
    assert load_loop(folder, Overrides(samples=0)).settings.generate.samples == 0
    assert load_loop(folder, Overrides(seed=3)).digest == load_loop(folder).digest


def test_the_digest_changes_with_everything_that_a_round_depends_on(tmp_path: Path) -> None:
    def digest(name: str, **changes: Any) -> str:
        return load_loop(a_loop(tmp_path / name, **changes)).digest

    same = digest("a")
    assert digest("b") == same
    others = [
        digest("c", labels=LABELS | {"billing": "all about money"}),
        digest("order", labels=dict(reversed(LABELS.items()))),
        digest("d", seeds=SEEDS[:2]),
        digest("e", held_out=HELD_OUT[:1]),
        digest("f", train={"epochs": 1}),
    ]
    with_rehearsal = a_loop(tmp_path / "r", rehearsal="general.jsonl", suites={"holdout": TARGET})
    others.append(load_loop(with_rehearsal).digest)
    jsonl(with_rehearsal / "general.jsonl", [{"prompt": "Why?"}])
    others.append(load_loop(with_rehearsal).digest)
    own = a_loop(tmp_path / "g") / "prompts" / "en" / "classify" / "continue.md"
    own.parent.mkdir(parents=True)
    head = "name: continue\ntask: classify\nlanguage: en\npurpose: x\nvariables: [setting, topic, shots, opening]"
    own.write_text(
        f"---\n{head}\n---\n" + "# user\n{{ setting }} {{ topic }} {{ shots }}\n# assistant\n{{ opening }}\n"
    )
    others.append(load_loop(tmp_path / "g").digest)
    judged = {"teacher": {"kind": "embedded", "roles": ["writer", "judge"]}, "funnel": {"filters": [{"kind": "judge"}]}}
    others.append(digest("j", **judged))
    prompt = tmp_path / "k" / "prompts" / "en" / "review" / "judge.md"
    prompt.parent.mkdir(parents=True)
    head = "name: judge\ntask: review\nlanguage: en\npurpose: x\nvariables: [answer]"
    prompt.write_text(f"---\n{head}\n---\n# user\n{{{{ answer }}}}\n")
    others.append(digest("k", **judged))
    assert len({same, *others}) == 1 + len(others)


def test_the_template_goes_by_the_teacher_unless_it_is_named(tmp_path: Path) -> None:
    teacher = {"kind": "openai", "base_url": "http://t.test/v1", "model": "big"}
    named = [
        list(load_loop(a_loop(tmp_path / "a")).writing().templates),
        list(load_loop(a_loop(tmp_path / "b", teacher=teacher)).writing().templates),
        list(load_loop(a_loop(tmp_path / "c", generate={"templates": {"write": 1}})).writing().templates),
    ]
    assert named == [["continue"], ["write"], ["write"]]


def test_a_model_in_the_folder_goes_before_a_name(tmp_path: Path) -> None:
    loop = load_loop(a_loop(tmp_path))
    (tmp_path / "own.gguf").touch()
    assert loop.model_ref("own.gguf") == str(tmp_path / "own.gguf")
    assert loop.model_ref("smollm2-135m-instruct") == "smollm2-135m-instruct"


@pytest.mark.parametrize(("gguf", "kind"), [(Path("m.gguf"), LlamaCpp), (None, Transformers)])
def test_the_engine_fits_the_files_unless_it_is_named(tmp_path: Path, gguf: Path | None, kind: type) -> None:
    files = ModelFiles("m", tmp_path, gguf, "digest")
    assert type(load_loop(a_loop(tmp_path / "a")).engine_for(files)) is kind
    named = load_loop(a_loop(tmp_path / "b", engine={"kind": "transformers"}))
    assert type(named.engine_for(files)) is Transformers


def test_the_packaged_scenario_loads_by_its_name() -> None:
    loop = load_loop(find_loop("home_broadband"))
    assert loop.name == "home_broadband"
    assert len(loop.labels) == 12
    assert {name: suite.settings.role for name, suite in loop.suites.items()} == {
        "holdout": "target",
        "retention": "guard",
    }


def test_a_folder_of_the_user_goes_before_a_scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_loop("home_broadband").is_absolute()
    (tmp_path / "home_broadband").mkdir()
    assert find_loop("home_broadband") == Path("home_broadband")


def test_a_target_mix_is_of_categories_that_there_are_and_by_default_that_of_the_quotas(tmp_path: Path) -> None:
    loop = load_loop(a_loop(tmp_path / "plain"))
    assert loop.planned_mix == {"offline": 1.0, "billing": 1.0} and not loop.settings.batch.corrects
    quotas = load_loop(
        a_loop(tmp_path / "quotas", generate={"quotas": {"billing": 3}}, batch={"target": {"offline": 1}})
    )
    assert quotas.planned_mix == {"offline": 1.0, "billing": 3.0}
    with pytest.raises(ConfigError, match=r"loop.yaml: `batch.target.ofline` is no category; did you mean `offline`"):
        load_loop(a_loop(tmp_path / "wrong", batch={"target": {"ofline": 1}}))
