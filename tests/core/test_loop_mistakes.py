"""Mistakes in a loop: each is named with its file, its line and the remedy."""

from pathlib import Path
from typing import Any

import pytest
from wheelwork.core.errors import ConfigError, DataError, LeakError, ModelError, UserError
from wheelwork.core.loops import load_loop
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.tests.core.small_loops import GUARD, HELD_OUT, SEEDS, Rows, a_loop, complaint, jsonl
from wheelwork.tests.tiny import tiny_llama_gguf

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
    graded = {"generate": {"templates": {"write": 1}, "controls": {"difficulty": [1, 3, 5]}}}
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
