"""The head of a GGUF file, read without its tokens, says what the library's own reader says."""

from pathlib import Path

import gguf
import pytest
from wheelwork.core.registry.gguf_header import read_head
from wheelwork.tests.tiny import tiny_gguf


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_it_says_what_the_library_says(tmp_path: Path, architecture: str) -> None:
    path = tiny_gguf(tmp_path / "tiny.gguf", architecture)  # type: ignore[arg-type]
    reader, head = gguf.GGUFReader(path), read_head(path)
    told = {
        name: field.contents()
        for name, field in reader.fields.items()
        if not name.startswith("GGUF.") and field.types[0] != gguf.GGUFValueType.ARRAY
    }
    assert head.values == told and head.values["general.architecture"] == architecture
    assert head.values["tokenizer.ggml.add_space_prefix"] is False
    assert head.shapes == {one.name: tuple(int(n) for n in reversed(one.shape)) for one in reader.tensors}


def test_a_head_that_is_cut_short_or_none_is_said_so(tmp_path: Path) -> None:
    whole = tiny_gguf(tmp_path / "tiny.gguf", "llama").read_bytes()
    for length in (0, 10, 30, 200, 5000):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="GGUF file"):
            read_head(tmp_path / "cut")
    (tmp_path / "text").write_text("hello, this is a text that is no model")
    with pytest.raises(ValueError, match="no GGUF file of version 2 or 3"):
        read_head(tmp_path / "text")
