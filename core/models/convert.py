"""A GGUF file as a folder that transformers loads, so that what llama.cpp serves is what we train on."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..workspace import writing
from .progress import Progress, quiet_transformers, silent
from .sealed import intact, seal

CONVERSION = 1
"""Raise it when the folder written for the same GGUF changes; it is a part of the model's digest."""

DIGITS_APART = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}
"""Pre-tokenizers of llama.cpp that cut every digit off before GPT-2's own split (llama-vocab.cpp)."""


def convert_gguf(gguf: Path, folder: Path, progress: Progress = silent) -> Path:
    """Write `gguf` as a Hugging Face folder in float32, with its tokenizer; does nothing if `folder` holds it already.

    Returns `folder`. Raises ModelError for a file that is no GGUF, or an architecture that transformers does not read,
    WorkspaceError for a disk that is full or read-only.
    """
    check_gguf(gguf)
    if is_converted(gguf, folder):
        return folder
    size = gguf.stat().st_size
    label = f"converting {gguf.name}"
    progress(label, 0, size)
    with quiet_transformers(lambda fraction: progress(label, int(0.9 * fraction * size), size)):
        model, tokenizer = _loaded(gguf)
        with writing(folder) as temporary, _rust_disk_errors():
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
            for weights in temporary.glob("*.safetensors"):  # written for the owner alone, in a store others may share
                weights.chmod((temporary / "config.json").stat().st_mode)
            seal(temporary, _origin(gguf))
    progress(label, size, size)
    return folder


def is_converted(gguf: Path, folder: Path) -> bool:
    """Whether `folder` holds the whole conversion of `gguf`."""
    return intact(folder, _origin(gguf)) is not None


def check_gguf(gguf: Path) -> None:
    """Raise ModelError unless the file is there and starts as a GGUF does."""
    try:
        with gguf.open("rb") as stream:
            magic = stream.read(4)
    except (FileNotFoundError, IsADirectoryError):
        raise ModelError(f"{gguf}: there is no such file; give the path of a .gguf file") from None
    except PermissionError:
        raise ModelError(f"{gguf}: this file cannot be read; give yourself the rights") from None
    if magic != b"GGUF":
        raise ModelError(f"{gguf}: this is not a GGUF file; download it again, or give another model")


def _origin(gguf: Path) -> str:
    return f"GGUF of {gguf.stat().st_size} bytes, conversion {CONVERSION}"


def _loaded(gguf: Path) -> tuple[Any, Any]:
    """Model (float32, dequantised) and tokenizer of a GGUF, ready to be saved."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    place: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    try:
        config = AutoConfig.from_pretrained(gguf.parent, **place)
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, config=config, dtype=torch.float32, **place)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **place)
        _split_like_llamacpp(gguf, tokenizer)
    except Exception as error:  # a damaged file fails anywhere in the two parsers, in any way
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{gguf}: cannot be read as a GGUF model ({reason[:160]}); download it again, or give another model"
        ) from error
    if tokenizer.eos_token_id is None:
        raise ModelError(f"{gguf}: names no token that ends an answer (eos), so it cannot chat; give another model")
    # the weights are plain float32 now; with the quantiser in place they could not be saved or trained
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


def _split_like_llamacpp(gguf: Path, tokenizer: Any) -> None:
    """Give the tokenizer the split that the GGUF names where transformers ignores it.

    Without it the trained and the served model see other tokens: "\\n\\n1" is one newline token and a digit to
    llama.cpp, two newlines and a digit to GPT-2's split alone.
    """
    from tokenizers import Regex, pre_tokenizers
    from transformers.integrations.gguf.reader import read_gguf_metadata

    metadata, _ = read_gguf_metadata(str(gguf))
    if metadata.get("tokenizer.ggml.pre") in DIGITS_APART:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(r"\p{N}"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )


@contextmanager
def _rust_disk_errors() -> Iterator[None]:
    """safetensors and tokenizers are Rust; they say only in words that the disk is full."""
    try:
        yield
    except Exception as error:
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            if not isinstance(error, OSError) and f"os error {number})" in str(error):
                raise OSError(number, os.strerror(number)) from error
        raise
