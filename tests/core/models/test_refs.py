"""What a reference may be: a catalogue name, a folder, a .gguf file, a Hub id, or a mistake."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from wheelwork.core.errors import ModelError
from wheelwork.core.models.progress import Progress
from wheelwork.core.models.store import ModelFiles, ModelStore

FOLDER = {"config.json": b"{}", "model.safetensors": b"w" * 1000, "tokenizer.json": b"{}"}


def a_model_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, content in FOLDER.items():
        (folder / name).write_bytes(content)
    return folder


def lying_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize(
    ("ref", "says"),
    [
        ("smollm2-135m-instrukt", "did you mean `smollm2-135m-instruct`"),
        ("zzz", "known by name: all-minilm-l6-v2, smollm2-135m-instruct"),
        ("", "''"),
        ("./no/such/folder", "no such file or folder"),
        ("/no/such/folder", "no such file or folder"),
        ("no/such/model.gguf", "no such file"),
        ("a b/c d", "no such model"),
    ],
)
def test_an_unknown_model_gets_a_hint(tmp_path: Path, ref: str, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        ModelStore(tmp_path / "store").get(ref)


def test_a_local_folder_is_used_where_it_lies_and_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = a_model_folder(tmp_path / "mine")
    models = ModelStore(tmp_path / "store")
    files = models.get(str(folder))
    assert files == ModelFiles("mine", folder, None, files.digest)
    (note,) = (tmp_path / "store" / "digests").iterdir()
    note.write_text(json.dumps({"digest": "remembered"}))
    monkeypatch.chdir(tmp_path)
    assert models.get("./mine").digest == "remembered"

    (folder / "README.md").write_text("changed")
    assert models.get("mine").digest == "remembered", "only what identifies the model counts"
    (folder / "model.safetensors").write_bytes(b"v" * 1000)
    assert models.get("mine").digest not in ("remembered", files.digest)


def test_a_local_folder_needs_no_writable_store(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the store should be")
    assert ModelStore(tmp_path / "store").get(str(a_model_folder(tmp_path / "mine"))).name == "mine"


@pytest.mark.parametrize(
    ("without", "says"),
    [
        (["config.json"], "has no config.json; give"),
        (["tokenizer.json", "model.safetensors"], r"has no weights \(\*.safetensors\), no tokenizer"),
    ],
)
def test_an_incomplete_folder_is_refused_with_what_it_lacks(tmp_path: Path, without: list[str], says: str) -> None:
    folder = a_model_folder(tmp_path / "mine")
    for name in without:
        (folder / name).unlink()
    with pytest.raises(ModelError, match=says):
        ModelStore(tmp_path / "store").get(str(folder))
    (folder / "x.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match=r"name the file itself: .*x.gguf"):
        ModelStore(tmp_path / "store").get(str(folder))


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = a_model_folder(tmp_path / "mine")
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"has no model-2\.safetensors"):
        ModelStore(tmp_path / "store").get(str(folder))


def test_garbage_named_gguf_is_refused(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.gguf"
    garbage.write_bytes(b"hello")
    with pytest.raises(ModelError, match="not a GGUF file"):
        ModelStore(tmp_path / "store").get(str(garbage))
    garbage.write_bytes(b"GGUF" + b"\xff" * 100)
    with pytest.raises(ModelError, match="cannot be read as a GGUF model"):
        ModelStore(tmp_path / "store").get(str(garbage))
    assert lying_in(tmp_path / "store" / "converted") == []


def test_a_hub_id_goes_to_the_hub_unless_a_folder_has_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def snapshot(name: str, progress: Progress) -> Path:
        asked.append(name)
        return a_model_folder(tmp_path / "cache" / "abc123")

    models = ModelStore(tmp_path / "store", snapshot=snapshot)
    files = models.get("org/name-1.5")
    assert (files.name, files.folder, asked) == ("org/name-1.5", tmp_path / "cache" / "abc123", ["org/name-1.5"])
    a_model_folder(tmp_path / "org" / "mine")
    monkeypatch.chdir(tmp_path)
    assert models.get("org/mine").folder == tmp_path / "org" / "mine" and len(asked) == 1


def test_the_hub_out_of_reach_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ModelError, match=r"org/name: not in the local cache.*give the path") as caught:
        ModelStore(tmp_path / "store").get("org/name")
    assert "\n" not in str(caught.value)


@pytest.fixture
def default_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("WHEELWORK_MODELS", str(tmp_path / "elsewhere"))
    yield tmp_path / "elsewhere"


def test_the_environment_moves_the_store(default_store: Path, tmp_path: Path) -> None:
    assert ModelStore().root == default_store
    assert ModelStore(tmp_path).root == tmp_path, "an argument goes before the environment"
