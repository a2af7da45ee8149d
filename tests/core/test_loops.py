"""Loops: what a folder must hold, and for every mistake in it the file, the line and the remedy."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from wheelwork.core.engines.llamacpp import LlamaCpp
from wheelwork.core.engines.transformers import Transformers
from wheelwork.core.errors import ConfigError, DataError, LeakError, ModelError, UserError
from wheelwork.core.loops import Overrides, load_loop
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.core.naming import find_loop
from wheelwork.tests.tiny import tiny_llama_gguf

Rows = list[dict[str, Any]]
SEEDS: Rows = [
    {"text": "no light on the modem", "label": "offline"},
    {"text": "the bill is wrong", "label": "billing"},
    {"text": "modem is dead", "label": "offline"},
]
HELD_OUT: Rows = [{"text": "box shows red", "label": "offline"}, {"text": "charged twice", "label": "billing"}]
GENERAL: Rows = [{"prompt": "What is 2 + 2?", "answers": ["4", "four"]}]
LABELS = {"offline": "no connection", "billing": "money"}
TARGET = {"role": "target", "path": "holdout.jsonl"}
GUARD = {"role": "guard", "path": "general.jsonl", "scorer": {"kind": "matches"}, "prompt": "plain", "margin": 0.1}


def jsonl(path: Path, rows: Rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def a_loop(
    folder: Path,
    *,
    seeds: Rows = SEEDS,
    held_out: Rows = HELD_OUT,
    labels: Any = LABELS,
    suites: dict[str, Any] | None = None,
    **settings: Any,
) -> Path:
    folder.mkdir(exist_ok=True)
    suites = {"holdout": TARGET, "general": GUARD} if suites is None else suites
    config = {"name": "small", "task": {"kind": "classify", "labels": "labels.yaml"}, "suites": suites} | settings
    (folder / "loop.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (folder / "labels.yaml").write_text(yaml.safe_dump(labels, sort_keys=False), encoding="utf-8")
    jsonl(folder / "seeds.jsonl", seeds)
    jsonl(folder / "holdout.jsonl", held_out)
    jsonl(folder / "general.jsonl", GENERAL)
    return folder


def complaint(folder: Path, kind: type[UserError]) -> str:
    """What loading says, with the folder cut out."""
    with pytest.raises(kind) as caught:
        load_loop(folder)
    assert type(caught.value) is kind
    assert caught.value.exit_code == 2
    return str(caught.value).replace(f"{folder}/", "")


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


# mistakes in the settings


def test_a_folder_or_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none: there is no such folder; `wheelwork init .*none` makes a loop there"):
        load_loop(tmp_path / "none")
    assert complaint(tmp_path, ConfigError).startswith("loop.yaml: there is no such file; `wheelwork init`")


@pytest.mark.parametrize("file", ["seeds.jsonl", "holdout.jsonl", "general.jsonl"])
def test_a_file_of_rows_that_is_not_there(tmp_path: Path, file: str) -> None:
    (a_loop(tmp_path) / file).unlink()
    assert complaint(tmp_path, DataError) == f"{file}: there is no such file; check its name"


def test_labels_that_are_not_there_or_no_mapping(tmp_path: Path) -> None:
    a_loop(tmp_path, labels=["offline", "billing"])
    assert complaint(tmp_path, ConfigError) == "labels.yaml: expected lines of `label: description`"
    (tmp_path / "labels.yaml").unlink()
    assert complaint(tmp_path, ConfigError).startswith("labels.yaml: there is no such file")


def test_a_syntax_error_is_named_by_its_line(tmp_path: Path) -> None:
    (a_loop(tmp_path) / "loop.yaml").write_text("name: small\ntask: {kind: classify\nsuites: x\n")
    assert complaint(tmp_path, ConfigError).startswith("loop.yaml:3: this is not valid YAML: ")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"generat": {}}, "unknown key `generat`; did you mean `generate`?"),
        ({"suites": {"t": {"role": "target", "pth": "x"}}}, "unknown key `suites.t.pth`; did you mean `path`?"),
        ({"funnel": {"filters": [{"kind": "rules", "min_word": 2}]}}, "min_word`; did you mean `min_words`?"),
        ({"teacher": {"kind": "openai", "base_url": "ftp://x", "model": "m"}}, "`teacher.0.openai.base_url`"),
        ({"engine": {"kind": "llamacp"}}, "`engine.kind`: there is no `llamacp`; did you mean `llamacpp`?"),
        ({"name": "a b"}, "`name`: string should match pattern"),
        ({"suites": {}}, "`suites`: dictionary should have at least 1 item"),
        ({"suites": {"general": GUARD}}, "`suites`: at least one suite needs `role: target`"),
        ({"suites": {"g": GUARD | {"margin": 0}}}, "`suites.g`: a guard needs a `margin` above 0, such as 0.1"),
        ({"suites": {"g": {"role": "guard", "path": "x"}}}, "`suites.g`: a guard needs a `margin` above 0"),
        ({"suites": {"t": {"role": "target", "path": "x", "margin": 0.1}}}, "a target has no `margin`"),
        ({"funnel": {"filters": [{"kind": "judge"}]}},
         "`judge`, and no teacher has the role `judge`; give one of `teacher` these roles: [judge]"),
        ({"funnel": {"filters": [{"kind": "verifier"}]}, "teacher": {"kind": "embedded", "roles": ["writer", "judge"]}},
         "`funnel.filters` has `verifier`, and no teacher has the role `verifier`"),
        ({"funnel": {"filters": [{"kind": "judge", "bar": 2}]}}, "`funnel.filters.0.judge.bar`"),
        ({"language": "tlh"}, "there is no template `tlh/classify/continue.md`; put one into"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named(tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    assert says in complaint(a_loop(tmp_path, **settings), ConfigError)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ({"offline": "x"}, "labels.yaml: a classifier needs at least two labels, found 1"),
        ({"offline": "x", "a, b": "y"}, "labels.yaml: the label 'a, b' is empty or has a comma or a line break"),
        ({"offline": "x", " ": "y"}, "labels.yaml: the label ' ' is empty"),
        ({"offline": "x", "a\nb": "y"}, "labels.yaml: the label 'a\\nb' is empty or has a comma or a line break"),
    ],
)
def test_labels_that_no_prompt_can_list(tmp_path: Path, labels: dict[str, str], says: str) -> None:
    assert says in complaint(a_loop(tmp_path, labels=labels), ConfigError)


# mistakes in the rows


@pytest.mark.parametrize(
    ("seeds", "says"),
    [
        ([], "seeds.jsonl: the file has no rows; add some"),
        ([*SEEDS, {"text": "x", "label": "ofline"}], "seeds.jsonl:4: unknown label `ofline`; did you mean `offline`?"),
        ([*SEEDS, {"text": "x", "label": "zz"}], "seeds.jsonl:4: unknown label `zz`; known here: offline, billing"),
        (SEEDS[:1], "seeds.jsonl: no seed for the label `billing`; write at least one row for each label"),
        ([*SEEDS, {"text": "The bill is wrong.", "label": "offline"}],
         "seeds.jsonl:4: the same text has the label `billing` in line 2 and `offline` here; keep one of them"),
        ([*SEEDS, {"text": "x"}], "seeds.jsonl:4: `label` is missing"),
    ],
)  # fmt: skip
def test_wrong_seeds_are_named_by_their_line(tmp_path: Path, seeds: Rows, says: str) -> None:
    assert complaint(a_loop(tmp_path, seeds=seeds), DataError).startswith(says)


@pytest.mark.parametrize("file", ["seeds.jsonl", "holdout.jsonl", "general.jsonl"])
def test_a_line_that_is_no_json_is_named(tmp_path: Path, file: str) -> None:
    path = a_loop(tmp_path) / file
    path.write_text(path.read_text() + "\n{'text'}\n")
    line = len(path.read_text().splitlines())
    assert complaint(tmp_path, DataError).startswith(f"{file}:{line}: this line is not JSON")


@pytest.mark.parametrize(
    ("held_out", "says"),
    [
        ([], "holdout.jsonl: the file has no rows"),
        ([*HELD_OUT, {"text": "x", "label": "biling"}], "holdout.jsonl:3: unknown label `biling`; did you mean"),
        ([*HELD_OUT, HELD_OUT[0]], "holdout.jsonl:3: the same row as line 1; remove one of them"),
    ],
)  # fmt: skip
def test_wrong_held_out_rows_are_named_by_their_line(tmp_path: Path, held_out: Rows, says: str) -> None:
    assert complaint(a_loop(tmp_path, held_out=held_out), DataError).startswith(says)


def test_a_held_out_row_that_is_also_a_seed_names_both_lines(tmp_path: Path) -> None:
    a_loop(tmp_path, held_out=[*HELD_OUT, {"text": "MODEM is dead!", "label": "offline"}])
    assert complaint(tmp_path, LeakError) == (
        "holdout.jsonl:3: this held-out row also stands in seeds.jsonl:3, which is trained on; "
        "keep each row in one of the files, then run the command again"
    )


def test_further_leaks_are_counted(tmp_path: Path) -> None:
    a_loop(tmp_path, held_out=[*HELD_OUT, *SEEDS])
    says = complaint(tmp_path, LeakError)
    assert says.startswith("holdout.jsonl:3: this held-out row also stands in seeds.jsonl:1")
    assert "(and so do 2 more)" in says


def test_a_guard_must_not_hold_a_seed_either(tmp_path: Path) -> None:
    a_loop(tmp_path, seeds=[*SEEDS, {"text": "what is 2 + 2", "label": "billing"}])
    assert "general.jsonl:1: this held-out row also stands in seeds.jsonl:4" in complaint(tmp_path, LeakError)


@pytest.mark.parametrize(
    ("rehearsal", "kind", "says"),
    [
        ([{"prompt": "Why?"}, {"prompt": "WHAT is 2 + 2"}], LeakError, "general.jsonl:1: this held-out row also"),
        ([{"prompt": "Why?"}, {"prompt": " "}], DataError, "rehearsal.jsonl:2: `prompt` is missing or empty"),
        ([{"prompt": "Why?"}, {"question": "What?"}], DataError, "rehearsal.jsonl:2: `prompt` is missing or empty"),
    ],
)  # fmt: skip
def test_wrong_rehearsal_prompts_are_named(tmp_path: Path, rehearsal: Rows, kind: type[UserError], says: str) -> None:
    jsonl(a_loop(tmp_path, rehearsal="rehearsal.jsonl") / "rehearsal.jsonl", rehearsal)
    assert complaint(tmp_path, kind).startswith(says)


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


# what cannot be trained, before anything is written


def test_dora_is_refused_where_the_model_will_be_served_by_llamacpp(tmp_path: Path) -> None:
    says = "loop.yaml: `train.dora` and the engine llamacpp do not go together"
    a_loop(tmp_path, train={"dora": True})  # the default model is a GGUF
    assert complaint(tmp_path, ConfigError).startswith(says)
    a_loop(tmp_path, train={"dora": True}, model="own.gguf")
    assert complaint(tmp_path, ConfigError).startswith(says)
    loop = load_loop(a_loop(tmp_path, train={"dora": True}, model="someone/else"))
    loop.check_training(ModelFiles("m", tmp_path, None, "digest"))
    with pytest.raises(ConfigError, match="do not go together"):
        loop.check_training(ModelFiles("m", tmp_path, Path("m.gguf"), "digest"))
    a_loop(tmp_path, train={"dora": True}, engine={"kind": "transformers"})
    load_loop(tmp_path)


def test_whole_modules_are_refused_with_the_reason(tmp_path: Path) -> None:
    a_loop(tmp_path, train={"modules_to_save": ["lm_head"]})
    assert complaint(tmp_path, ConfigError).startswith("loop.yaml: `train`: `modules_to_save` trains whole layers")


def test_a_rank_larger_than_a_layer_is_found_in_the_files_of_the_base(tmp_path: Path) -> None:
    base = ModelStore(tmp_path / "store").get(str(tiny_llama_gguf(tmp_path / "tiny.gguf")))
    load_loop(a_loop(tmp_path / "a")).check_training(base)
    with pytest.raises(ModelError, match=r"tiny: `train\.rank: 64` is larger than the layer"):
        load_loop(a_loop(tmp_path / "b", train={"rank": 64})).check_training(base)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"batch": {"class_weights": {}}, "train": {"focus": [{"kind": "class_weights"}]}},
            "would weigh classes twice; leave one out",
        ),
        (
            {"train": {"order": {"kind": "easy_first", "difficulty": "grade"}}},
            "`generate.controls.difficulty` asks for none; list grades there, such as [1, 3, 5]",
        ),
        (
            {"train": {"order": {"kind": "easy"}}},
            "`train.order.kind`: there is no `easy`; known here: none, easy_first",
        ),
        (
            {"train": {"focus": [{"kind": "top_loss", "shares": 0.5}]}},
            "unknown key `train.focus.0.top_loss.shares`; did you mean `share`?",
        ),
    ],
)
def test_a_focus_or_an_order_without_what_it_goes_by_is_one_sentence(
    settings: dict[str, Any], said: str, tmp_path: Path
) -> None:
    assert said in complaint(a_loop(tmp_path, **settings), ConfigError)


def test_grades_that_are_asked_for_give_an_order(tmp_path: Path) -> None:
    graded = {"generate": {"controls": {"difficulty": [1, 3, 5]}}}
    loop = load_loop(a_loop(tmp_path, **graded, train={"order": {"kind": "competence", "difficulty": "grade"}}))
    assert not loop.settings.train.measures


def test_a_champion_is_kept_to_only_where_there_are_samples_to_do_it_on(tmp_path: Path) -> None:
    none = {"share": 0}
    both = a_loop(tmp_path, train={"keep": [{"kind": "ewc"}, {"kind": "champion_kl"}]})
    assert [one.kind for one in load_loop(both).settings.train.keep] == ["ewc", "champion_kl"]
    said = complaint(a_loop(tmp_path, train={"keep": {"kind": "champion_kl"}}, replay=none), ConfigError)
    assert "`train.keep` has `champion_kl`, which keeps to the champion on replayed samples" in said
    assert "there are never any with `replay.share: 0`; raise it or leave this out" in said
    assert "on replayed or rehearsal samples" in complaint(
        a_loop(tmp_path, train={"keep": {"kind": "ewc"}}, replay=none), ConfigError
    )
    jsonl(tmp_path / "rehearsal.jsonl", [{"prompt": "What do bees make?"}])
    load_loop(a_loop(tmp_path, train={"keep": {"kind": "ewc"}}, replay=none, rehearsal="rehearsal.jsonl"))
