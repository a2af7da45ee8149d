"""Exports from end to end on a tiny model: what is written, how it compares, and what is refused before."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from wheelwork.core.engines.base import Adapter
from wheelwork.core.errors import ConfigError, ModelError, WorkspaceError
from wheelwork.core.export import exporting
from wheelwork.core.export.card import Format, Source
from wheelwork.core.export.exporting import MARK, Exported, Wanted, export
from wheelwork.core.loops import load_loop
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.core.naming import find_loop
from wheelwork.tests.tiny import tiny_adapter

FILES: dict[Format, set[str]] = {
    "peft": {"adapter_config.json", "adapter_model.safetensors"},
    "merged": {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"},
    "gguf": {"tiny-v3-f32.gguf"},
    "ollama": {"tiny-v3-f32.gguf", "Modelfile"},
}


def done(source: Source, wanted: Wanted, folder: Path) -> Exported:
    return export(source, wanted, folder / "out", folder.parent / "cache")


@pytest.mark.parametrize("format", FILES)
def test_every_format_answers_as_the_original(source: Source, tmp_path: Path, format: Format) -> None:
    told: list[str] = []
    wanted = Wanted(format, kind="f32", check=6)
    made = export(source, wanted, tmp_path / "out", tmp_path / "cache", lambda label, *_: told.append(label))
    assert FILES[format] | {"README.md", MARK} <= set(made.files)
    assert {path.name for path in made.folder.iterdir()} == set(made.files)
    assert made.agreement is not None and made.agreement.asked == 6 and made.agreement.exact == 1.0
    assert "comparing" in told
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_adapter_is_the_same_bytes(source: Source, tmp_path: Path) -> None:
    made = done(source, Wanted("peft", check=0), tmp_path)
    assert Adapter.at(made.folder).digest == source.adapter.digest and made.agreement is None


def test_the_card_says_what_it_belongs_to_and_how_it_is_made(source: Source, tmp_path: Path) -> None:
    made = done(source, Wanted("peft", check=2), tmp_path)
    text = (made.folder / "README.md").read_text()
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["base_model"] == "tiny" and head["library_name"] == "peft" and "license" not in head
    assert source.base.digest in text and source.adapter.digest in text
    assert "wheelwork export tiny --version 3 --format peft" in text
    assert "100.0%" in text
    facts = json.loads((made.folder / MARK).read_text())
    assert facts["base"]["digest"] == source.base.digest and facts["agreement"]["exact"] == 1.0


def test_few_bits_say_how_far_they_are_off(source: Source, tmp_path: Path) -> None:
    made = done(source, Wanted("gguf", kind="q4_0", check=8), tmp_path)
    assert made.agreement is not None and made.agreement.exact < 1.0
    assert made.agreement.first_difference is not None
    assert any("llama.cpp's quantiser" in note for note in made.notes)


def test_an_adapter_that_llamacpp_cannot_serve_is_compared_through_transformers(source: Source, tmp_path: Path) -> None:
    adapter = Adapter.at(tiny_adapter(tmp_path / "dora", source.base.folder, seed=4, use_dora=True))
    dora = Source(source.loop, "tiny", source.base, adapter, "4", "", report=None)
    made = done(dora, Wanted("gguf", kind="f32", check=4), tmp_path)
    assert made.agreement is not None and made.agreement.exact == 1.0
    assert any("llama.cpp cannot serve" in note for note in made.notes)


def test_a_folder_that_is_there_is_kept_unless_it_is_an_export_and_force(source: Source, tmp_path: Path) -> None:
    made = done(source, Wanted("peft", check=0), tmp_path)
    with pytest.raises(ConfigError, match="--force to replace it"):
        done(source, Wanted("peft", check=0), tmp_path)
    (made.folder / "old").touch()
    done(source, Wanted("peft", check=0, force=True), tmp_path)
    assert not (made.folder / "old").exists()
    other = tmp_path / "mine"
    other.mkdir()
    with pytest.raises(ConfigError, match="is no export"):
        export(source, Wanted("peft", force=True), other, tmp_path / "cache")


def test_a_disk_that_is_too_small_is_told_before(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(WorkspaceError, match="GB are free, and this export takes"):
        done(source, Wanted("merged"), tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_base_without_a_gguf_gets_one(source: Source, tmp_path: Path) -> None:
    shutil.copytree(source.base.folder, tmp_path / "model")
    base = ModelStore(tmp_path / "store").get(str(tmp_path / "model"))
    alone = Source(source.loop, "tiny", base, source.adapter, "3", "", report=None)
    made = done(alone, Wanted("gguf", kind="f32", check=4), tmp_path)
    assert made.agreement is not None and made.agreement.exact == 1.0


def test_a_base_that_has_no_place_in_gguf_is_told_what_works(source: Source, tmp_path: Path) -> None:
    shutil.copytree(source.base.folder, tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text().replace("LlamaForCausalLM", "FalconForCausalLM"))
    base = ModelStore(tmp_path / "store").get(str(tmp_path / "model"))
    with pytest.raises(ModelError, match="use --format merged"):
        done(Source(source.loop, "tiny", base, source.adapter, "3", "", report=None), Wanted("gguf"), tmp_path)


def test_what_fails_on_its_way_leaves_nothing(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> ModelFiles:
        raise ModelError("it cannot be loaded")

    monkeypatch.setattr(exporting, "_exported", broken)
    with pytest.raises(ModelError, match="cannot be loaded"):
        export(source, Wanted("merged", check=1), tmp_path / "here" / "out", tmp_path / "cache")
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.model
def test_the_embedded_model_in_eight_bits_answers_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loop, base = load_loop(find_loop("home_broadband")), ModelStore().get("smollm2-135m-instruct")
    # so little that answers stay words, and those of a base of 4 bits
    adapter = Adapter.at(tiny_adapter(tmp_path / "adapter", base.folder, seed=1, std=0.02))
    source = Source(loop, "home_broadband", base, adapter, "1", "", report=None)
    made = export(source, Wanted("gguf", kind="q8_0", check=10), tmp_path / "out", tmp_path / "cache")
    assert made.agreement is not None
    with capsys.disabled():
        exact, tokens = made.agreement.exact, made.agreement.tokens
        print(f"\nq8_0 beside base and adapter: {exact:.0%} of 10 answers the same, {tokens:.0%} of tokens")
    assert made.agreement.tokens > 0.5
