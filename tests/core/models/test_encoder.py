"""Embeddings of a tiny random BERT: order, company and length of the texts must not matter."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertModel, BertTokenizerFast
from wheelwork.core.errors import ModelError
from wheelwork.core.models.convert import convert_gguf
from wheelwork.core.models.encoder import Encode, Encoder, Vectors
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.tests.tiny import tiny_bert, tiny_llama_gguf

WORDS = ["line", "is", "down", "modem", "red", "slow", "at", "night", "bill", "wrong", "move", "house"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    folder = tiny_bert(tmp_path_factory.mktemp("bert"), WORDS)
    return ModelStore(tmp_path_factory.mktemp("store")).get(str(folder))


@pytest.fixture(scope="module")
def encoder(files: ModelFiles) -> Encoder:
    return Encoder.load(files, threads=1)


def texts(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, size=rng.integers(0, 40))) for _ in range(count)]


def test_rows_are_unit_vectors_in_float32(encoder: Encoder) -> None:
    rows = encoder(texts(10))
    assert rows.shape == (10, 32) and rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_no_texts_give_no_rows(encoder: Encoder) -> None:
    assert encoder([]).shape == (0, 32) and encoder([]).dtype == np.float32


def test_the_same_text_gives_the_same_row_in_any_company(encoder: Encoder) -> None:
    many = texts(150)
    rows = encoder(many)
    order = np.random.default_rng(1).permutation(150)
    assert np.abs(encoder([many[i] for i in order]) - rows[order]).max() < 1e-6
    assert max(np.abs(encoder([many[i]])[0] - rows[i]).max() for i in range(0, 150, 10)) < 1e-6
    assert np.abs(encoder([*many[:5], "slow " * 1000])[:5] - rows[:5]).max() < 1e-6


def test_a_row_is_the_mean_over_its_own_tokens(encoder: Encoder, files: ModelFiles) -> None:
    model, tokenizer = BertModel.from_pretrained(files.folder), BertTokenizerFast.from_pretrained(files.folder)
    with torch.inference_mode():
        hidden = model(**tokenizer("the line is down", return_tensors="pt")).last_hidden_state[0]
    mean = hidden.mean(dim=0).numpy()
    assert np.allclose(encoder(["slow " * 30, "the line is down"])[1], mean / np.linalg.norm(mean), atol=1e-6)


def test_what_lies_beyond_256_tokens_does_not_count(encoder: Encoder) -> None:
    start = "slow " * 254  # with [CLS] and [SEP] 256
    rows = encoder([start, start + "bill " * 50, "slow " * 253 + "bill"])
    assert np.abs(rows[0] - rows[1]).max() < 1e-6 < np.abs(rows[0] - rows[2]).max()


def test_the_fingerprint_follows_the_model(encoder: Encoder, files: ModelFiles) -> None:
    other = Encoder.load(ModelFiles(files.name, files.folder, None, "another digest"))
    assert encoder.fingerprint == Encoder.load(files).fingerprint != other.fingerprint


def test_threads_are_given_back(files: ModelFiles) -> None:
    before = torch.get_num_threads()
    Encoder.load(files, threads=1)(["slow"])
    assert torch.get_num_threads() == before


def test_loading_is_quiet(files: ModelFiles, capfd: pytest.CaptureFixture[str]) -> None:
    Encoder.load(files)(["slow"])
    assert capfd.readouterr() == ("", "")


def test_a_text_without_tokens_gets_zeros(tmp_path: Path) -> None:
    folder = convert_gguf(tiny_llama_gguf(tmp_path / "tiny.gguf"), tmp_path / "folder")
    rows = Encoder.load(ModelFiles("tiny", folder, None, "x"))(["", "modem", ""])
    assert not rows[[0, 2]].any() and np.linalg.norm(rows[1]) == pytest.approx(1, abs=1e-6)


def test_a_folder_that_is_no_encoder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="odd: cannot be loaded as an encoder"):
        Encoder.load(ModelFiles("odd", tmp_path, None, "x"))


def test_a_fake_is_an_encoder_too() -> None:
    class Lengths:
        fingerprint = "lengths"

        def __call__(self, texts: Sequence[str]) -> Vectors:
            return np.array([[len(text)] for text in texts], dtype=np.float32)

    fake: Encode = Lengths()
    assert fake(["a", "bc"]).tolist() == [[1], [2]]
