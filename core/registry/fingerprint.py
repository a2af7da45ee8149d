"""What answers, part by part: recorded when it is measured, compared before it is served.

An adapter is only worth its figures on the weights, with the prompt and in the engine that they were measured with.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ..digests import digest_files, digest_of
from ..errors import ModelError
from ..settings import Setting
from .gguf_header import file_type

if TYPE_CHECKING:
    from ..loops import Loop
    from ..models.store import ModelFiles

TOKENIZER = (
    "tokenizer.json", "tokenizer.model", "vocab.*", "merges.txt", "*.spm", "spiece.model", "sentencepiece*.model",
    "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip
WORDS = {
    "base": "the weights of the base",
    "tokenizer": "the tokenizer",
    "chat_template": "the chat template",
    "system_prompt": "the task's prompt",
    "adapter": "the adapter",
    "quantisation": "the quantisation",
    "engine": "the engine",
}
FITTING: frozenset[str] = frozenset({"base", "adapter"})
"""The parts without which an adapter is another model; the others change how well it does, and can be measured anew."""
SHORT = 12  # characters of a digest that tell it from another
PARTS = "fingerprint_parts"  # the tag that holds them


class Fingerprint(Setting):
    """Everything that an answer depends on. Parts are SHA-256 digests, `quantisation` and `engine` are in words."""

    base: str = Field(description="digest of the base model's files")
    tokenizer: str = Field(description="digest of the tokenizer's files")
    chat_template: str = Field(description="digest of the template that turns a conversation into a prompt")
    system_prompt: str = Field(description="digest of the task's prompt: template, instruction, categories, passages")
    adapter: str = Field(description="digest of the adapter; empty: the base alone")
    quantisation: str = Field(description="how the base's weights are stored")
    engine: str = Field(description="the engine with its version, and what of its settings changes an answer")

    @property
    def digest(self) -> str:
        return digest_of(self.model_dump())


def fingerprint_of(loop: "Loop", base: "ModelFiles", adapter: str) -> Fingerprint:
    """The fingerprint of `base` with the adapter of the digest `adapter`, as `loop` asks and serves it.

    Reads the small files of the model, not its weights. Raises ModelError for a file that cannot be read.
    """
    engine = loop.engine_for(base)
    told = engine.identity()
    try:
        return Fingerprint(
            base=base.digest,
            tokenizer=digest_files(base.folder, _files(base.folder)),
            chat_template=digest_of(_chat_template(base.folder)),
            system_prompt=loop.material.prompt_digest,
            adapter=adapter,
            quantisation=_quantisation(base, engine.kind),
            engine=", ".join([str(told["engine"]), *(f"{name} {told[name]}" for name in told if name != "engine")]),
        )
    except OSError as error:
        raise ModelError(f"{base.folder}: cannot be read ({error.strerror}); fetch the model again") from error


def differences(recorded: Fingerprint, found: Fingerprint) -> dict[str, str]:
    """Part → what was recorded and what was found, in words; empty where both are the same."""
    changed = {}
    for part, words in WORDS.items():
        before, now = getattr(recorded, part), getattr(found, part)
        if before != now:
            changed[part] = f"{words} ({_shown(before)} then, {_shown(now)} now)"
    return changed


def check_measured(recorded: Fingerprint | None, found: Fingerprint, what: str) -> None:
    """Refuse to serve what was not measured. `what` names it, such as `home_broadband version 3`.

    Raises ModelError that says which parts differ, or that nothing is recorded.
    """
    if recorded is None:
        raise ModelError(
            f"{what}: was never measured as it would be served now; run a round of the loop, which measures it"
        )
    if changed := differences(recorded, found):
        raise ModelError(
            f"{what}: is not what was measured: {'; '.join(changed.values())}. Put back what changed, or run a round "
            "of the loop, which measures it as it is now"
        )


def check_fitting(recorded: Fingerprint, found: Fingerprint, what: str, remedy: str) -> tuple[str, ...]:
    """Refuse an adapter that lies on other weights than it was made for, or is not the one that was recorded.

    Returns every other difference in words: whoever measures anew need only know of them. Raises ModelError.
    """
    changed = differences(recorded, found)
    if wrong := [said for part, said in changed.items() if part in FITTING]:
        raise ModelError(f"{what}: {' and '.join(wrong)} differ from what was measured; {remedy}")
    return tuple(changed.values())


def _shown(part: str) -> str:
    digest = len(part) == 64 and not set(part) - set("0123456789abcdef")
    return part[:SHORT] if digest else part or "none"


def _files(folder: Path) -> list[Path]:
    return sorted({path for pattern in TOKENIZER for path in folder.glob(pattern) if path.is_file()})


def _chat_template(folder: Path) -> str:
    """The template as transformers finds it: in a file of its own, else in the tokenizer's configuration."""
    for text in _templates(folder):
        return text
    return ""


def _templates(folder: Path) -> Iterator[str]:
    if (alone := folder / "chat_template.jinja").is_file():
        yield alone.read_text(encoding="utf-8")
    for name in ("chat_template.json", "tokenizer_config.json"):
        told = _read(folder / name).get("chat_template")
        if told:
            yield told if isinstance(told, str) else json.dumps(told, sort_keys=True)


def _quantisation(base: "ModelFiles", engine: str) -> str:
    """Of a GGUF what its head says; of a folder its own method, or the dtype that it is stored in."""
    if engine == "llamacpp" and base.gguf is not None:
        return file_type(base.gguf)
    config = _read(base.folder / "config.json")
    method = (config.get("quantization_config") or {}).get("quant_method")
    return str(method or config.get("dtype") or config.get("torch_dtype") or "unknown")


def _read(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def recorded_in(tags: Mapping[str, str]) -> Fingerprint | None:
    """The fingerprint in a registry version's tags; None where none, or none of this kind, was recorded."""
    try:
        return Fingerprint.model_validate_json(tags[PARTS])
    except (KeyError, ValueError):
        return None


def tags_of(fingerprint: Fingerprint) -> dict[str, str]:
    """The tags that record it at a registry version."""
    return {"fingerprint": fingerprint.digest, PARTS: fingerprint.model_dump_json()}
