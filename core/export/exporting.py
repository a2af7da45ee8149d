"""One version of a loop's adapter as something that others can load: written, tried, then given its name."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..digests import digest_file
from ..engines.base import ADAPTER_FILES, Adapter, EngineSettings
from ..engines.gguf_lora import check_expressible
from ..engines.llamacpp import LlamaCpp
from ..engines.transformers import Transformers
from ..errors import ConfigError, ModelError, WorkspaceError
from ..models.local import digest_model
from ..models.progress import Progress, silent
from ..models.store import ModelFiles
from ..workspace import writing
from .agreement import Agreement, compare, questions
from .asking import Answerer, engine_serving
from .card import Format, Source, card
from .gguf_model import check_gguf_fits, write_gguf
from .merged import Dtype, Merged, adapter_config, merge, write_merged
from .modelfile import write_modelfile
from .quantizing import Kind, engine_quantiser

MARK = "export.json"  # tells a folder that was exported from any other
FORMATS: tuple[Format, ...] = ("peft", "merged", "gguf", "ollama")
BAR, COARSE_BAR = 0.9, 0.7  # smallest share of equal answers without a warning; coarse: 5 bits and less
COARSE = ("q5_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0")
BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 1.07}


@dataclass(frozen=True)
class Wanted:
    """What an export is to be."""

    format: Format
    kind: Kind = "q8_0"
    """Bits of a GGUF's weights."""
    dtype: Dtype = "auto"
    """Of merged safetensors."""
    check: int = 20
    """How many questions are asked for the comparison; 0: none."""
    force: bool = False

    @property
    def options(self) -> str:
        """What a command says beside the format to get the same."""
        if self.format in ("gguf", "ollama"):
            return f" --quantize {self.kind}"
        return f" --dtype {self.dtype}" if self.format == "merged" else ""

    @property
    def bar(self) -> float:
        return COARSE_BAR if self.format in ("gguf", "ollama") and self.kind in COARSE else BAR


@dataclass(frozen=True)
class Exported:
    """What was written, and how it compares."""

    folder: Path
    files: dict[str, int]
    """Size in bytes of each file."""
    agreement: Agreement | None
    notes: tuple[str, ...]


def export(source: Source, wanted: Wanted, out: Path, cache: Path, progress: Progress = silent) -> Exported:
    """Write `source` to the folder `out`, compare what was written with the original, and only then name it `out`.

    Raises ConfigError for a folder that is there already, ModelError for what the format cannot hold or an engine
    cannot load, WorkspaceError for a disk that is too small. Nothing is left behind then.
    """
    out = out.resolve()
    check_folder(out, wanted.force)
    _check_fits(source, wanted)
    _check_disk(source, wanted, out)
    with writing(out) as folder:
        folder.mkdir()
        notes = [f"Since it was measured, this has changed: {said}." for said in source.changed]
        notes += _write(source, wanted, folder, progress)
        found, why = _compared(source, wanted, folder, cache, progress, notes)
        files = sorted(path.name for path in folder.iterdir())
        text = card(source, wanted.format, wanted.options, files, found or why, notes)
        (folder / "README.md").write_text(text, encoding="utf-8")
        (folder / MARK).write_text(_facts(source, wanted, found), encoding="utf-8")
        sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    return Exported(out, sizes, found, tuple(notes))


def check_folder(out: Path, force: bool) -> None:
    """Raises ConfigError where `out` is there already, unless it is an export that `force` lets go."""
    if not out.exists():
        return
    if not (out / MARK).is_file():
        raise ConfigError(f"{out}: is there already and is no export; give the name of a new folder")
    if not force:
        raise ConfigError(f"{out}: is there already; give another --out, or --force to replace it")


def parameters(folder: Path) -> int:
    """How many weights the safetensors in `folder` hold; 0 where there are none."""
    from math import prod

    from safetensors import safe_open

    count = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as weights:
            count += sum(prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    return count


def _check_fits(source: Source, wanted: Wanted) -> None:
    """Refuse before anything is loaded what the format cannot hold."""
    adapter_config(source.adapter)
    if wanted.format in ("gguf", "ollama"):
        check_gguf_fits(source.base)


def _check_disk(source: Source, wanted: Wanted, out: Path) -> None:
    if wanted.format == "peft":
        needed = sum((source.adapter.folder / name).stat().st_size for name in ADAPTER_FILES)
    else:
        written = wanted.dtype if wanted.format == "merged" else wanted.kind
        needed = int(parameters(source.base.folder) * BYTES.get(written, 4.0 if wanted.format == "merged" else 0.9))
    place = next(parent for parent in out.parents if parent.is_dir())
    if (free := shutil.disk_usage(place).free) < needed:
        raise WorkspaceError(
            f"{place}: {free / 1e9:.2f} GB are free, and this export takes {needed / 1e9:.2f} GB; free some space, or "
            "give an --out elsewhere"
        )


def _write(source: Source, wanted: Wanted, folder: Path, progress: Progress) -> list[str]:
    """The files of a format; returns what a reader should know of them."""
    if wanted.format == "peft":
        return _write_peft(source, folder)
    merged = merge(source.base, source.adapter, progress)
    if wanted.format == "merged":
        progress("writing safetensors", 0, 1)
        write_merged(merged, source.base, folder, wanted.dtype)
        progress("writing safetensors", 1, 1)
        return []
    return _write_gguf(source, merged, wanted, folder, progress)


def _write_peft(source: Source, folder: Path) -> list[str]:
    for name in ADAPTER_FILES:
        shutil.copyfile(source.adapter.folder / name, folder / name)
    return []


def _write_gguf(source: Source, merged: Merged, wanted: Wanted, folder: Path, progress: Progress) -> list[str]:
    weights = folder / f"{source.name}-{wanted.kind}.gguf"
    name = f"{source.loop.name} v{source.version}"
    figures = write_gguf(merged, source.base, weights, wanted.kind, name, progress)
    counted = ", ".join(f"{count} {kind}" for kind, count in figures.kinds.items())
    notes = [f"Tensors by type: {counted}; {figures.kept} of them are the base's, bit for bit."]
    if wanted.kind in COARSE or wanted.kind in ("q8_0", "q6_k"):
        by = "llama.cpp's quantiser" if engine_quantiser() else "gguf's quantiser, as this xllamacpp exports none"
        notes.append(f"Quantised by {by}, without an importance matrix.")
    if wanted.format == "ollama":
        notes += write_modelfile(source, merged.tokenizer, weights)
    return notes


def _compared(
    source: Source, wanted: Wanted, folder: Path, cache: Path, progress: Progress, notes: list[str]
) -> tuple[Agreement | None, str]:
    """How far the export in `folder` agrees with the original, or None and the reason."""
    if wanted.check == 0:
        return None, "It was not compared (`--no-check`)."
    asked = questions(source.loop, wanted.check)
    engine, note = _original_engine(source)
    notes += note
    original = Answerer("base and adapter", source.base, source.adapter, engine)
    found = compare(
        original,
        _exported(source, wanted, folder),
        asked,
        _tokenizing(source.base),
        cache,
        lambda done: progress("comparing", done, 2 * len(asked)),
    )
    return found, ""


def _original_engine(source: Source) -> tuple[EngineSettings, list[str]]:
    """What answers as the original: the engine that serves the loop, or transformers where that cannot."""
    engine = engine_serving(source.loop, source.base)
    if isinstance(engine, LlamaCpp):
        try:
            check_expressible(source.adapter)
        except ModelError as error:
            return Transformers(), [f"Compared through transformers, as llama.cpp cannot serve the adapter: {error}."]
    return engine, []


def _exported(source: Source, wanted: Wanted, folder: Path) -> Answerer:
    if wanted.format == "peft":
        return Answerer("peft", source.base, Adapter.at(folder), Transformers())
    if wanted.format == "merged":
        files = ModelFiles(source.name, folder, None, digest_model(folder))
        return Answerer("merged", files, None, Transformers())
    weights = next(folder.glob("*.gguf"))
    serving = source.loop.engine_for(source.base)
    engine = serving if isinstance(serving, LlamaCpp) else LlamaCpp()
    files = ModelFiles(source.name, source.base.folder, weights, digest_file(weights))
    return Answerer(f"gguf {wanted.kind}", files, None, engine)


def _tokenizing(base: ModelFiles) -> Callable[[str], list[int]]:
    import transformers

    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(base.folder, local_files_only=True)

    def tokenize(text: str) -> list[int]:
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    return tokenize


def _facts(source: Source, wanted: Wanted, found: Agreement | None) -> str:
    facts = {
        "loop": source.loop.name,
        "version": source.version,
        "verdict": source.verdict,
        "format": wanted.format,
        "quantize": wanted.kind if wanted.format in ("gguf", "ollama") else None,
        "base": {"name": source.base.name, "digest": source.base.digest},
        "adapter": source.adapter.digest,
        "agreement": asdict(found) if found else None,
    }
    return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
