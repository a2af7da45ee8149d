"""One fingerprint of all that an answer depends on, and what is said when a part of it changed."""

import json
from pathlib import Path

import gguf
import pytest
from wheelwork.core.engines.llamacpp import LlamaCpp
from wheelwork.core.errors import ModelError
from wheelwork.core.loops import Loop, load_loop
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.registry.fingerprint import (
    WORDS,
    Fingerprint,
    check_fitting,
    check_measured,
    differences,
    fingerprint_of,
    recorded_in,
    tags_of,
)
from wheelwork.core.registry.gguf_header import file_type
from wheelwork.tests.core.registry.parts import fingerprint
from wheelwork.tests.e2e.command import tiny_loop

ADAPTER = "a" * 64


@pytest.fixture
def base(tmp_path: Path) -> ModelFiles:
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"dtype": "float32"}), encoding="utf-8")
    return ModelFiles("tiny", folder, written(tmp_path / "tiny.gguf", 3), "b" * 64)


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    return load_loop(tiny_loop(tmp_path / "loop", models=False))


def written(path: Path, kind: int | None) -> Path:
    """A GGUF file of a head alone."""
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_array("some.strings", ["a", "bc", ""])
    writer.add_array("some.numbers", [1, 2, 3])
    writer.add_float32("some.real", 0.5)
    writer.add_bool("some.flag", True)
    if kind is not None:
        writer.add_file_type(kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


# what it is made of


def test_it_names_every_part(loop: Loop, base: ModelFiles) -> None:
    found = fingerprint_of(loop, base, ADAPTER)
    assert (found.base, found.adapter, found.quantisation) == (base.digest, ADAPTER, "Q4_1")
    assert found.engine.startswith("xllamacpp 2") and "attention f16" in found.engine and "slots 1" in found.engine
    assert found.system_prompt == loop.material.prompt_digest
    assert len({found.tokenizer, found.chat_template, found.system_prompt}) == 3
    assert fingerprint_of(loop, base, ADAPTER) == found


@pytest.mark.parametrize(
    ("file", "text", "part"),
    [
        ("tokenizer.json", '{"added": 1}', "tokenizer"),
        ("special_tokens_map.json", "{}", "tokenizer"),
        ("tokenizer_config.json", '{"chat_template": "other"}', "chat_template"),
        ("chat_template.jinja", "other", "chat_template"),
    ],
)
def test_a_changed_file_changes_its_part_alone(loop: Loop, base: ModelFiles, file: str, text: str, part: str) -> None:
    before = fingerprint_of(loop, base, ADAPTER)
    (base.folder / file).write_text(text, encoding="utf-8")
    assert set(differences(before, fingerprint_of(loop, base, ADAPTER))) == {part}


def test_the_task_and_the_engine_change_theirs(tmp_path: Path, loop: Loop, base: ModelFiles) -> None:
    before = fingerprint_of(loop, base, ADAPTER)
    other = load_loop(
        tiny_loop(
            tmp_path / "other",
            models=False,
            task={"kind": "classify", "instruction": "Say otherwise.", "labels": loop.labels},
            engine={"kind": "llamacpp", "attention": "f32"},
        )
    )
    assert set(differences(before, fingerprint_of(other, base, ADAPTER))) == {"system_prompt", "engine"}


def test_a_folder_without_a_gguf_tells_how_it_is_stored(tmp_path: Path, base: ModelFiles) -> None:
    loop = load_loop(tiny_loop(tmp_path / "t", models=False, engine={"kind": "transformers", "device": "cpu"}))
    alone = ModelFiles("tiny", base.folder, None, base.digest)
    assert fingerprint_of(loop, alone, "").quantisation == "float32"
    (base.folder / "config.json").write_text('{"quantization_config": {"quant_method": "awq"}}', encoding="utf-8")
    found = fingerprint_of(loop, alone, "")
    assert found.quantisation == "awq" and found.engine.startswith("transformers ") and "device cpu" in found.engine


def test_the_engines_own_names_of_what_answers_have_not_changed(base: ModelFiles) -> None:
    from importlib.metadata import version

    from wheelwork.core.digests import digest_of

    told = {"base": base.digest, "adapter": None, "engine": f"xllamacpp {version('xllamacpp')}"}
    assert LlamaCpp().fingerprint(base) == digest_of(told | {"slots": 1, "attention": "f16"})  # or replies are lost


# the head of a GGUF


@pytest.mark.parametrize(("kind", "words"), [(0, "F32"), (1, "F16"), (7, "Q8_0"), (15, "Q4_K_M")])
def test_the_head_says_how_weights_are_stored(tmp_path: Path, kind: int, words: str) -> None:
    assert file_type(written(tmp_path / "x.gguf", kind)) == words


def test_a_head_that_does_not_say_is_unknown(tmp_path: Path) -> None:
    assert file_type(written(tmp_path / "x.gguf", None)) == "unknown"
    (tmp_path / "y").write_bytes(b"<!DOCTYPE html>" * 9)
    assert file_type(tmp_path / "y") == "unknown"
    whole = written(tmp_path / "z.gguf", 7).read_bytes()
    for size in range(0, 60, 7):
        (tmp_path / "cut").write_bytes(whole[:size])
        assert file_type(tmp_path / "cut") == "unknown"


# comparing


def test_the_digest_is_of_all_parts() -> None:
    digests = {fingerprint(**{part: "other"}).digest for part in WORDS} | {fingerprint().digest}
    assert len(digests) == len(WORDS) + 1 and set(WORDS) == set(Fingerprint.model_fields)


def test_what_was_measured_is_served_and_nothing_else() -> None:
    check_measured(fingerprint(), fingerprint(), "tiny version 3")
    changed = fingerprint(engine="xllamacpp 9, slots 1", system_prompt="f" * 64)
    with pytest.raises(ModelError, match="tiny version 3: is not what was measured") as caught:
        check_measured(fingerprint(engine="xllamacpp 8, slots 1"), changed, "tiny version 3")
    said = str(caught.value)
    assert "the engine (xllamacpp 8, slots 1 then, xllamacpp 9, slots 1 now)" in said
    assert f"the task's prompt (as ever then, {'f' * 12} now)" in said and "run a round" in said
    with pytest.raises(ModelError, match="was never measured as it would be served"):
        check_measured(None, fingerprint(), "tiny version 3")


@pytest.mark.parametrize("part", sorted(WORDS))
def test_each_part_that_differs_is_refused_by_its_name(part: str) -> None:
    with pytest.raises(ModelError, match=WORDS[part]):
        check_measured(fingerprint(), fingerprint(**{part: "other"}), "x")


def test_an_adapter_on_other_weights_is_refused_and_the_rest_is_told() -> None:
    told = check_fitting(fingerprint(), fingerprint(engine="newer"), "the champion", "go back")
    assert told == ("the engine (as ever then, newer now)",)
    for part in ("base", "adapter"):
        with pytest.raises(ModelError, match=f"the champion: {WORDS[part]}.* differ from what was measured; go back"):
            check_fitting(fingerprint(), fingerprint(**{part: "other"}), "the champion", "go back")


def test_tags_hold_it_and_give_it_back() -> None:
    found = fingerprint(engine="xllamacpp")
    assert recorded_in(tags_of(found) | {"verdict": "promoted"}) == found
    assert recorded_in({}) is None and recorded_in({"fingerprint_parts": '{"base": 1}'}) is None
